// Kernels compiled for the software device: libraries in the folder `kernels` beside this one, or in SWCUDA_KERNELS.
#pragma once
#include <map>
#include <string>

#include "../include/swcuda/runtime.h"

namespace swcuda {

using Kernels = std::map<std::string, const Kernel *>;

// By the libraries' file names.
const std::map<std::string, Kernels> &kernel_libraries();

}  // namespace swcuda
