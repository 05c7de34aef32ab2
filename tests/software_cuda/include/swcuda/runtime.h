// What a kernel compiled for the software device asks of the library that runs it, libcuda.so.1: its place in the grid,
// barriers, shared memory. And what the library asks of a kernel: how to call it.
#pragma once
#include <stddef.h>
#include <stdint.h>
#include <vector_types.h>

// Of the thread of the grid that runs now. Initial-exec makes each one instruction, also in a kernel's own library.
#define SWCUDA_OF_THREAD extern __thread __attribute__((tls_model("initial-exec")))
SWCUDA_OF_THREAD uint3 threadIdx;
SWCUDA_OF_THREAD uint3 blockIdx;
SWCUDA_OF_THREAD uint3 blockDim;
SWCUDA_OF_THREAD uint3 gridDim;

namespace swcuda {

// --- what kernels ask for

// What a thread brings to an operation of its warp, and what it takes away.
struct Lane {
    uint64_t value;
    uint64_t result;
    uint32_t argument;
};

// Called once all lanes of the mask have come; `active` are those of them that exist and have not returned.
using Complete = void (*)(Lane *const lanes[32], uint32_t active);

uint64_t collective(uint32_t mask, Complete complete, uint64_t value, uint32_t argument);
void block_barrier();
unsigned lane_number();
uint32_t lanes_not_returned();
void *dynamic_shared();

// A static __shared__ variable, and where the block that runs now has it. One for each host thread.
struct SharedVariable {
    const char *name;
    uint64_t block;
    void *memory;
};
void place_shared(SharedVariable &variable, size_t size, size_t alignment);
uint64_t block_number();

// Ends the program with a sentence about the thread that runs now.
[[noreturn]] void fail(const char *format, ...) __attribute__((format(printf, 1, 2)));

// --- what a kernel's library has to offer

struct Parameter {
    size_t size;
    bool pointer, writes;
};

// Bytes of device memory that one launch has to move.
struct Traffic {
    uint64_t reads, writes;
};

struct Kernel {
    const char *name;
    void (*body)(void **arguments);
    const Parameter *parameters;
    size_t parameter_count;
    // Declared beside the kernel by SWCUDA_TRAFFIC, or null.
    Traffic (*traffic)(void **arguments);
};

// Exported as `swcuda_module`.
struct Module {
    const Kernel *kernels;
    size_t count;
};

}  // namespace swcuda
