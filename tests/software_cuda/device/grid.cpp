#include "grid.h"

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <random>
#include <vector>

#include <signal.h>
#include <unistd.h>

#include "block.h"
#include "pool.h"
#include "settings.h"

namespace swcuda {
namespace {

// A kernel that touches what is not its own says so before the program ends.
struct sigaction before;

void memory_fault(int signal, siginfo_t *info, void *) {
    if (BlockRunner::is_running()) fail("touches %p, which is not its own", info->si_addr);
    sigaction(signal, &before, nullptr);  // happens again, and is then for whom it was for
}

void watch_faults() {
    struct sigaction action = {};
    action.sa_sigaction = memory_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER;
    sigaction(SIGSEGV, &action, &before);
}

std::vector<uint32_t> shuffled(size_t count) {
    std::vector<uint32_t> order(count);
    for (size_t i = 0; i < count; i++) order[i] = i;
    std::shuffle(order.begin(), order.end(), std::mt19937(settings().seed));
    return order;
}

}  // namespace

void run(const Launch &launch) {
    static Pool *pool = (watch_faults(), new Pool(settings().threads));
    uint3 grid = launch.grid;
    size_t count = size_t(grid.x) * grid.y * grid.z;
    Order how = settings().order;
    std::vector<uint32_t> order = how == Order::Random ? shuffled(count) : std::vector<uint32_t>();
    pool->run(count, [&](size_t i) {
        size_t block = how == Order::Forward ? i : how == Order::Reverse ? count - 1 - i : order[i];
        uint3 index = {unsigned(block % grid.x), unsigned(block / grid.x % grid.y), unsigned(block / grid.x / grid.y)};
        BlockRunner::own().run(launch, index);
    });
}

// --- what kernels ask for

uint64_t collective(uint32_t mask, Complete complete, uint64_t value, uint32_t argument) {
    return BlockRunner::own().wait_for_warp(mask, complete, value, argument);
}

void block_barrier() { BlockRunner::own().wait_for_block(); }

unsigned lane_number() { return BlockRunner::own().lane(); }

uint32_t lanes_not_returned() { return BlockRunner::own().lanes_not_returned(); }

void *dynamic_shared() { return BlockRunner::own().shared.dynamic(); }

uint64_t block_number() { return BlockRunner::own().block_number(); }

void place_shared(SharedVariable &variable, size_t size, size_t alignment) {
    BlockRunner &runner = BlockRunner::own();
    variable.memory = runner.shared.place(variable.name, size, alignment);
    variable.block = runner.block_number();
}

// May run in a signal's handler on a small stack of its own, where stdio's buffers would not fit.
void fail(const char *format, ...) {
    char text[768];
    size_t end = snprintf(text, 256, "swcuda: %s: thread (%u, %u, %u) of block (%u, %u, %u) ",
                          BlockRunner::own().kernel_name(), threadIdx.x, threadIdx.y, threadIdx.z, blockIdx.x, blockIdx.y,
                          blockIdx.z);
    end = std::min<size_t>(end, 255);
    va_list arguments;
    va_start(arguments, format);
    end += std::min<size_t>(vsnprintf(text + end, 510, format, arguments), 509);
    va_end(arguments);
    text[end++] = '\n';
    if (write(STDERR_FILENO, text, end) < 0) abort();
    abort();
}

}  // namespace swcuda
