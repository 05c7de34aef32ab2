// Atomics and fences. Blocks may run on several host threads, so they are atomic there too.
#pragma once
#include <cstring>
#include <type_traits>

#include <stdint.h>

namespace swcuda {

template <typename To, typename From> inline To bits(From from) {
    static_assert(sizeof(To) == sizeof(From));
    To to;
    memcpy(&to, &from, sizeof to);
    return to;
}

template <typename T, typename F> inline T atomic_update(T *address, F change) {
    using Word = std::conditional_t<sizeof(T) == 2, uint16_t, std::conditional_t<sizeof(T) == 4, uint32_t, uint64_t>>;
    Word *word = reinterpret_cast<Word *>(address), old = __atomic_load_n(word, __ATOMIC_RELAXED);
    while (!__atomic_compare_exchange_n(word, &old, bits<Word>(T(change(bits<T>(old)))), false, __ATOMIC_RELAXED,
                                        __ATOMIC_RELAXED)) {}
    return bits<T>(old);
}

}  // namespace swcuda

inline void __threadfence() { __atomic_thread_fence(__ATOMIC_SEQ_CST); }
inline void __threadfence_block() {}

#define SWCUDA_ATOMIC(NAME, RESULT)                                     \
    template <typename T> inline T NAME(T *p, std::common_type_t<T> v) { \
        return swcuda::atomic_update(p, [&](T old) { return RESULT; }); \
    }
SWCUDA_ATOMIC(atomicAdd, old + v)
SWCUDA_ATOMIC(atomicSub, old - v)
SWCUDA_ATOMIC(atomicMax, old > v ? old : v)
SWCUDA_ATOMIC(atomicMin, old < v ? old : v)
SWCUDA_ATOMIC(atomicOr, old | v)
SWCUDA_ATOMIC(atomicAnd, old & v)
#undef SWCUDA_ATOMIC

template <typename T> inline T atomicExch(T *p, std::common_type_t<T> v) {
    return swcuda::atomic_update(p, [&](T) { return v; });
}
template <typename T> inline T atomicCAS(T *p, std::common_type_t<T> expected, std::common_type_t<T> v) {
    return swcuda::atomic_update(p, [&](T old) { return old == expected ? v : old; });
}
