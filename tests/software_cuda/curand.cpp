// libcurand.so.10 of the software device. candle makes a generator when it opens a device. The numbers are not
// cuRAND's.

#include <cmath>
#include <cstdint>

#include "device/libraries.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

namespace {

enum Status { SUCCESS = 0, OUT_OF_RANGE = 104, LENGTH_NOT_MULTIPLE = 105, LAUNCH_FAILURE = 201 };

struct Generator {
    uint64_t state = 0;
    void *stream = nullptr;

    uint64_t next() {  // splitmix64
        uint64_t z = state += 0x9e3779b97f4a7c15;
        z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9;
        z = (z ^ z >> 27) * 0x94d049bb133111eb;
        return z ^ z >> 31;
    }
    double uniform() { return double((next() >> 11) + 1) * 0x1p-53; }  // (0, 1], as cuRAND's
    double normal() { return std::sqrt(-2 * std::log(uniform())) * std::cos(6.283185307179586 * uniform()); }
};

template <typename T, typename F> int fill(void *generator, T *to, size_t count, F draw) {
    Generator &g = *static_cast<Generator *>(generator);
    if (!swcuda::use_memory(g.stream, to, count * sizeof(T), true, "curandGenerate")) return LAUNCH_FAILURE;
    for (size_t i = 0; i < count; i++) to[i] = T(draw(g));
    return SUCCESS;
}

}  // namespace

EXPORT int curandCreateGenerator(void **generator, int) { return *generator = new Generator, SUCCESS; }
EXPORT int curandDestroyGenerator(void *generator) { return delete static_cast<Generator *>(generator), SUCCESS; }
EXPORT int curandSetStream(void *generator, void *stream) {
    return static_cast<Generator *>(generator)->stream = stream, SUCCESS;
}
EXPORT int curandSetPseudoRandomGeneratorSeed(void *generator, unsigned long long seed) {
    return static_cast<Generator *>(generator)->state = seed, SUCCESS;
}
EXPORT int curandSetGeneratorOffset(void *generator, unsigned long long offset) {
    return static_cast<Generator *>(generator)->state += 0x9e3779b97f4a7c15 * offset, SUCCESS;
}
EXPORT int curandGenerateUniform(void *generator, float *to, size_t count) {
    return fill(generator, to, count, [](Generator &g) { return g.uniform(); });
}
EXPORT int curandGenerateUniformDouble(void *generator, double *to, size_t count) {
    return fill(generator, to, count, [](Generator &g) { return g.uniform(); });
}
EXPORT int curandGenerateNormal(void *generator, float *to, size_t count, float mean, float deviation) {
    if (count % 2) return LENGTH_NOT_MULTIPLE;
    return fill(generator, to, count, [=](Generator &g) { return mean + deviation * g.normal(); });
}
EXPORT int curandGenerateNormalDouble(void *generator, double *to, size_t count, double mean, double deviation) {
    if (count % 2) return LENGTH_NOT_MULTIPLE;
    return fill(generator, to, count, [=](Generator &g) { return mean + deviation * g.normal(); });
}
