// Fibers: stacks between which one host thread switches.
#pragma once
#include <cstddef>

namespace swcuda {

struct Fiber {
    void *stack_pointer;
};

// One that runs `body` when it is first switched to; `body` must not return. It is never freed, but used again.
Fiber *new_fiber(void (*body)());
// The host thread's own stack.
inline Fiber host_fiber() { return Fiber{nullptr}; }
// Leaves one fiber for another one. Returns when somebody switches back.
void switch_fiber(Fiber &from, const Fiber &to);

// Memory that is zero until it is written, and takes none until then.
char *new_pages(size_t size);
// `size` is a multiple of PAGE.
void forbid(char *pages, size_t size);

constexpr size_t PAGE = 4096;

}  // namespace swcuda
