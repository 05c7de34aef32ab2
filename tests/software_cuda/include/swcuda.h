// Included before a .cu file that is compiled as C++ for the software device: CUDA's keywords and built-in functions.
//
// NVIDIA's own headers give the types and the arithmetic of half, bfloat16 and fp8. They are read here first, as a host
// compiler reads them: with __CUDA_ARCH__, which is defined below, they would emit PTX.
#pragma once
#define SWCUDA 1

#include <cassert>
#include <cmath>
#include <cstdio>
#include <cstring>
#include <math.h>
#include <stdint.h>
#include <type_traits>
#include <utility>

#include <cuda_bf16.h>
#include <cuda_fp16.h>
#include <cuda_fp8.h>
#include <cuda/std/limits>

#include "swcuda/runtime.h"
#include "swcuda/atomic.h"
#include "swcuda/entry.h"
#include "swcuda/math.h"
#include "swcuda/warp.h"

#undef __global__
#undef __device__
#undef __host__
#undef __constant__
#undef __shared__
#undef __forceinline__
#undef __launch_bounds__
#define __global__ swcuda_kernel_here  // build finds kernels by this word and takes it away
#define __device__
#define __host__
#define __constant__
#define __shared__ swcuda_shared_here  // and gives variables that have this one a place in the block's shared memory
#define __forceinline__ inline __attribute__((always_inline))
#define __launch_bounds__(...)

#ifndef __CUDA_ARCH__
#define __CUDA_ARCH__ 800
#endif
#define __CUDACC_VER_MAJOR__ 13
#define __CUDACC_VER_MINOR__ 0

#define __trap() swcuda::fail("traps")

static const int warpSize = 32;

// Declares what a launch of KERNEL has to move, where the sizes of the buffers behind its pointers say too much or too
// little. It takes the kernel's parameters and may ask for gridDim and blockDim:
//
//   SWCUDA_TRAFFIC(scale)(const float *x, float *y, unsigned n) { return {4ull * n, 4ull * n}; }
#define SWCUDA_TRAFFIC(KERNEL) static swcuda::Traffic swcuda_traffic_##KERNEL
