// Modules: PTX is not run. It says which kernels it has and how large their parameters are, and these are looked up in
// the kernel libraries.
#pragma once
#include <cuda.h>
#include <map>
#include <string>

#include "../include/swcuda/runtime.h"

namespace swcuda {

struct Function {
    const Kernel *kernel = nullptr;
    // Static and dynamic shared memory together; above 48 KB only by cuFuncSetAttribute.
    size_t largest_shared = 48 << 10;
    int attributes[CU_FUNC_ATTRIBUTE_MAX] = {};
};

struct LoadedModule {
    std::map<std::string, Function> functions;
};

CUresult load(CUmodule *module, const char *image);

}  // namespace swcuda
