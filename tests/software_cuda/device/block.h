// Runs blocks on one host thread, the threads of a block as fibers of it.
//
// A fiber takes threads of the block one after the other and runs them. Only when one has to wait, at a barrier or for its
// warp, does the fiber stay with it, and another fiber takes on the rest. So a kernel without barriers is a plain loop on
// one fiber. The order of threads is SWCUDA_ORDER's; results of a correct kernel do not depend on it.
#pragma once
#include <random>
#include <vector>

#include "fiber.h"
#include "grid.h"
#include "settings.h"
#include "shared_memory.h"

namespace swcuda {

struct Thread : Lane {
    uint3 index;
    uint32_t number;
    uint32_t mask;      // lanes that it waits for
    Complete complete;  // in what operation of the warp
    Fiber *fiber;
};

struct Warp {
    uint32_t waiting, gone;
};

class BlockRunner {
public:
    // Of this host thread. Never freed, as its fibers are not.
    static BlockRunner &own();
    // Whether a thread of a grid runs on this host thread now.
    static bool is_running();

    void run(const Launch &launch, uint3 block);

    // What the thread of the grid that runs now asks for.
    void wait_for_block();
    uint64_t wait_for_warp(uint32_t mask, Complete complete, uint64_t value, uint32_t argument);
    unsigned lane() const { return current->number % WARP; }
    uint32_t lanes_not_returned() const { return ~warps[current->number / WARP].gone; }
    const char *kernel_name() const { return launch ? launch->kernel->name : "?"; }
    uint64_t block_number() const { return blocks; }
    SharedMemory shared;

private:
    static constexpr size_t WARP = 32;

    const Launch *launch = nullptr;
    uint3 block_size{};
    std::vector<Thread> threads;
    std::vector<Warp> warps;
    std::vector<uint32_t> order;   // of the threads, by their numbers
    std::vector<Thread *> ready;   // may go on; those released together so that the back is the next in order
    std::vector<Fiber *> idle;
    size_t next = 0, alive = 0, at_barrier = 0;
    uint64_t blocks = 0;
    Thread *current = nullptr;
    Fiber *running = nullptr;
    Fiber host = host_fiber();
    const Order how = settings().order;
    std::mt19937 random;

    static void fiber_body();
    void resize(uint3 size, size_t count);
    void prepare(const Launch &what, uint3 block);
    void suspend();
    Thread *take_ready();
    void run_threads();
    void finish();
    void release_barrier();
    void settle(size_t warp, size_t lane);
    [[noreturn]] void deadlock();
};

}  // namespace swcuda
