// Means over a row that LayerNorm and its way back need, a warp a row.
#pragma once
#include "elements.cuh"
#include "random.cuh"

struct Moments {
    float mean, rstd;
};

// The row of a warp, where a block has a warp for each of its rows.
__device__ inline uint32_t warp_row() { return blockIdx.x * (blockDim.x / 32) + threadIdx.x / 32; }

// Of the values that `at` gives for each place.
template <typename At>
__device__ Moments row_moments(At at, uint32_t hidden, float eps) {
    uint32_t lane = threadIdx.x % 32;
    float sum = 0, squares = 0;
    for (uint32_t i = lane; i < hidden; i += 32) sum += at(i);
    float mean = warp_sum(sum) / hidden;
    for (uint32_t i = lane; i < hidden; i += 32) squares += (at(i) - mean) * (at(i) - mean);
    return {mean, 1.0f / sqrtf(warp_sum(squares) / hidden + eps)};
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
