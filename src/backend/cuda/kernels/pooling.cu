// Embeddings as means of rows, and rows by number.
#include "elements.cuh"

namespace {

// A block a sequence.
template <typename T>
__device__ void pool(const T *hidden_states, float *embeddings, const uint32_t *starts, const uint32_t *ends, float share,
                     uint32_t hidden, uint32_t accumulate) {
    uint32_t start = starts[blockIdx.x], end = ends[blockIdx.x];
    float scale = end > start ? share / (end - start) : 0.0f;
    for (uint32_t i = threadIdx.x; i < hidden; i += blockDim.x) {
        float sum = 0;
        for (uint32_t row = start; row < end; row++) sum += load(hidden_states, size_t(row) * hidden + i);
        float *to = embeddings + size_t(blockIdx.x) * hidden + i;
        *to = (accumulate ? *to : 0.0f) + sum * scale;
    }
}

template <typename T>
__device__ void pool_backward(const float *grad_embeddings, T *grad, const uint32_t *row_sequence, const uint32_t *starts,
                              const uint32_t *ends, float share, uint32_t rows, uint32_t hidden, uint32_t accumulate) {
    size_t values = size_t(rows) * hidden, step = size_t(gridDim.x) * blockDim.x;
    for (size_t place = size_t(blockIdx.x) * blockDim.x + threadIdx.x; place < values; place += step) {
        uint32_t row = place / hidden, sequence = row_sequence[row];
        uint32_t start = starts[sequence], end = ends[sequence];
        float value = 0;
        if (row >= start && row < end)
            value = grad_embeddings[size_t(sequence) * hidden + place % hidden] * (share / (end - start));
        store(grad, place, (accumulate ? load(grad, place) : 0.0f) + value);
    }
}

}  // namespace

#define KERNELS(T, NAME)                                                                                              \
    extern "C" __global__ void pool_##NAME(const T *hidden_states, float *embeddings, const uint32_t *starts,         \
                                           const uint32_t *ends, float share, uint32_t hidden, uint32_t accumulate) { \
        pool(hidden_states, embeddings, starts, ends, share, hidden, accumulate);                                     \
    }                                                                                                                 \
    extern "C" __global__ void pool_backward_##NAME(                                                                  \
        const float *grad_embeddings, T *grad, const uint32_t *row_sequence, const uint32_t *starts,                  \
        const uint32_t *ends, float share, uint32_t rows, uint32_t hidden, uint32_t accumulate) {                     \
        pool_backward(grad_embeddings, grad, row_sequence, starts, ends, share, rows, hidden, accumulate);            \
    }                                                                                                                 \
    extern "C" __global__ void gather_rows_##NAME(const T *x, const uint32_t *index, T *y, uint32_t hidden) {         \
        size_t from = size_t(index[blockIdx.x]) * hidden, to = size_t(blockIdx.x) * hidden;                           \
        for (uint32_t i = threadIdx.x; i < hidden; i += blockDim.x) y[to + i] = x[from + i];                          \
    }                                                                                                                 \
    extern "C" __global__ void scatter_rows_##NAME(const T *x, const uint32_t *index, T *y, uint32_t hidden) {        \
        size_t to = size_t(index[blockIdx.x]) * hidden, from = size_t(blockIdx.x) * hidden;                           \
        for (uint32_t i = threadIdx.x; i < hidden; i += blockDim.x) y[to + i] = x[from + i];                          \
    }
KERNELS(float, f32)
KERNELS(bf16, bf16)

#ifdef SWCUDA
#define TRAFFIC(T, NAME)                                                                                              \
    SWCUDA_TRAFFIC(pool_##NAME)(const T *, float *, const uint32_t *starts, const uint32_t *ends, float,              \
                                uint32_t hidden, uint32_t accumulate) {                                               \
        uint64_t rows = 0, out = 4ull * gridDim.x * hidden;                                                           \
        for (uint32_t i = 0; i < gridDim.x; i++) rows += ends[i] - starts[i];                                         \
        return {rows * hidden * sizeof(T) + 8ull * gridDim.x + (accumulate ? out : 0), out};                          \
    }                                                                                                                 \
    SWCUDA_TRAFFIC(pool_backward_##NAME)(const float *, T *, const uint32_t *, const uint32_t *, const uint32_t *,    \
                                         float, uint32_t rows, uint32_t hidden, uint32_t accumulate) {                \
        uint64_t out = uint64_t(rows) * hidden * sizeof(T);                                                           \
        return {out * (accumulate ? 2 : 1) + 12ull * rows, out};                                                      \
    }                                                                                                                 \
    SWCUDA_TRAFFIC(gather_rows_##NAME)(const T *, const uint32_t *, T *, uint32_t hidden) {                           \
        uint64_t bytes = uint64_t(gridDim.x) * hidden * sizeof(T);                                                    \
        return {bytes + 4ull * gridDim.x, bytes};                                                                     \
    }                                                                                                                 \
    SWCUDA_TRAFFIC(scatter_rows_##NAME)(const T *, const uint32_t *, T *, uint32_t hidden) {                          \
        uint64_t bytes = uint64_t(gridDim.x) * hidden * sizeof(T);                                                    \
        return {bytes + 4ull * gridDim.x, bytes};                                                                     \
    }
TRAFFIC(float, f32)
TRAFFIC(bf16, bf16)
#endif
