// The driver's functions about modules, kernels and launches.
#include "api.h"
#include "complaint.h"
#include "launch.h"
#include "module.h"

using namespace swcuda;

namespace {

constexpr int LARGEST_SHARED = 227 << 10;

Function &function_of(CUfunction function) { return *reinterpret_cast<Function *>(function); }

}  // namespace

EXPORT CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    CUresult error = ready();
    return error ? error : load(module, static_cast<const char *>(image));
}
EXPORT CUresult cuModuleLoadDataEx(CUmodule *module, const void *image, unsigned, CUjit_option *, void **) {
    return cuModuleLoadData(module, image);
}
EXPORT CUresult cuModuleUnload(CUmodule module) {
    return delete reinterpret_cast<LoadedModule *>(module), CUDA_SUCCESS;
}
EXPORT CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    auto &functions = reinterpret_cast<LoadedModule *>(module)->functions;
    auto found = functions.find(name);
    if (found == functions.end()) {
        complain("the module has no kernel %s", name);
        return CUDA_ERROR_NOT_FOUND;
    }
    return *function = reinterpret_cast<CUfunction>(&found->second), CUDA_SUCCESS;
}

EXPORT CUresult cuFuncGetAttribute(int *value, CUfunction_attribute which, CUfunction function) {
    bool threads = which == CU_FUNC_ATTRIBUTE_MAX_THREADS_PER_BLOCK;
    return *value = threads ? 1024 : function_of(function).attributes[which], CUDA_SUCCESS;
}
EXPORT CUresult cuFuncSetAttribute(CUfunction function, CUfunction_attribute which, int value) {
    Function &changed = function_of(function);
    if (which == CU_FUNC_ATTRIBUTE_MAX_DYNAMIC_SHARED_SIZE_BYTES) {
        if (value < 0 || value > LARGEST_SHARED) return CUDA_ERROR_INVALID_VALUE;
        changed.largest_shared = value;
    }
    return changed.attributes[which] = value, CUDA_SUCCESS;
}

EXPORT CUresult cuLaunchKernel(CUfunction function, unsigned grid_x, unsigned grid_y, unsigned grid_z, unsigned block_x,
                               unsigned block_y, unsigned block_z, unsigned shared, CUstream stream, void **arguments,
                               void **) {
    return launch(function_of(function), {grid_x, grid_y, grid_z}, {block_x, block_y, block_z}, shared, stream, arguments);
}
