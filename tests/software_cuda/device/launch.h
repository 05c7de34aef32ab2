// Launches of kernels: what a device would refuse is refused, and what it does is counted.
#pragma once
#include "grid.h"
#include "module.h"

namespace swcuda {

CUresult launch(const Function &function, uint3 grid, uint3 block, unsigned shared, void *stream, void **arguments);

}  // namespace swcuda
