// Attention within packed sequences: softmax(scale · q kᵀ + bias), dropped out, times v. Scores live in registers; what
// is kept for the way back is the logarithm of each softmax's sum.
//
// A block is a head of a sequence and a tile of its queries, or on the way back of its queries or keys. A warp goes
// through its rows of the tile; a lane has one of the rows that they meet. Tiles have 32 rows where heads are at most 64
// wide, else 16. Shared memory: forward 3, backward 4 tiles of (rows) · (d | 1) floats; backward 2 · (rows) floats more.
#include "attention.cuh"

namespace {

template <typename T, uint32_t TILE>
__device__ void forward(const T *q, const T *kv, const Sequences &sequences, T *context, float *logsumexp, uint32_t q_stride,
                        uint32_t kv_stride, uint32_t v_offset, const Shape &shape) {
    constexpr uint32_t OWN = TILE / WARPS;
    extern __shared__ float tiles[];
    __shared__ float weights[WARPS][32];
    const Head head(sequences, shape);
    uint32_t d = shape.d, first = blockIdx.z * TILE, warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    if (first >= head.queries) return;
    uint32_t count = min(TILE, head.queries - first), row = head.first_query + first;
    float *q_tile = tiles, *k_tile = q_tile + TILE * pitch(d), *v_tile = k_tile + TILE * pitch(d);
    load_tile(q_tile, q + size_t(row) * q_stride + head.number * d, count, d, q_stride);

    float largest[OWN], sum[OWN], out[OWN][LANE_VALUES] = {};
#pragma unroll
    for (uint32_t j = 0; j < OWN; j++) largest[j] = -INFINITY, sum[j] = 0;
    for (uint32_t key = 0; key < head.keys; key += TILE) {
        uint32_t keys = min(TILE, head.keys - key), channel = key + lane;
        const T *from = kv + size_t(head.first_row + key) * kv_stride + head.number * d;
        __syncthreads();
        load_tile(k_tile, from, keys, d, kv_stride);
        load_tile(v_tile, from + v_offset, keys, d, kv_stride);
        __syncthreads();
#pragma unroll
        for (uint32_t j = 0; j < OWN; j++) {
            uint32_t query = warp + j * WARPS;
            if (query >= count) continue;
            uint32_t token = sequences.query_token[row + query];
            float score = -INFINITY, mask = 0;
            if (lane < keys) {
                score = head.score(dot(q_tile + query * pitch(d), k_tile + lane * pitch(d), d), token, channel, shape);
                mask = head.mask(head.query_key(token), channel, shape);
            }
            float now = fmaxf(largest[j], warp_max(score)), correction = expf(largest[j] - now);
            float probability = lane < keys ? expf(score - now) : 0.0f;
            largest[j] = now;
            sum[j] = sum[j] * correction + warp_sum(probability);
#pragma unroll
            for (uint32_t i = 0; i < LANE_VALUES; i++) out[j][i] *= correction;
            add_weighted(out[j], probability * mask, weights[warp], v_tile, keys, d);
        }
    }
    uint32_t all = sequences.cu_queries[gridDim.x];
#pragma unroll
    for (uint32_t j = 0; j < OWN; j++) {
        uint32_t query = warp + j * WARPS;
        if (query >= count) continue;
        T *to = context + (size_t(row + query) * shape.heads + head.number) * d;
        store_lanes(to, out[j], d, head.keys ? 1.0f / sum[j] : 0.0f);
        if (lane == 0) logsumexp[size_t(head.number) * all + row + query] = head.keys ? largest[j] + logf(sum[j]) : 0.0f;
    }
}

// Gradients and what they are made of.
template <typename T>
struct Way {
    const T *q, *kv, *context, *grad_context;
    const float *logsumexp;
    T *dq, *dkv;
    uint32_t q_stride, kv_stride, v_offset;
};

// A score's gradient is p · (mask · (g · v) − g · context) · scale: the second product is Σ_k p · mask · (g · v).
template <typename T, uint32_t TILE>
__device__ void backward_queries(const Way<T> &way, const Sequences &sequences, const Head &head, uint32_t first,
                                 const Shape &shape) {
    constexpr uint32_t OWN = TILE / WARPS;
    extern __shared__ float tiles[];
    __shared__ float weights[WARPS][32];
    uint32_t d = shape.d, warp = threadIdx.x / 32, lane = threadIdx.x % 32, wide = shape.heads * d, tile = TILE * pitch(d);
    uint32_t count = min(TILE, head.queries - first), row = head.first_query + first;
    float *q_tile = tiles, *g_tile = q_tile + tile, *k_tile = g_tile + tile, *v_tile = k_tile + tile;
    load_tile(q_tile, way.q + size_t(row) * way.q_stride + head.number * d, count, d, way.q_stride);
    load_tile(g_tile, way.grad_context + size_t(row) * wide + head.number * d, count, d, wide);
    const float *logsumexp = way.logsumexp + size_t(head.number) * sequences.cu_queries[gridDim.x] + row;
    __syncthreads();

    float along[OWN], out[OWN][LANE_VALUES] = {};
#pragma unroll
    for (uint32_t j = 0; j < OWN; j++) {
        uint32_t query = warp + j * WARPS;
        along[j] = 0;
        if (query >= count) continue;
        const T *context = way.context + size_t(row + query) * wide + head.number * d;
        for (uint32_t c = lane; c < d; c += 32) along[j] += g_tile[query * pitch(d) + c] * load(context, c);
        along[j] = warp_sum(along[j]);
    }
    for (uint32_t key = 0; key < head.keys; key += TILE) {
        uint32_t keys = min(TILE, head.keys - key), channel = key + lane;
        const T *from = way.kv + size_t(head.first_row + key) * way.kv_stride + head.number * d;
        __syncthreads();
        load_tile(k_tile, from, keys, d, way.kv_stride);
        load_tile(v_tile, from + way.v_offset, keys, d, way.kv_stride);
        __syncthreads();
#pragma unroll
        for (uint32_t j = 0; j < OWN; j++) {
            uint32_t query = warp + j * WARPS;
            if (query >= count) continue;
            uint32_t token = sequences.query_token[row + query];
            float gradient = 0;
            if (lane < keys) {
                const float *own_key = k_tile + lane * pitch(d), *own_value = v_tile + lane * pitch(d);
                float score = head.score(dot(q_tile + query * pitch(d), own_key, d), token, channel, shape);
                float product = dot(g_tile + query * pitch(d), own_value, d);
                float mask = head.mask(head.query_key(token), channel, shape);
                gradient = expf(score - logsumexp[query]) * (product * mask - along[j]);
            }
            add_weighted(out[j], gradient, weights[warp], k_tile, keys, d);
        }
    }
#pragma unroll
    for (uint32_t j = 0; j < OWN; j++) {
        uint32_t query = warp + j * WARPS;
        if (query < count)
            store_lanes(way.dq + size_t(row + query) * way.q_stride + head.number * d, out[j], d, shape.scale);
    }
}

// The same for a tile of keys, and their values: a lane has a query.
template <typename T, uint32_t TILE>
__device__ void backward_keys(const Way<T> &way, const Sequences &sequences, const Head &head, uint32_t first,
                              const Shape &shape) {
    constexpr uint32_t OWN = TILE / WARPS;
    extern __shared__ float tiles[];
    __shared__ float weights[WARPS][32];
    uint32_t d = shape.d, warp = threadIdx.x / 32, lane = threadIdx.x % 32, wide = shape.heads * d, tile = TILE * pitch(d);
    uint32_t count = min(TILE, head.rows - first), attended = head.keys > first ? min(count, head.keys - first) : 0;
    float *k_tile = tiles, *v_tile = k_tile + tile, *q_tile = v_tile + tile, *g_tile = q_tile + tile;
    float *along = g_tile + tile, *sums = along + TILE;
    const T *from = way.kv + size_t(head.first_row + first) * way.kv_stride + head.number * d;
    load_tile(k_tile, from, attended, d, way.kv_stride);
    load_tile(v_tile, from + way.v_offset, attended, d, way.kv_stride);

    float dk[OWN][LANE_VALUES] = {}, dv[OWN][LANE_VALUES] = {};
    for (uint32_t query = 0; query < head.queries && attended; query += TILE) {
        uint32_t queries = min(TILE, head.queries - query), row = head.first_query + query;
        const float *logsumexp = way.logsumexp + size_t(head.number) * sequences.cu_queries[gridDim.x] + row;
        __syncthreads();
        load_tile(q_tile, way.q + size_t(row) * way.q_stride + head.number * d, queries, d, way.q_stride);
        load_tile(g_tile, way.grad_context + size_t(row) * wide + head.number * d, queries, d, wide);
        __syncthreads();
        for (uint32_t i = warp; i < queries; i += WARPS) {
            const T *context = way.context + size_t(row + i) * wide + head.number * d;
            float sum = 0;
            for (uint32_t c = lane; c < d; c += 32) sum += g_tile[i * pitch(d) + c] * load(context, c);
            sum = warp_sum(sum);
            if (lane == 0) along[i] = sum, sums[i] = logsumexp[i];
        }
        __syncthreads();
        uint32_t token = lane < queries ? sequences.query_token[row + lane] : 0;
        uint64_t query_key = head.query_key(token);
#pragma unroll
        for (uint32_t j = 0; j < OWN; j++) {
            uint32_t key = warp + j * WARPS;
            if (key >= attended) continue;
            float weight = 0, gradient = 0;
            if (lane < queries) {
                const float *own_query = q_tile + lane * pitch(d), *own_gradient = g_tile + lane * pitch(d);
                float score = head.score(dot(own_query, k_tile + key * pitch(d), d), token, first + key, shape);
                float product = dot(own_gradient, v_tile + key * pitch(d), d);
                float probability = expf(score - sums[lane]), mask = head.mask(query_key, first + key, shape);
                weight = probability * mask;
                gradient = probability * (product * mask - along[lane]);
            }
            add_weighted(dv[j], weight, weights[warp], g_tile, queries, d);
            add_weighted(dk[j], gradient, weights[warp], q_tile, queries, d);
        }
    }
#pragma unroll
    for (uint32_t j = 0; j < OWN; j++) {
        uint32_t key = warp + j * WARPS;
        if (key >= count) continue;
        T *to = way.dkv + size_t(head.first_row + first + key) * way.kv_stride + head.number * d;
        store_lanes(to, dk[j], d, shape.scale);
        store_lanes(to + way.v_offset, dv[j], d, 1.0f);
    }
}

// gridDim.z: tiles of the most queries, then tiles of the most rows.
template <typename T, uint32_t TILE>
__device__ void backward(const Way<T> &way, const Sequences &sequences, const Shape &shape) {
    const Head head(sequences, shape);
    uint32_t of_keys = (shape.longest + TILE - 1) / TILE, of_queries = gridDim.z - of_keys;
    if (blockIdx.z < of_queries) {
        uint32_t first = blockIdx.z * TILE;
        if (first < head.queries) backward_queries<T, TILE>(way, sequences, head, first, shape);
    } else {
        uint32_t first = (blockIdx.z - of_queries) * TILE;
        if (first < head.rows) backward_keys<T, TILE>(way, sequences, head, first, shape);
    }
}

}  // namespace

#define SEQUENCES                                                                                                     \
    const uint32_t *cu_queries, const uint32_t *query_token, const uint32_t *cu_seqlens, const uint32_t *key_lens,    \
        const uint64_t *keys, const float *bias
#define NUMBERS                                                                                                       \
    uint32_t q_stride, uint32_t kv_stride, uint32_t v_offset, uint32_t heads, uint32_t d, uint32_t longest,           \
        float scale, uint32_t layer, uint32_t threshold, float dropout_scale, double drophead
#define GATHER                                                                                                        \
    Sequences sequences{cu_queries, query_token, cu_seqlens, key_lens, keys, bias};                                   \
    Shape shape{heads, d, longest, scale, layer, threshold, dropout_scale, drophead};

#define KERNELS(T, NAME)                                                                                              \
    extern "C" __global__ void __launch_bounds__(32 * WARPS)                                                          \
        attention_##NAME(const T *q, const T *kv, SEQUENCES, T *context, float *logsumexp, NUMBERS) {                 \
        GATHER                                                                                                        \
        if (d <= 64) forward<T, 32>(q, kv, sequences, context, logsumexp, q_stride, kv_stride, v_offset, shape);      \
        else forward<T, 16>(q, kv, sequences, context, logsumexp, q_stride, kv_stride, v_offset, shape);              \
    }                                                                                                                 \
    extern "C" __global__ void __launch_bounds__(32 * WARPS)                                                          \
        attention_backward_##NAME(const T *q, const T *kv, SEQUENCES, const T *context, const T *grad_context,        \
                                  const float *logsumexp, T *dq, T *dkv, NUMBERS) {                                   \
        GATHER                                                                                                        \
        Way<T> way{q, kv, context, grad_context, logsumexp, dq, dkv, q_stride, kv_stride, v_offset};                  \
        if (d <= 64) backward<T, 32>(way, sequences, shape);                                                          \
        else backward<T, 16>(way, sequences, shape);                                                                  \
    }
KERNELS(float, f32)
KERNELS(bf16, bf16)

#ifdef SWCUDA
// Sequences of one tile are read once; longer ones' keys once for each tile of queries, and the other way round.
#define TRAFFIC(T, NAME)                                                                                              \
    SWCUDA_TRAFFIC(attention_##NAME)(const T *, const T *, SEQUENCES, T *, float *, NUMBERS) {                        \
        uint64_t read = 0, tile = d <= 64 ? 32 : 16, all = cu_queries[gridDim.x];                                     \
        for (uint32_t i = 0; i < gridDim.x; i++) {                                                                    \
            uint64_t queries = cu_queries[i + 1] - cu_queries[i];                                                     \
            read += queries + 2 * key_lens[i] * ((queries + tile - 1) / tile);                                        \
        }                                                                                                             \
        return {read * heads * d * sizeof(T) + 4 * all * heads, all * heads * (d * sizeof(T) + 4)};                   \
    }                                                                                                                 \
    SWCUDA_TRAFFIC(attention_backward_##NAME)(const T *, const T *, SEQUENCES, const T *, const T *, const float *,   \
                                              T *, T *, NUMBERS) {                                                    \
        uint64_t read = 0, tile = d <= 64 ? 32 : 16, all = cu_queries[gridDim.x], rows = cu_seqlens[gridDim.x];       \
        for (uint32_t i = 0; i < gridDim.x; i++) {                                                                    \
            uint64_t queries = cu_queries[i + 1] - cu_queries[i], of_queries = (queries + tile - 1) / tile;           \
            uint64_t own = cu_seqlens[i + 1] - cu_seqlens[i], of_keys = (own + tile - 1) / tile;                      \
            read += 3 * queries * (1 + of_keys) + 2 * key_lens[i] * (1 + of_queries);                                 \
        }                                                                                                             \
        return {(read * d * sizeof(T) + 8 * all) * heads, (all + 2 * rows) * heads * d * sizeof(T)};                  \
    }
TRAFFIC(float, f32)
TRAFFIC(bf16, bf16)
#endif
