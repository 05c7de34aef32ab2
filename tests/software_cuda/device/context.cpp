#include "context.h"

#include <atomic>

#include "libraries.h"

namespace swcuda {
namespace {

std::atomic<bool> is_lost{false};
// A context is the address of its device's place here.
char contexts[64];

}  // namespace

thread_local CUcontext current_context = nullptr;

CUcontext context_of(CUdevice device) { return reinterpret_cast<CUcontext>(&contexts[device]); }

CUresult lose() { return is_lost = true, CUDA_ERROR_LAUNCH_FAILED; }

__attribute__((visibility("default"))) int lost() { return is_lost ? CUDA_ERROR_LAUNCH_FAILED : 0; }

CUresult ready() {
    if (int error = lost()) return CUresult(error);
    return current_context ? CUDA_SUCCESS : CUDA_ERROR_INVALID_CONTEXT;
}

}  // namespace swcuda
