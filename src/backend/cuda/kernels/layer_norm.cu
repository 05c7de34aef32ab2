// LayerNorm of residual + dropout(branch), and its way back; sums over rows in two fixed stages.
#include "norm.cuh"

namespace {

// A warp a row. The branch becomes what is normalised, before weight and bias.
template <typename T>
__device__ void add_norm(T *branch, const T *residual, const float *weight, const float *bias, const uint32_t *row_sequence,
                         const uint32_t *row_token, const uint64_t *keys, T *y, float *rstd, uint32_t rows, uint32_t hidden,
                         float eps, uint32_t layer, uint32_t site, uint32_t threshold, float scale) {
    uint32_t row = warp_row();
    if (row >= rows) return;
    size_t start = size_t(row) * hidden;
    uint64_t key = threshold ? row_key(keys[row_sequence[row]], layer, site, row_token[row]) : 0;
    auto sum_at = [&](uint32_t i) {
        float factor = threshold ? dropout_factor(key, i, threshold, scale) : 1.0f;
        return load(residual, start + i) + load(branch, start + i) * factor;
    };
    float inverse = normalise_row(sum_at, hidden, eps, [&](uint32_t i, float normalised) {
        store(branch, start + i, normalised);
        store(y, start + i, normalised * weight[i] + bias[i]);
    });
    if (threadIdx.x % 32 == 0) rstd[row] = inverse;
}

// A block a stripe of rows. `grad` of y becomes that of the residual. Columns of partial: the branch's bias, weight, bias.
template <typename T>
__device__ void add_norm_backward(T *grad, T *grad_branch, const T *normalised, const float *rstd, const float *weight,
                                  const uint32_t *row_sequence, const uint32_t *row_token, const uint64_t *keys,
                                  float *partial, uint32_t rows, uint32_t hidden, uint32_t stride, uint32_t layer,
                                  uint32_t site, uint32_t threshold, float scale) {
    __shared__ RowSums of_rows[STRIPE];
    uint32_t first = blockIdx.x * STRIPE, count = min(STRIPE, rows - first);
    size_t start = size_t(first) * hidden;
    auto key_of = [&](uint32_t row) {
        return threshold ? row_key(keys[row_sequence[first + row]], layer, site, row_token[first + row]) : 0;
    };
    auto grad_at = [&](uint64_t, uint32_t row, uint32_t i) { return load(grad, start + size_t(row) * hidden + i); };
    sum_rows(of_rows, count, hidden, weight, normalised + start, key_of, grad_at);
    float *sums = partial + size_t(blockIdx.x) * stride;
    for (uint32_t i = threadIdx.x; i < hidden; i += blockDim.x) {
        float of_branch = 0, of_weight = 0, of_bias = 0;
        for (uint32_t row = 0; row < count; row++) {
            const RowSums &s = of_rows[row];
            size_t place = start + size_t(row) * hidden + i;
            float g = load(grad, place), n = load(normalised, place);
            float residual = rstd[first + row] * (g * weight[i] - s.along_mean - n * s.along_normalised);
            float branch = threshold ? residual * dropout_factor(s.key, i, threshold, scale) : residual;
            store(grad, place, residual);
            store(grad_branch, place, branch);
            of_branch += branch;
            of_weight += g * n;
            of_bias += g;
        }
        sums[i] = of_branch, sums[hidden + i] = of_weight, sums[2 * hidden + i] = of_bias;
    }
}

__device__ float column_sum(const float *partial, uint32_t parts, uint32_t stride, uint32_t column) {
    float sum = 0;
    for (uint32_t part = 0; part < parts; part++) sum += partial[size_t(part) * stride + column];
    return sum;
}

}  // namespace

#define KERNELS(T, NAME)                                                                                              \
    extern "C" __global__ void add_norm_##NAME(                                                                  \
        T *branch, const T *residual, const float *weight, const float *bias, const uint32_t *row_sequence,           \
        const uint32_t *row_token, const uint64_t *keys, T *y, float *rstd, uint32_t rows, uint32_t hidden,           \
        float eps, uint32_t layer, uint32_t site, uint32_t threshold, float scale) {                                  \
        add_norm(branch, residual, weight, bias, row_sequence, row_token, keys, y, rstd, rows, hidden, eps, layer,    \
                 site, threshold, scale);                                                                             \
    }                                                                                                                 \
    extern "C" __global__ void add_norm_backward_##NAME(                                                         \
        T *grad, T *grad_branch, const T *normalised, const float *rstd, const float *weight,                         \
        const uint32_t *row_sequence, const uint32_t *row_token, const uint64_t *keys, float *partial, uint32_t rows, \
        uint32_t hidden, uint32_t stride, uint32_t layer, uint32_t site, uint32_t threshold, float scale) {           \
        add_norm_backward(grad, grad_branch, normalised, rstd, weight, row_sequence, row_token, keys, partial,   \
                               rows, hidden, stride, layer, site, threshold, scale);                                  \
    }
KERNELS(float, f32)
KERNELS(bf16, bf16)

// into[at + c] += Σ partial[part · stride + c]
extern "C" __global__ void add_column_sums(const float *partial, float *into, uint32_t parts, uint32_t stride,
                                           uint32_t columns, uint32_t at) {
    uint32_t column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column < columns) into[at + column] += column_sum(partial, parts, stride, column);
}

// Four ranges of columns at once: column c of a range goes to into[at + c].
extern "C" __global__ void add_layer_sums(const float *partial, float *into, uint32_t stride, uint32_t end0, uint32_t parts0,
                                          uint32_t at0, uint32_t end1, uint32_t parts1, uint32_t at1, uint32_t end2,
                                          uint32_t parts2, uint32_t at2, uint32_t end3, uint32_t parts3, uint32_t at3) {
    uint32_t column = blockIdx.x * blockDim.x + threadIdx.x;
    if (column >= end3) return;
    uint32_t begin = 0, parts = parts0, at = at0;
    if (column >= end0) begin = end0, parts = parts1, at = at1;
    if (column >= end1) begin = end1, parts = parts2, at = at2;
    if (column >= end2) begin = end2, parts = parts3, at = at3;
    into[at + column - begin] += column_sum(partial, parts, stride, column);
}

#ifdef SWCUDA
// Each value is moved once, though long rows are read again: they are in a cache by then.
#define TRAFFIC(T, NAME)                                                                                              \
    SWCUDA_TRAFFIC(add_norm_##NAME)(T *, const T *, const float *, const float *, const uint32_t *,              \
                                         const uint32_t *, const uint64_t *, T *, float *, uint32_t rows,             \
                                    uint32_t hidden, float, uint32_t, uint32_t, uint32_t, float) {                    \
        uint64_t values = uint64_t(rows) * hidden;                                                                    \
        return {2 * values * sizeof(T) + 8ull * hidden + 16ull * rows, 2 * values * sizeof(T) + 4ull * rows};         \
    }                                                                                                                 \
    SWCUDA_TRAFFIC(add_norm_backward_##NAME)(T *, T *, const T *, const float *, const float *, const uint32_t *, \
                                                  const uint32_t *, const uint64_t *, float *, uint32_t rows,         \
                                                  uint32_t hidden, uint32_t, uint32_t, uint32_t, uint32_t, float) {   \
        uint64_t values = uint64_t(rows) * hidden;                                                                    \
        return {2 * values * sizeof(T) + 4ull * hidden + 20ull * rows,                                                \
                2 * values * sizeof(T) + 12ull * hidden * gridDim.x};                                                 \
    }
TRAFFIC(float, f32)
TRAFFIC(bf16, bf16)
SWCUDA_TRAFFIC(add_column_sums)(const float *, float *, uint32_t parts, uint32_t, uint32_t columns, uint32_t) {
    return {4ull * columns * (parts + 1), 4ull * columns};
}
SWCUDA_TRAFFIC(add_layer_sums)(const float *, float *, uint32_t, uint32_t end0, uint32_t parts0, uint32_t, uint32_t end1,
                               uint32_t parts1, uint32_t, uint32_t end2, uint32_t parts2, uint32_t, uint32_t end3,
                               uint32_t parts3, uint32_t) {
    uint64_t partial = uint64_t(end0) * parts0 + uint64_t(end1 - end0) * parts1 + uint64_t(end2 - end1) * parts2 +
                       uint64_t(end3 - end2) * parts3;
    return {4ull * (partial + end3), 4ull * end3};
}
#endif
