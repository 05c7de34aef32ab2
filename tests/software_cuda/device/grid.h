// Runs a kernel's grid on the CPU.
#pragma once
#include "../include/swcuda/runtime.h"

namespace swcuda {

struct Launch {
    const Kernel *kernel;
    void **arguments;
    uint3 grid, block;
    size_t shared;          // dynamic shared memory, in bytes
    size_t largest_shared;  // that and static shared memory together
};

// In the order of SWCUDA_ORDER, on SWCUDA_THREADS host threads.
void run(const Launch &launch);

}  // namespace swcuda
