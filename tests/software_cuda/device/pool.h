// Host threads that run blocks beside the one that launches. One launch at a time has them.
#pragma once
#include <condition_variable>
#include <cstddef>
#include <functional>
#include <mutex>

namespace swcuda {

class Pool {
public:
    explicit Pool(unsigned threads) : threads(threads) {}
    // Calls body with 0 to count − 1, each once.
    void run(size_t count, const std::function<void(size_t)> &body);

private:
    const unsigned threads;
    std::mutex launching, mutex;
    std::condition_variable changed;
    const std::function<void(size_t)> *task = nullptr;
    size_t next = 0, end = 0;
    unsigned helpers = 0, working = 0, round = 0;

    void take(const std::function<void(size_t)> &body, size_t count);
    void help();
};

}  // namespace swcuda
