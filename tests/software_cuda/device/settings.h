// What SWCUDA_… variables say, read once.
#pragma once
#include <cstddef>
#include <string>

namespace swcuda {

enum class Order { Forward, Reverse, Random };

struct Settings {
    // What the device is.
    unsigned devices, capability, driver;
    size_t memory;
    std::string name;
    // What happens to it: the launch after which it is lost, or 0.
    unsigned long lost_after;
    // How it runs.
    Order order;
    unsigned seed, threads;
    // What it looks for.
    bool guard, strict;
    // Whether products of f32 and less are counted alone: their sums are 0.
    bool skip_products;
    // Bytes that the program may leave without freeing them.
    size_t may_be_left;
    // Where to write counts: a file, - for stderr, or nothing.
    std::string counts;
    // Where kernel libraries are; empty for the folder beside libcuda.so.1.
    std::string kernels;
};

const Settings &settings();

}  // namespace swcuda
