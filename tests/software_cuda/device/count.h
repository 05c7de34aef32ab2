// Counts what the program asks of the device, and writes them as JSON when it ends (SWCUDA_COUNTS). They stand for speed
// where no GPU is at hand.
#pragma once
#include <cstddef>
#include <cstdint>
#include <string>

#include "../include/swcuda/runtime.h"

namespace swcuda {

enum class Direction { HostToDevice, DeviceToHost, DeviceToDevice };

// A product of matrices, [m, k] × [k, n], `batches` times.
struct ProductShape {
    std::string type;  // of the operands: f32, tf32, f64, f16, bf16
    unsigned long m, n, k, batches;
    std::string epilogue;  // what else it computes, or nothing

    bool operator<(const ProductShape &other) const;
};

void count_launch(const char *kernel, Traffic traffic, bool declared, double seconds);
void count_copy(Direction direction, size_t bytes);
void count_fill(size_t bytes);
// The host waits for the device: because it asks for that, or since it copies to pageable memory.
void count_wait(bool asked);
void count_product(const ProductShape &shape, Traffic traffic, double seconds);
void count_allocation(size_t bytes, size_t in_use);

}  // namespace swcuda
