#include "launch.h"

#include <atomic>
#include <chrono>

#include "complaint.h"
#include "context.h"
#include "count.h"
#include "libraries.h"
#include "memory.h"
#include "settings.h"

namespace swcuda {
namespace {

bool is_possible(uint3 grid, uint3 block, unsigned shared, size_t largest_shared) {
    size_t threads = size_t(block.x) * block.y * block.z;
    return grid.x && grid.y && grid.z && grid.x <= 0x7fffffffu && grid.y <= 65535 && grid.z <= 65535 && threads &&
           threads <= 1024 && block.z <= 64 && shared <= largest_shared;
}

// Pointer arguments must be of the device. Behind a pointer the kernel may use all that is left of the allocation: that
// is what it counts to move, unless it declares it.
CUresult note_arguments(const Kernel &kernel, void *stream, void **arguments, Traffic &traffic) {
    for (size_t i = 0; i < kernel.parameter_count; i++) {
        const Parameter &parameter = kernel.parameters[i];
        const void *pointer = parameter.pointer ? *static_cast<void **>(arguments[i]) : nullptr;
        if (!pointer) continue;
        if (!use_memory(stream, pointer, 0, parameter.writes, kernel.name)) {
            complain("%s: argument %zu, %p, is no device memory", kernel.name, i, pointer);
            return CUDA_ERROR_ILLEGAL_ADDRESS;
        }
        (parameter.writes ? traffic.writes : traffic.reads) += bytes_behind(pointer);
    }
    return CUDA_SUCCESS;
}

bool is_lost_now() {
    static std::atomic<unsigned long> launches{0};
    return settings().lost_after && ++launches > settings().lost_after;
}

}  // namespace

CUresult launch(const Function &function, uint3 grid, uint3 block, unsigned shared, void *stream, void **arguments) {
    const Kernel &kernel = *function.kernel;
    if (CUresult error = ready()) return error;
    if (is_lost_now()) return lose();
    if (!is_possible(grid, block, shared, function.largest_shared)) {
        complain("%s: grid (%u, %u, %u), block (%u, %u, %u) or %u bytes of shared memory are not possible", kernel.name,
                 grid.x, grid.y, grid.z, block.x, block.y, block.z, shared);
        return CUDA_ERROR_INVALID_VALUE;
    }
    Traffic traffic{};
    if (CUresult error = note_arguments(kernel, stream, arguments, traffic)) return error;
    if (kernel.traffic) {
        gridDim = grid, blockDim = block;
        traffic = kernel.traffic(arguments);
    }
    auto start = std::chrono::steady_clock::now();
    run(Launch{&kernel, arguments, grid, block, shared, function.largest_shared});
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    count_launch(kernel.name, traffic, kernel.traffic, took.count());
    return CUDA_SUCCESS;
}

}  // namespace swcuda
