// Means over a row that LayerNorm and its way back need, a warp a row.
#pragma once
#include "elements.cuh"
#include "random.cuh"

// Values of a row that a lane keeps in registers: rows of up to 1024 are read once, longer ones anew for each sum.
constexpr uint32_t KEPT = 32;

// The row of a warp, where a block has a warp for each of its rows.
__device__ inline uint32_t warp_row() { return blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; }

// Calls use(i, normalised) for each of the values that `at` gives, and gives one over their deviation. Either way sums
// have the same order.
template <typename At, typename Use>
__device__ float normalise_row(At at, uint32_t hidden, float eps, Use use) {
    uint32_t lane = threadIdx.x % 32;
    float kept[KEPT], sum = 0, squares = 0;
    bool once = hidden <= 32 * KEPT;
    if (once) {
#pragma unroll
        for (uint32_t j = 0; j < KEPT; j++) {
            kept[j] = lane + 32 * j < hidden ? at(lane + 32 * j) : 0.0f;
            sum += kept[j];
        }
    } else {
        for (uint32_t i = lane; i < hidden; i += 32) sum += at(i);
    }
    float mean = warp_sum(sum) / hidden;
    if (once) {
#pragma unroll
        for (uint32_t j = 0; j < KEPT; j++)
            if (lane + 32 * j < hidden) squares += (kept[j] - mean) * (kept[j] - mean);
    } else {
        for (uint32_t i = lane; i < hidden; i += 32) squares += (at(i) - mean) * (at(i) - mean);
    }
    float rstd = 1.0f / sqrtf(warp_sum(squares) / hidden + eps);
    if (once) {
#pragma unroll
        for (uint32_t j = 0; j < KEPT; j++)
            if (lane + 32 * j < hidden) use(lane + 32 * j, (kept[j] - mean) * rstd);
    } else {
        for (uint32_t i = lane; i < hidden; i += 32) use(i, (at(i) - mean) * rstd);
    }
    return rstd;
}

// What the gradient of a row's sum takes away: the means of g · weight and of g · weight · normalised.
struct RowSums {
    uint64_t key;
    float along_mean, along_normalised;
};

// Those of a stripe's rows, for all threads of the block. `normalised` begins at the stripe.
template <typename T, typename KeyOf, typename GradAt>
__device__ void sum_rows(RowSums *of_rows, uint32_t count, uint32_t hidden, const float *weight, const T *normalised,
                         KeyOf key_of, GradAt grad_at) {
    uint32_t lane = threadIdx.x % 32;
    for (uint32_t row = threadIdx.x / 32; row < count; row += blockDim.x / 32) {
        uint64_t key = key_of(row);
        float along_mean = 0, along_normalised = 0;
        for (uint32_t i = lane; i < hidden; i += 32) {
            float scaled = grad_at(key, row, i) * weight[i];
            along_mean += scaled;
            along_normalised += scaled * load(normalised, size_t(row) * hidden + i);
        }
        along_mean = warp_sum(along_mean) / hidden, along_normalised = warp_sum(along_normalised) / hidden;
        if (lane == 0) of_rows[row] = {key, along_mean, along_normalised};
    }
    __syncthreads();
}
