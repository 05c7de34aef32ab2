#include "module.h"

#include <memory>

#include "complaint.h"
#include "kernel_libraries.h"
#include "ptx.h"
#include "settings.h"

namespace swcuda {
namespace {

// Why a driver would not translate a text for its device.
CUresult refusal(const Ptx &ptx) {
    // PTX 9 came with CUDA 13, PTX 8 with CUDA 12.
    if (ptx.version > settings().driver / 1000 - 4) return CUDA_ERROR_UNSUPPORTED_PTX_VERSION;
    if (ptx.target > settings().capability) return CUDA_ERROR_INVALID_PTX;
    return CUDA_SUCCESS;
}

bool takes(const Kernel &kernel, const std::vector<size_t> &sizes) {
    bool same = kernel.parameter_count == sizes.size();
    for (size_t i = 0; same && i < sizes.size(); i++) same = kernel.parameters[i].size == sizes[i];
    return same;
}

}  // namespace

CUresult load(CUmodule *module, const char *image) {
    Ptx ptx;
    if (!read_ptx(image, &ptx)) {
        complain("only PTX text can be loaded");
        return CUDA_ERROR_INVALID_IMAGE;
    }
    if (CUresult error = refusal(ptx)) return error;
    std::string closest, missing;
    size_t most = 0;
    for (auto &[library, kernels] : kernel_libraries()) {
        auto loaded = std::make_unique<LoadedModule>();
        std::string lacking;
        for (auto &[entry, sizes] : ptx.entries) {
            auto kernel = kernels.find(entry);
            if (kernel == kernels.end()) {
                lacking = entry;
            } else if (!takes(*kernel->second, sizes)) {
                complain("%s has other parameters in the PTX than in %s", entry.c_str(), library.c_str());
                return CUDA_ERROR_INVALID_PTX;
            } else {
                loaded->functions[entry].kernel = kernel->second;
            }
        }
        if (lacking.empty()) return *module = reinterpret_cast<CUmodule>(loaded.release()), CUDA_SUCCESS;
        if (loaded->functions.size() >= most) most = loaded->functions.size(), closest = library, missing = lacking;
    }
    complain("no library has all %zu kernels of the PTX; %s has the most, %zu, and lacks %s", ptx.entries.size(),
             closest.c_str(), most, missing.c_str());
    return CUDA_ERROR_INVALID_PTX;
}

}  // namespace swcuda
