#include "block.h"

#include <algorithm>

__thread uint3 threadIdx, blockIdx, blockDim, gridDim;

namespace swcuda {
namespace {

__thread BlockRunner *own_runner;

// Calls f with 0 to count − 1 so that what is pushed last is the first in order.
template <typename F> void each_backwards(Order order, size_t count, F f) {
    for (size_t i = 0; i < count; i++) f(order == Order::Forward ? count - 1 - i : i);
}

}  // namespace

BlockRunner &BlockRunner::own() {
    if (__builtin_expect(!own_runner, 0)) own_runner = new BlockRunner;
    return *own_runner;
}

bool BlockRunner::is_running() { return own_runner && own_runner->current; }

void BlockRunner::run(const Launch &what, uint3 block) {
    prepare(what, block);
    running = &host;
    suspend();  // until the last thread of the block has returned
    current = nullptr;
}

void BlockRunner::resize(uint3 size, size_t count) {
    block_size = size;
    threads.resize(count), order.resize(count), ready.reserve(count);
    for (size_t i = 0; i < count; i++) {
        threads[i].index = {unsigned(i % size.x), unsigned(i / size.x % size.y), unsigned(i / size.x / size.y)};
        threads[i].number = i;
        order[i] = how == Order::Reverse ? count - 1 - i : i;
    }
}

void BlockRunner::prepare(const Launch &what, uint3 block) {
    launch = &what;
    uint3 size = what.block;
    size_t count = size_t(size.x) * size.y * size.z;
    if (block_size.x != size.x || block_size.y != size.y || threads.size() != count) resize(size, count);
    blockIdx = block, blockDim = size, gridDim = what.grid;
    warps.assign((count + WARP - 1) / WARP, Warp{0, 0});
    if (count % WARP) warps.back().gone = ~0u << count % WARP;
    if (how == Order::Random) {
        random.seed(settings().seed + block.x + 7919 * block.y + 104729 * block.z);
        std::shuffle(order.begin(), order.end(), random);
    }
    shared.start_block(what);
    blocks++;
    ready.clear();
    next = at_barrier = 0;
    alive = count;
}

// Leaves the fiber that runs for the one that shall run next.
void BlockRunner::suspend() {
    Fiber *left = running;
    bool may_start = next < order.size();
    if (!alive) {
        running = &host;
    } else if (may_start && (ready.empty() || (how == Order::Random && random() % 2))) {
        if (idle.empty()) idle.push_back(new_fiber(fiber_body));
        running = idle.back();
        idle.pop_back();
    } else {
        if (ready.empty()) deadlock();
        current = take_ready();
        running = current->fiber;
        threadIdx = current->index;
    }
    if (running != left) switch_fiber(*left, *running);
}

Thread *BlockRunner::take_ready() {
    if (how == Order::Random) std::swap(ready[random() % ready.size()], ready.back());
    Thread *thread = ready.back();
    ready.pop_back();
    return thread;
}

void BlockRunner::fiber_body() {
    for (;;) own().run_threads();
}

void BlockRunner::run_threads() {
    while (next < order.size()) {
        current = &threads[order[next++]];
        current->fiber = running;
        threadIdx = current->index;
        launch->kernel->body(launch->arguments);
        finish();
    }
    idle.push_back(running);
    suspend();
}

// The current thread has returned: those that wait for it wait no longer.
void BlockRunner::finish() {
    size_t number = current->number / WARP;
    Warp &warp = warps[number];
    warp.gone |= 1u << current->number % WARP;
    alive--;
    for (uint32_t left = warp.waiting; left; left &= left - 1)
        if (warp.waiting & (left & -left)) settle(number, __builtin_ctz(left));
    if (alive && at_barrier == alive) release_barrier();
}

void BlockRunner::wait_for_block() {
    current->mask = 0;
    current->complete = nullptr;
    if (++at_barrier == alive) release_barrier();
    suspend();
}

void BlockRunner::release_barrier() {
    at_barrier = 0;
    each_backwards(how, threads.size(), [&](size_t number) {
        if (!(warps[number / WARP].gone >> number % WARP & 1)) ready.push_back(&threads[number]);
    });
}

uint64_t BlockRunner::wait_for_warp(uint32_t mask, Complete complete, uint64_t value, uint32_t argument) {
    Thread &thread = *current;
    size_t warp = thread.number / WARP, lane = thread.number % WARP;
    if (!(mask >> lane & 1)) fail("calls an operation of its warp with the mask %08x, which it is not in", mask);
    thread.value = value, thread.argument = argument, thread.mask = mask, thread.complete = complete;
    warps[warp].waiting |= 1u << lane;
    settle(warp, lane);
    suspend();
    return thread.result;
}

// Completes the operation that a lane waits in, if all lanes of its mask have come.
void BlockRunner::settle(size_t number, size_t lane) {
    Warp &warp = warps[number];
    Thread *first = &threads[number * WARP];
    uint32_t needed = first[lane].mask & ~warp.gone;
    if (needed & ~warp.waiting) return;
    Lane *lanes[WARP] = {};
    for (size_t i = 0; i < WARP; i++) {
        if (!(needed >> i & 1)) continue;
        lanes[i] = &first[i];
        if (first[i].mask != first[lane].mask || first[i].complete != first[lane].complete)
            fail("meets lanes of its warp in different operations or with different masks (%08x, %08x)",
                 first[i].mask, first[lane].mask);
    }
    first[lane].complete(lanes, needed);
    warp.waiting &= ~needed;
    each_backwards(how, WARP, [&](size_t i) {
        if (needed >> i & 1) ready.push_back(&first[i]);
    });
}

void BlockRunner::deadlock() {
    for (Thread &thread : threads) {
        current = &thread, threadIdx = thread.index;
        if (warps[thread.number / WARP].waiting >> thread.number % WARP & 1)
            fail("waits for lanes of its warp (mask %08x) that never come; %zu of %zu threads are at __syncthreads",
                 thread.mask, at_barrier, alive);
    }
    fail("waits at __syncthreads with %zu of %zu threads", at_barrier, alive);
}

}  // namespace swcuda
