// Activations in f32 or bf16, computed with in f32, and sums over a warp.
#pragma once
#include <cuda_bf16.h>
#include <stdint.h>

typedef __nv_bfloat16 bf16;

__device__ inline float load(const float *p, size_t i) { return p[i]; }
__device__ inline float load(const bf16 *p, size_t i) { return __bfloat162float(p[i]); }
__device__ inline void store(float *p, size_t i, float v) { p[i] = v; }
__device__ inline void store(bf16 *p, size_t i, float v) { p[i] = __float2bfloat16(v); }

// Rows whose sums a block makes: how sums over rows are divided is part of their bits.
constexpr uint32_t STRIPE = 32;

__device__ inline float warp_sum(float value) {
    for (int offset = 16; offset > 0; offset /= 2) value += __shfl_xor_sync(0xffffffff, value, offset);
    return value;
}

__device__ inline float warp_max(float value) {
    for (int offset = 16; offset > 0; offset /= 2) value = fmaxf(value, __shfl_xor_sync(0xffffffff, value, offset));
    return value;
}
