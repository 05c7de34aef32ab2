// What both ways of attention share: tiles of rows in shared memory, and what probabilities are multiplied by.
#pragma once
#include "elements.cuh"
#include "random.cuh"

// A block has four warps, whatever the size of a head.
constexpr uint32_t WARPS = 4;
// Values of a head that a lane holds: heads are at most 128 wide.
constexpr uint32_t LANE_VALUES = 4;

// Numbers that all blocks share.
struct Shape {
    uint32_t heads, d, longest;
    float scale;
    uint32_t layer, threshold;
    float dropout_scale;
    double drophead;
};

// Packed sequences, as the launcher uploads them.
struct Sequences {
    const uint32_t *cu_queries, *query_token, *cu_seqlens, *key_lens;
    const uint64_t *keys;
    const float *bias;
};

// One head of one sequence.
struct Head {
    uint32_t first_query, queries, first_row, rows, keys, number;
    uint64_t key;         // of the dropout of its probabilities
    float factor;         // what drophead leaves of it
    const float *bias;    // by the offset of a key from its query, or null

    __device__ Head(const Sequences &s, const Shape &shape) {
        uint32_t sequence = blockIdx.x;
        number = blockIdx.y;
        first_query = s.cu_queries[sequence];
        queries = s.cu_queries[sequence + 1] - first_query;
        first_row = s.cu_seqlens[sequence];
        rows = s.cu_seqlens[sequence + 1] - first_row;
        keys = s.key_lens[sequence];
        uint64_t of_sequence = s.keys[sequence];
        key = attention_head_key(of_sequence, shape.layer, number);
        factor = shape.drophead > 0 ? drophead_factor(of_sequence, shape) : 1.0f;
        bias = s.bias ? s.bias + size_t(number) * (2 * shape.longest - 1) + shape.longest - 1 : nullptr;
    }

    // 0 where the head is dropped, else heads / kept; where none would be kept, all are.
    __device__ float drophead_factor(uint64_t of_sequence, const Shape &shape) const {
        uint64_t place = key_at(key_at(of_sequence, shape.layer), DROPHEAD);
        uint32_t kept = 0;
        for (uint32_t head = 0; head < shape.heads; head++) kept += key_unit(place, head) >= shape.drophead;
        if (kept == 0) return 1.0f;
        return key_unit(place, number) >= shape.drophead ? float(shape.heads) / float(kept) : 0.0f;
    }

    __device__ uint64_t query_key(uint32_t token) const { return key_at(key, token); }

    // What a probability is multiplied by.
    __device__ float mask(uint64_t query_key, uint32_t channel, const Shape &shape) const {
        if (!shape.threshold) return factor;
        return dropout_factor(query_key, channel, shape.threshold, shape.dropout_scale * factor);
    }

    __device__ float score(float product, uint32_t query_token, uint32_t channel, const Shape &shape) const {
        float score = product * shape.scale;
        return bias ? score + bias[int(channel) - int(query_token)] : score;
    }
};

// How far apart rows of a tile lie in shared memory: an odd number, so that lanes that read a column hit different banks.
__device__ inline uint32_t pitch(uint32_t d) { return d | 1; }

// A warp a row.
template <typename T>
__device__ void load_tile(float *tile, const T *from, uint32_t rows, uint32_t d, uint32_t stride) {
    for (uint32_t row = threadIdx.x / 32; row < rows; row += WARPS)
        for (uint32_t c = threadIdx.x % 32; c < d; c += 32) tile[row * pitch(d) + c] = load(from, size_t(row) * stride + c);
}

__device__ inline float dot(const float *a, const float *b, uint32_t d) {
    float sum = 0;
    for (uint32_t c = 0; c < d; c++) sum += a[c] * b[c];
    return sum;
}

// sums[c] += Σ_k weights_k · rows[k][c], where lane k has weights_k, and this lane every 32nd c. `weights` are the warp's
// own place in shared memory, of 32 values.
__device__ inline void add_weighted(float *sums, float own, float *weights, const float *rows, uint32_t count, uint32_t d) {
    uint32_t lane = threadIdx.x % 32;
    __syncwarp();  // they may still be read from the last time
    weights[lane] = own;
    __syncwarp();
    for (uint32_t k = 0; k < count; k++)
#pragma unroll
        for (uint32_t i = 0; i < LANE_VALUES; i++)
            if (lane + 32 * i < d) sums[i] += weights[k] * rows[k * pitch(d) + lane + 32 * i];
}

template <typename T>
__device__ void store_lanes(T *to, const float *values, uint32_t d, float scale) {
    uint32_t lane = threadIdx.x % 32;
#pragma unroll
    for (uint32_t i = 0; i < LANE_VALUES; i++)
        if (lane + 32 * i < d) store(to, lane + 32 * i, values[i] * scale);
}
