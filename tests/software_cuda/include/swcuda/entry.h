// How the library calls a kernel: its arguments come as pointers to values, and its C++ signature says of which types.
#pragma once
#include <type_traits>
#include <utility>

#include "runtime.h"

namespace swcuda {

template <typename A> constexpr Parameter parameter() {
    constexpr bool pointer = std::is_pointer_v<A>;
    return {sizeof(A), pointer, pointer && !std::is_const_v<std::remove_pointer_t<A>>};
}

template <auto function> struct Entry;
template <typename R, typename... A, R (*function)(A...)> struct Entry<function> {
    template <size_t... I> static R call(void **arguments, std::index_sequence<I...>) {
        return function(*static_cast<std::remove_const_t<A> *>(arguments[I])...);
    }
    static R body(void **arguments) { return call(arguments, std::index_sequence_for<A...>()); }
    static constexpr Parameter parameters[sizeof...(A) + 1] = {parameter<A>()..., {}};
    static constexpr Kernel kernel(const char *name, Traffic (*traffic)(void **) = nullptr) {
        return {name, &body, parameters, sizeof...(A), traffic};
    }
};

// Where the block that runs now has a static __shared__ variable: build turns each declaration into a call of this.
template <typename T> inline T &shared(SharedVariable &variable, size_t alignment) {
    if (__builtin_expect(variable.block != block_number(), 0)) place_shared(variable, sizeof(T), alignment);
    return *static_cast<T *>(variable.memory);
}

}  // namespace swcuda
