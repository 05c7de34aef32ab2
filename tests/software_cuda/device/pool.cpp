#include "pool.h"

#include <thread>

namespace swcuda {

void Pool::run(size_t count, const std::function<void(size_t)> &body) {
    std::unique_lock<std::mutex> mine(launching, std::defer_lock);
    if (count < 2 || threads < 2 || !mine.try_lock()) {
        for (size_t i = 0; i < count; i++) body(i);
        return;
    }
    std::unique_lock<std::mutex> lock(mutex);
    for (; helpers < threads - 1; helpers++) std::thread(&Pool::help, this).detach();
    task = &body, end = count, next = 0, round++;
    changed.notify_all();
    lock.unlock();
    take(body, count);
    lock.lock();
    task = nullptr;
    changed.wait(lock, [&] { return working == 0; });
}

void Pool::take(const std::function<void(size_t)> &body, size_t count) {
    for (size_t i; (i = __atomic_fetch_add(&next, 1, __ATOMIC_RELAXED)) < count;) body(i);
}

void Pool::help() {
    std::unique_lock<std::mutex> lock(mutex);
    for (unsigned seen = 0;;) {
        changed.wait(lock, [&] { return task && round != seen; });
        seen = round, working++;
        const auto *body = task;
        size_t count = end;
        lock.unlock();
        take(*body, count);
        lock.lock();
        if (--working == 0) changed.notify_all();
    }
}

}  // namespace swcuda
