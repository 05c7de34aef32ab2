// Randomness as a function of where it is used: src/random.rs and src/batch/pass.rs, bit for bit.
#pragma once
#include <stdint.h>

enum Site : uint32_t { EMBEDDINGS = 1, ATTENTION_PROBS = 2, ATTENTION_OUTPUT = 3, FEED_FORWARD_OUTPUT = 4, DROPHEAD = 5 };

constexpr uint64_t GOLDEN = 0x9E3779B97F4A7C15ull;

// The SplitMix64 finaliser.
__device__ inline uint64_t mix64(uint64_t x) {
    x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9ull;
    x = (x ^ (x >> 27)) * 0x94D049BB133111EBull;
    return x ^ (x >> 31);
}

// The key of a place inside another.
__device__ inline uint64_t key_at(uint64_t key, uint64_t part) { return mix64(key ^ (part * GOLDEN + GOLDEN)); }

// 32 bits for a channel of the row that a key names.
__device__ inline uint32_t key_bits(uint64_t key, uint32_t channel) {
    uint32_t x = (channel * 0x9E3779B9u) ^ uint32_t(key);
    x ^= x >> 16;
    x = (x * 0x7FEB352Du) ^ uint32_t(key >> 32);
    x ^= x >> 15;
    x *= 0x846CA68Bu;
    return x ^ (x >> 16);
}

// Uniform on (0, 1).
__device__ inline double key_unit(uint64_t key, uint32_t channel) {
    return (double(key_bits(key, channel)) + 0.5) / 4294967296.0;
}

// Standard normal, by Box–Muller over the pair of channels that `channel` is in.
__device__ inline double key_normal(uint64_t key, uint32_t channel) {
    uint32_t pair = channel & ~1u;
    double radius = sqrt(-2.0 * log(key_unit(key, pair)));
    double angle = 6.283185307179586476925286766559 * key_unit(key, pair | 1);
    return radius * (channel & 1 ? sin(angle) : cos(angle));
}

// The row key of a hidden-state dropout site.
__device__ inline uint64_t row_key(uint64_t sequence, uint32_t layer, uint32_t site, uint32_t token) {
    return key_at(key_at(key_at(sequence, layer), site), token);
}

// The row key of the dropout of attention probabilities is key_at(attention_head_key(…), query).
__device__ inline uint64_t attention_head_key(uint64_t sequence, uint32_t layer, uint32_t head) {
    return key_at(key_at(key_at(sequence, layer), ATTENTION_PROBS), head);
}

// The factor of a value: `scale` where it is kept, else 0. A threshold of 0 keeps all.
__device__ inline float dropout_factor(uint64_t row, uint32_t channel, uint32_t threshold, float scale) {
    return key_bits(row, channel) >= threshold ? scale : 0.0f;
}
