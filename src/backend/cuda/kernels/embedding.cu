// Sums of embeddings with LayerNorm and dropout, and the way back to their tables.
#include "norm.cuh"

namespace {

// A warp a row: y = dropout(LayerNorm(word + noise + position + type)).
template <typename T>
__device__ void embed(const float *word, const float *position, const float *token_type, const float *noise,
                      const uint32_t *token_ids, const uint32_t *position_ids, const uint32_t *token_types,
                      const uint32_t *row_sequence, const uint32_t *row_token, const uint64_t *keys, const float *weight,
                      const float *bias, T *y, T *normalised, float *rstd, uint32_t rows, uint32_t hidden, float eps,
                      uint32_t threshold, float scale) {
    uint32_t row = warp_row();
    if (row >= rows) return;
    size_t start = size_t(row) * hidden;
    word += size_t(token_ids[row]) * hidden;
    position += size_t(position_ids[row]) * hidden;
    if (token_type) token_type += token_types ? size_t(token_types[row]) * hidden : 0;
    uint64_t key = threshold ? row_key(keys[row_sequence[row]], 0, EMBEDDINGS, row_token[row]) : 0;
    auto sum_at = [&](uint32_t i) {
        float sum = word[i];
        if (noise) sum += noise[start + i];
        return sum + (token_type ? position[i] + token_type[i] : position[i]);
    };
    float inverse = normalise_row(sum_at, hidden, eps, [&](uint32_t i, float value) {
        float out = value * weight[i] + bias[i];
        store(normalised, start + i, value);
        store(y, start + i, threshold ? out * dropout_factor(key, i, threshold, scale) : out);
    });
    if (threadIdx.x % 32 == 0) rstd[row] = inverse;
}

// A block a stripe of rows: `grad` of y becomes that of the sum. Columns of partial: weight, bias.
template <typename T>
__device__ void embed_norm_backward(T *grad, const T *normalised, const float *rstd, const float *weight,
                                    const uint32_t *row_sequence, const uint32_t *row_token, const uint64_t *keys,
                                    float *partial, uint32_t rows, uint32_t hidden, uint32_t stride, uint32_t threshold,
                                    float scale) {
    __shared__ RowSums of_rows[STRIPE];
    uint32_t first = blockIdx.x * STRIPE, count = min(STRIPE, rows - first);
    size_t start = size_t(first) * hidden;
    auto key_of = [&](uint32_t row) {
        return threshold ? row_key(keys[row_sequence[first + row]], 0, EMBEDDINGS, row_token[first + row]) : 0;
    };
    auto grad_at = [&](uint64_t key, uint32_t row, uint32_t i) {
        float g = load(grad, start + size_t(row) * hidden + i);
        return threshold ? g * dropout_factor(key, i, threshold, scale) : g;
    };
    sum_rows(of_rows, count, hidden, weight, normalised + start, key_of, grad_at);
    float *sums = partial + size_t(blockIdx.x) * stride;
    for (uint32_t i = threadIdx.x; i < hidden; i += blockDim.x) {
        float of_weight = 0, of_bias = 0;
        for (uint32_t row = 0; row < count; row++) {
            const RowSums &s = of_rows[row];
            size_t place = start + size_t(row) * hidden + i;
            float g = grad_at(s.key, row, i), n = load(normalised, place);
            store(grad, place, rstd[first + row] * (g * weight[i] - s.along_mean - n * s.along_normalised));
            of_weight += g * n;
            of_bias += g;
        }
        sums[i] = of_weight, sums[hidden + i] = of_bias;
    }
}

// A block a segment of rows with one id: table[id] += Σ grad[row], the rows in their order.
template <typename T>
__device__ void segment_add(const T *grad, const uint32_t *order, const uint32_t *segments, const uint32_t *ids, float *table,
                            uint32_t hidden) {
    uint32_t first = segments[blockIdx.x], last = segments[blockIdx.x + 1];
    float *to = table + size_t(ids[blockIdx.x]) * hidden;
    for (uint32_t i = threadIdx.x; i < hidden; i += blockDim.x) {
        float sum = 0;
        // Eight rows' loads at a time; [CLS] has as many rows as there are sequences.
        for (uint32_t j = first; j < last; j += 8) {
            float values[8];
            for (uint32_t k = 0; k < 8; k++)
                values[k] = j + k < last ? load(grad, size_t(order[j + k]) * hidden + i) : 0.0f;
            for (uint32_t k = 0; k < 8; k++) sum += values[k];
        }
        to[i] += sum;
    }
}

// A block a stripe of rows and a type.
template <typename T>
__device__ void type_partials(const T *grad, const uint32_t *token_types, float *partial, uint32_t rows, uint32_t hidden,
                              uint32_t stride) {
    uint32_t first = blockIdx.x * STRIPE, last = min(rows, first + STRIPE);
    for (uint32_t i = threadIdx.x; i < hidden; i += blockDim.x) {
        float sum = 0;
        for (uint32_t row = first; row < last; row++)
            if ((token_types ? token_types[row] : 0) == blockIdx.y) sum += load(grad, size_t(row) * hidden + i);
        partial[size_t(blockIdx.x) * stride + size_t(blockIdx.y) * hidden + i] = sum;
    }
}

}  // namespace

#define KERNELS(T, NAME)                                                                                              \
    extern "C" __global__ void embed_##NAME(                                                                          \
        const float *word, const float *position, const float *token_type, const float *noise,                        \
        const uint32_t *token_ids, const uint32_t *position_ids, const uint32_t *token_types,                         \
        const uint32_t *row_sequence, const uint32_t *row_token, const uint64_t *keys, const float *weight,           \
        const float *bias, T *y, T *normalised, float *rstd, uint32_t rows, uint32_t hidden, float eps,               \
        uint32_t threshold, float scale) {                                                                            \
        embed(word, position, token_type, noise, token_ids, position_ids, token_types, row_sequence, row_token, keys, \
              weight, bias, y, normalised, rstd, rows, hidden, eps, threshold, scale);                                \
    }                                                                                                                 \
    extern "C" __global__ void embed_norm_backward_##NAME(                                                            \
        T *grad, const T *normalised, const float *rstd, const float *weight, const uint32_t *row_sequence,           \
        const uint32_t *row_token, const uint64_t *keys, float *partial, uint32_t rows, uint32_t hidden,              \
        uint32_t stride, uint32_t threshold, float scale) {                                                           \
        embed_norm_backward(grad, normalised, rstd, weight, row_sequence, row_token, keys, partial, rows, hidden,     \
                            stride, threshold, scale);                                                                \
    }                                                                                                                 \
    extern "C" __global__ void segment_add_##NAME(const T *grad, const uint32_t *order, const uint32_t *segments,     \
                                                  const uint32_t *ids, float *table, uint32_t hidden) {               \
        segment_add(grad, order, segments, ids, table, hidden);                                                       \
    }                                                                                                                 \
    extern "C" __global__ void type_partials_##NAME(const T *grad, const uint32_t *token_types, float *partial,       \
                                                    uint32_t rows, uint32_t hidden, uint32_t types,                   \
                                                    uint32_t stride) {                                                \
        type_partials(grad, token_types, partial, rows, hidden, stride);                                              \
    }
KERNELS(float, f32)
KERNELS(bf16, bf16)

#ifdef SWCUDA
#define TRAFFIC(T, NAME)                                                                                              \
    SWCUDA_TRAFFIC(embed_##NAME)(const float *, const float *, const float *token_type, const float *noise,           \
                                 const uint32_t *, const uint32_t *, const uint32_t *, const uint32_t *,              \
                                 const uint32_t *, const uint64_t *, const float *, const float *, T *, T *, float *, \
                                 uint32_t rows, uint32_t hidden, float, uint32_t, float) {                            \
        uint64_t values = uint64_t(rows) * hidden, tables = 2 + (token_type != 0) + (noise != 0);                \
        return {4 * tables * values + 8ull * hidden + 28ull * rows, 2 * values * sizeof(T) + 4ull * rows};            \
    }                                                                                                                 \
    SWCUDA_TRAFFIC(embed_norm_backward_##NAME)(T *, const T *, const float *, const float *, const uint32_t *,        \
                                               const uint32_t *, const uint64_t *, float *, uint32_t rows,            \
                                               uint32_t hidden, uint32_t, uint32_t, float) {                          \
        uint64_t values = uint64_t(rows) * hidden;                                                                    \
        return {2 * values * sizeof(T) + 4ull * hidden + 20ull * rows, values * sizeof(T) + 8ull * hidden * gridDim.x}; \
    }                                                                                                                 \
    SWCUDA_TRAFFIC(segment_add_##NAME)(const T *, const uint32_t *, const uint32_t *segments, const uint32_t *,       \
                                       float *, uint32_t hidden) {                                                    \
        uint64_t rows = segments[gridDim.x] - segments[0], out = 4ull * gridDim.x * hidden;                           \
        return {rows * hidden * sizeof(T) + 4 * rows + 8ull * gridDim.x + out, out};                                  \
    }                                                                                                                 \
    SWCUDA_TRAFFIC(type_partials_##NAME)(const T *, const uint32_t *token_types, float *, uint32_t rows,              \
                                         uint32_t hidden, uint32_t types, uint32_t) {                                 \
        return {uint64_t(rows) * hidden * sizeof(T) + (token_types ? 4ull * rows : 0),                                \
                4ull * hidden * types * gridDim.x};                                                                   \
    }
TRAFFIC(float, f32)
TRAFFIC(bf16, bf16)
#endif
