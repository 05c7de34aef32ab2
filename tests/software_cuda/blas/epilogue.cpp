#include "epilogue.h"

#include <cmath>

#include "../device/libraries.h"

namespace swcuda {
namespace {

struct Kind {
    int bits;
    const char *name;
} const kinds[] = {
    {RELU, "relu"}, {BIAS, "bias"}, {RELU | BIAS, "relu_bias"}, {GELU, "gelu"}, {GELU | BIAS, "gelu_bias"},
    {GELU | AUX, "gelu_aux"}, {GELU | AUX | BIAS, "gelu_aux_bias"}, {DGELU | AUX, "dgelu"},
    {DGELU | AUX | BGRAD, "dgelu_bgrad"}, {BGRADA, "bgrada"}, {BGRADB, "bgradb"},
};

// cuBLASLt's GELU is the one with tanh.
constexpr double SQRT_2_OVER_PI = 0.79788456080286535588, CUBIC = 0.044715;

double gelu(double x) { return 0.5 * x * (1 + std::tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x))); }

double gelu_slope(double x) {
    double t = std::tanh(SQRT_2_OVER_PI * (x + CUBIC * x * x * x));
    return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * SQRT_2_OVER_PI * (1 + 3 * CUBIC * x * x);
}

// Sums of a factor's rows: of op(a)'s, [m], or of op(b)'s columns, [n].
void sum_factor(const EpilogueOptions &o, const Product &p, int batch) {
    bool of_a = o.kind & BGRADA;
    const Matrix &factor = of_a ? p.a : p.b;
    // Along a column of the matrix as it lies, or across.
    bool across = of_a ? !p.transpose_a : p.transpose_b;
    long long length = of_a ? p.m : p.n;
    for (long long i = 0; i < length; i++) {
        double sum = 0;
        for (long long l = 0; l < p.k; l++)
            sum += load(factor.data, factor.type, batch * factor.stride + (across ? i + l * factor.ld : l + i * factor.ld));
        store(o.bias, o.bias_type, batch * o.bias_stride + i, sum);
    }
}

void apply(const EpilogueOptions &o, const Product &p, int batch, float *sums) {
    auto aux_at = [&](long long i, long long j) { return batch * o.aux_stride + j * o.aux_ld + i; };
    for (long long j = 0; j < p.n; j++)
        for (long long i = 0; i < p.m; i++) {
            float &sum = sums[j * p.m + i];
            if (o.kind & BIAS) sum += load(o.bias, o.bias_type, batch * o.bias_stride + i);
            if ((o.kind & AUX) && (o.kind & GELU)) store(o.aux, o.aux_type, aux_at(i, j), sum);
            if (o.kind & RELU) sum = sum > 0 ? sum : 0;
            if (o.kind & GELU) sum = gelu(sum);
            if (o.kind & DGELU) sum *= gelu_slope(load(o.aux, o.aux_type, aux_at(i, j)));
        }
    if (o.kind & BGRAD)
        for (long long i = 0; i < p.m; i++) {
            double sum = 0;
            for (long long j = 0; j < p.n; j++) sum += sums[j * p.m + i];
            store(o.bias, o.bias_type, batch * o.bias_stride + i, sum);
        }
    if (o.kind & (BGRADA | BGRADB)) sum_factor(o, p, batch);
}

}  // namespace

bool make_epilogue(void *stream, const EpilogueOptions &given, const Product &p, Epilogue *epilogue) {
    if (given.kind == DEFAULT) return true;
    for (const Kind &kind : kinds)
        if (kind.bits == given.kind) epilogue->name = kind.name;
    if (!*epilogue->name) return false;
    EpilogueOptions o = given;
    if (o.bias_type < 0) o.bias_type = p.d.type;
    if (o.aux_type < 0) o.aux_type = p.d.type;
    long long length = o.kind & BGRADB ? p.n : p.m;
    size_t bias_bytes = ((p.batches - 1) * o.bias_stride + length) * size_of(o.bias_type);
    size_t aux_bytes = ((p.batches - 1) * o.aux_stride + (p.n - 1) * o.aux_ld + p.m) * size_of(o.aux_type);
    bool bias = o.kind & (BIAS | BGRAD | BGRADA | BGRADB), aux = o.kind & AUX;
    if (bias && !use_memory(stream, o.bias, bias_bytes, !(o.kind & BIAS), "cublasLtMatmul's bias")) return false;
    if (aux && (o.aux_ld < p.m || !use_memory(stream, o.aux, aux_bytes, o.kind & GELU, "cublasLtMatmul's aux"))) return false;
    epilogue->apply = [o, p](int batch, float *sums) { apply(o, p, batch, sums); };
    return true;
}

}  // namespace swcuda
