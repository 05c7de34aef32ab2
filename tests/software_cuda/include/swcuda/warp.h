// Operations of a warp: votes, shuffles, matches, reductions. Each lane brings a value, the last one to come computes all
// results.
#pragma once
#include <cstring>

#include "runtime.h"

namespace swcuda {

template <typename T> inline uint64_t pack(T value) {
    static_assert(sizeof value <= 8);
    uint64_t packed = 0;
    memcpy(&packed, &value, sizeof value);
    return packed;
}

template <typename T> inline T unpack(uint64_t packed) {
    T value;
    memcpy(&value, &packed, sizeof value);
    return value;
}

template <typename F> inline void each_lane(uint32_t lanes, F f) {
    for (; lanes; lanes &= lanes - 1) f(__builtin_ctz(lanes));
}

// Each lane takes the value of lane `argument`. What it gets from one that is not there is undefined: all bits set, NaN.
inline void complete_shuffle(Lane *const lanes[32], uint32_t active) {
    each_lane(active, [&](int i) {
        uint32_t from = lanes[i]->argument;
        lanes[i]->result = active >> from & 1 ? lanes[from]->value : ~uint64_t(0);
    });
}

inline void complete_ballot(Lane *const lanes[32], uint32_t active) {
    uint64_t set = 0;
    each_lane(active, [&](int i) { set |= uint64_t(lanes[i]->value != 0) << i; });
    each_lane(active, [&](int i) { lanes[i]->result = set; });
}

inline void complete_match(Lane *const lanes[32], uint32_t active) {
    each_lane(active, [&](int i) {
        lanes[i]->result = 0;
        each_lane(active, [&](int j) { lanes[i]->result |= uint64_t(lanes[j]->value == lanes[i]->value) << j; });
    });
}

template <typename T, T (*combine)(T, T)> inline void complete_reduce(Lane *const lanes[32], uint32_t active) {
    T all = unpack<T>(lanes[__builtin_ctz(active)]->value);
    each_lane(active & (active - 1), [&](int i) { all = combine(all, unpack<T>(lanes[i]->value)); });
    each_lane(active, [&](int i) { lanes[i]->result = pack(all); });
}

// A lane out of `inside` keeps its own value.
template <typename T> inline T shuffle(uint32_t mask, T value, unsigned from, bool inside) {
    return unpack<T>(collective(mask, complete_shuffle, pack(value), inside ? from : lane_number()));
}

}  // namespace swcuda

inline void __syncthreads() { swcuda::block_barrier(); }
inline void __syncwarp(uint32_t mask = ~0u) { swcuda::collective(mask, swcuda::complete_ballot, 0, 0); }
inline uint32_t __ballot_sync(uint32_t mask, int predicate) {
    return swcuda::collective(mask, swcuda::complete_ballot, predicate != 0, 0);
}
inline int __any_sync(uint32_t mask, int predicate) { return __ballot_sync(mask, predicate) != 0; }
inline int __all_sync(uint32_t mask, int predicate) { return __ballot_sync(mask, !predicate) == 0; }
inline uint32_t __activemask() { return swcuda::lanes_not_returned(); }

template <typename T> inline uint32_t __match_any_sync(uint32_t mask, T value) {
    return swcuda::collective(mask, swcuda::complete_match, swcuda::pack(value), 0);
}

template <typename T> inline T __shfl_sync(uint32_t mask, T value, int from, int width = 32) {
    unsigned lane = swcuda::lane_number();
    return swcuda::shuffle(mask, value, (lane & ~(width - 1)) | (from & (width - 1)), true);
}
template <typename T> inline T __shfl_xor_sync(uint32_t mask, T value, int with, int width = 32) {
    unsigned lane = swcuda::lane_number(), from = lane ^ with;
    return swcuda::shuffle(mask, value, from, from < (lane & ~(width - 1)) + width);
}
template <typename T> inline T __shfl_down_sync(uint32_t mask, T value, unsigned by, int width = 32) {
    unsigned lane = swcuda::lane_number();
    return swcuda::shuffle(mask, value, lane + by, (lane & (width - 1)) + by < unsigned(width));
}
template <typename T> inline T __shfl_up_sync(uint32_t mask, T value, unsigned by, int width = 32) {
    unsigned lane = swcuda::lane_number();
    return swcuda::shuffle(mask, value, lane - by, (lane & (width - 1)) >= by);
}

#define SWCUDA_REDUCE(NAME, T, RESULT)                                                               \
    inline T swcuda_combine_##NAME##_##T(T a, T b) { return RESULT; }                                \
    inline T __reduce_##NAME##_sync(uint32_t mask, T value) {                                        \
        return swcuda::unpack<T>(swcuda::collective(                                                 \
            mask, swcuda::complete_reduce<T, swcuda_combine_##NAME##_##T>, swcuda::pack(value), 0)); \
    }
SWCUDA_REDUCE(add, int, int(unsigned(a) + unsigned(b)))
SWCUDA_REDUCE(add, uint32_t, a + b)
SWCUDA_REDUCE(min, int, a < b ? a : b)
SWCUDA_REDUCE(min, uint32_t, a < b ? a : b)
SWCUDA_REDUCE(max, int, a > b ? a : b)
SWCUDA_REDUCE(max, uint32_t, a > b ? a : b)
SWCUDA_REDUCE(and, uint32_t, a & b)
SWCUDA_REDUCE(or, uint32_t, a | b)
SWCUDA_REDUCE(xor, uint32_t, a ^ b)
#undef SWCUDA_REDUCE
