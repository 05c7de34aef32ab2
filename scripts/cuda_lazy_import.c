// An import library: stands in for a CUDA library when the program is linked, and opens the real one when one of its
// functions is first called. Compiled once for each library by scripts/cuda-env.sh, with
//
//   FUNCTIONS   a file with a line FUNCTION(index, name) for each function
//   SONAMES     the library's file names, as string literals with a comma after each
//   NOT_LOADED  the status that every function returns where the library or the function is missing
//
// A call goes through a slot that holds the function's address. An empty slot is filled first, with every register that
// may hold an argument saved (System V x86-64), so the signatures need not be known.

#define _GNU_SOURCE
#include <dlfcn.h>
#include <stddef.h>

static const char *const sonames[] = {SONAMES};

static const char *const names[] = {
#define FUNCTION(index, name) #name,
#include FUNCTIONS
#undef FUNCTION
};

__attribute__((used)) static void *slots[sizeof names / sizeof *names];

static int not_loaded(void) { return NOT_LOADED; }

static void *open_library(void) {
    for (size_t i = 0; i < sizeof sonames / sizeof *sonames; i++) {
        void *library = dlopen(sonames[i], RTLD_NOW | RTLD_GLOBAL);
        if (library) return library;
    }
    return NULL;
}

// Threads may do this at the same time: dlopen gives all of them the same library, and they write the same address.
__attribute__((used)) static void *fill_slot(size_t index) {
    static void *library;
    static int tried;
    if (!__atomic_load_n(&tried, __ATOMIC_ACQUIRE)) {
        __atomic_store_n(&library, open_library(), __ATOMIC_RELAXED);
        __atomic_store_n(&tried, 1, __ATOMIC_RELEASE);
    }
    void *opened = __atomic_load_n(&library, __ATOMIC_RELAXED);
    void *function = opened ? dlsym(opened, names[index]) : NULL;
    if (!function) function = (void *)not_loaded;
    __atomic_store_n(&slots[index], function, __ATOMIC_RELEASE);
    return function;
}

#define FUNCTION(index, name)                \
    __asm__(".text\n"                        \
            ".globl " #name "\n"             \
            ".type " #name ", @function\n"   \
            #name ":\n"                      \
            "  movq slots+8*" #index "(%rip), %rax\n" \
            "  testq %rax, %rax\n"           \
            "  je 1f\n"                      \
            "  jmp *%rax\n"                  \
            "1: pushq $" #index "\n"         \
            "  jmp fill_and_call\n");
#include FUNCTIONS
#undef FUNCTION

// On the stack: the index, above it the caller's return address. The pushes keep it aligned to 16 bytes for the call.
__asm__(".text\n"
        "fill_and_call:\n"
        "  pushq %rdi\n"
        "  pushq %rsi\n"
        "  pushq %rdx\n"
        "  pushq %rcx\n"
        "  pushq %r8\n"
        "  pushq %r9\n"
        "  subq $128, %rsp\n"
        "  movups %xmm0, (%rsp)\n"
        "  movups %xmm1, 16(%rsp)\n"
        "  movups %xmm2, 32(%rsp)\n"
        "  movups %xmm3, 48(%rsp)\n"
        "  movups %xmm4, 64(%rsp)\n"
        "  movups %xmm5, 80(%rsp)\n"
        "  movups %xmm6, 96(%rsp)\n"
        "  movups %xmm7, 112(%rsp)\n"
        "  movq 176(%rsp), %rdi\n"
        "  call fill_slot\n"
        "  movups (%rsp), %xmm0\n"
        "  movups 16(%rsp), %xmm1\n"
        "  movups 32(%rsp), %xmm2\n"
        "  movups 48(%rsp), %xmm3\n"
        "  movups 64(%rsp), %xmm4\n"
        "  movups 80(%rsp), %xmm5\n"
        "  movups 96(%rsp), %xmm6\n"
        "  movups 112(%rsp), %xmm7\n"
        "  addq $128, %rsp\n"
        "  popq %r9\n"
        "  popq %r8\n"
        "  popq %rcx\n"
        "  popq %rdx\n"
        "  popq %rsi\n"
        "  popq %rdi\n"
        "  addq $8, %rsp\n"
        "  jmp *%rax\n");
