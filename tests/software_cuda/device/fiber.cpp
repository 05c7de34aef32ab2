#include "fiber.h"

#include <cstdlib>

#include <sys/mman.h>

// Saves what a call preserves on this stack, and goes on with what is saved on the other.
extern "C" void swcuda_switch(void **save, void *load);
__asm__(".text\n"
        ".type swcuda_switch, @function\n"
        "swcuda_switch:\n"
        "  pushq %rbp\n  pushq %rbx\n  pushq %r12\n  pushq %r13\n  pushq %r14\n  pushq %r15\n"
        "  movq %rsp, (%rdi)\n"
        "  movq %rsi, %rsp\n"
        "  popq %r15\n  popq %r14\n  popq %r13\n  popq %r12\n  popq %rbx\n  popq %rbp\n"
        "  ret\n");

namespace swcuda {

constexpr size_t STACK = 64 * 1024, SAVED_REGISTERS = 6;

char *new_pages(size_t size) {
    void *pages = mmap(nullptr, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (pages == MAP_FAILED) abort();
    return static_cast<char *>(pages);
}

void forbid(char *pages, size_t size) {
    if (mprotect(pages, size, PROT_NONE)) abort();
}

Fiber *new_fiber(void (*body)()) {
    char *memory = new_pages(PAGE + STACK);
    forbid(memory, PAGE);
    // Stacks do not all begin at the same place of a page: the caches would hold but a few of them.
    static thread_local size_t fibers;
    void **top = reinterpret_cast<void **>(memory + PAGE + STACK - fibers++ * 576 % PAGE);
    *--top = nullptr;  // where `body` would return to; keeps the alignment of a call
    *--top = reinterpret_cast<void *>(body);
    for (size_t i = 0; i < SAVED_REGISTERS; i++) *--top = nullptr;
    return new Fiber{top};
}

void switch_fiber(Fiber &from, const Fiber &to) { swcuda_switch(&from.stack_pointer, to.stack_pointer); }

}  // namespace swcuda
