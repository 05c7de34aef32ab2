// As cuBLAS does, products of half and bfloat16 are summed in f32, and a compute type that allows TF32 rounds the factors
// to it. The order of summation is that of neither cuBLAS nor any CPU library.
#include "product.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>
#include <vector>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "../device/libraries.h"

namespace swcuda {
namespace {

float to_tf32(float value) {
    uint32_t bits;
    memcpy(&bits, &value, 4);
    if ((bits & 0x7f800000) != 0x7f800000) bits = (bits + 0x1000) & ~0x1fffu;
    memcpy(&value, &bits, 4);
    return value;
}

template <typename A> A element(const Matrix &matrix, size_t i) {
    switch (matrix.type) {
    case R_64F: return A(static_cast<const double *>(matrix.data)[i]);
    case R_32F: return A(static_cast<const float *>(matrix.data)[i]);
    case R_16F: return A(__half2float(static_cast<const __half *>(matrix.data)[i]));
    default: return A(__bfloat162float(static_cast<const __nv_bfloat16 *>(matrix.data)[i]));
    }
}

// Copies a matrix, `rows` by `columns`, so that the elements of a row are beside each other. `by_rows` says that they
// were before.
template <typename A>
void pack(std::vector<A> &to, const Matrix &from, int batch, bool by_rows, size_t rows, size_t columns, bool tf32) {
    to.resize(rows * columns);
    size_t offset = batch * from.stride;
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) {
            A value = element<A>(from, offset + (by_rows ? r * from.ld + c : c * from.ld + r));
            to[r * columns + c] = tf32 ? A(to_tf32(float(value))) : value;
        }
}

// Column j of the sums is one over l of b[j, l] times row l of a.
template <typename A> void add_products(std::vector<A> &sums, const std::vector<A> &a, const std::vector<A> &b, const Product &p) {
    constexpr long long BLOCK = 256;
    for (long long l0 = 0; l0 < p.k; l0 += BLOCK)
        for (long long i0 = 0; i0 < p.m; i0 += BLOCK) {
            long long l1 = std::min(p.k, l0 + BLOCK), i1 = std::min(p.m, i0 + BLOCK);
            for (long long j = 0; j < p.n; j++) {
                A *__restrict__ sum = &sums[j * p.m];
                for (long long l = l0; l < l1; l++) {
                    A factor = b[j * p.k + l];
                    const A *__restrict__ row = &a[l * p.m];
                    for (long long i = i0; i < i1; i++) sum[i] += factor * row[i];
                }
            }
        }
}

template <typename A> void compute(const Product &p) {
    A alpha = *static_cast<const A *>(p.alpha), beta = *static_cast<const A *>(p.beta);
    bool tf32 = p.compute == COMPUTE_32F_FAST_TF32;
    std::vector<A> a, b, sums;
    for (int batch = 0; batch < p.batches; batch++) {
        sums.assign(p.n * p.m, A(0));
        if (std::is_same_v<A, double> || !settings().skip_products) {
            pack(a, p.a, batch, !p.transpose_a, p.k, p.m, tf32);
            pack(b, p.b, batch, !p.transpose_b, p.n, p.k, tf32);
            add_products(sums, a, b, p);
        }
        for (long long j = 0; j < p.n; j++)
            for (long long i = 0; i < p.m; i++) {
                A &sum = sums[j * p.m + i];
                sum *= alpha;
                if (beta != A(0)) sum += beta * element<A>(p.c, batch * p.c.stride + j * p.c.ld + i);
            }
        if constexpr (std::is_same_v<A, float>)
            if (p.epilogue.apply) p.epilogue.apply(batch, sums.data());
        for (long long j = 0; j < p.n; j++)
            for (long long i = 0; i < p.m; i++)
                store(const_cast<void *>(p.d.data), p.d.type, batch * p.d.stride + j * p.d.ld + i, sums[j * p.m + i]);
    }
}

bool is_supported(const Product &p) {
    if (p.transpose_a > 1 || p.transpose_b > 1 || p.transpose_a < 0 || p.transpose_b < 0) return false;
    bool is_double = p.compute == COMPUTE_64F;
    for (int type : {p.a.type, p.b.type, p.c.type, p.d.type})
        if ((type == R_64F) != is_double || (type > R_16F && type != R_16BF) || type < 0) return false;
    if (is_double) return !p.epilogue.apply;
    return p.compute == COMPUTE_32F || p.compute == COMPUTE_32F_PEDANTIC ||
           (p.compute >= COMPUTE_32F_FAST_16F && p.compute <= COMPUTE_32F_FAST_TF32);
}

struct Extent {
    long long rows, columns;
};

size_t reach(const Matrix &matrix, Extent extent, int batches) {
    return ((batches - 1) * matrix.stride + (extent.columns - 1) * matrix.ld + extent.rows) * size_of(matrix.type);
}

uint64_t bytes(const Matrix &matrix, Extent extent, int batches) {
    return uint64_t(extent.rows) * extent.columns * (matrix.stride ? batches : 1) * size_of(matrix.type);
}

const char *type_name(const Product &p) {
    switch (p.a.type) {
    case R_64F: return "f64";
    case R_16F: return "f16";
    case R_16BF: return "bf16";
    default: return p.compute == COMPUTE_32F_FAST_TF32 ? "tf32" : "f32";
    }
}

}  // namespace

size_t size_of(int type) { return type == R_64F ? 8 : type == R_32F ? 4 : 2; }

double load(const void *from, int type, size_t i) { return element<double>({from, type, 0, 0}, i); }

void store(void *to, int type, size_t i, double value) {
    switch (type) {
    case R_64F: static_cast<double *>(to)[i] = value; break;
    case R_32F: static_cast<float *>(to)[i] = float(value); break;
    case R_16F: static_cast<__half *>(to)[i] = __float2half(float(value)); break;
    default: static_cast<__nv_bfloat16 *>(to)[i] = __float2bfloat16(float(value));
    }
}

int multiply(void *stream, const Product &p, const char *function) {
    if (lost()) return EXECUTION_FAILED;
    if (!is_supported(p)) return NOT_SUPPORTED;
    Extent a = p.transpose_a ? Extent{p.k, p.m} : Extent{p.m, p.k}, b = p.transpose_b ? Extent{p.n, p.k} : Extent{p.k, p.n};
    Extent c{p.m, p.n};
    if (p.m < 0 || p.n < 0 || p.k < 0 || p.batches < 0 || p.a.ld < std::max(1ll, a.rows) || p.b.ld < std::max(1ll, b.rows) ||
        p.c.ld < std::max(1ll, p.m) || p.d.ld < std::max(1ll, p.m))
        return INVALID_VALUE;
    if (!p.m || !p.n || !p.batches) return SUCCESS;
    bool adds = p.a.type == R_64F ? *static_cast<const double *>(p.beta) != 0 : *static_cast<const float *>(p.beta) != 0;
    auto use = [&](const Matrix &matrix, Extent extent, bool writes) {
        return use_memory(stream, matrix.data, reach(matrix, extent, p.batches), writes, function);
    };
    if ((p.k && !(use(p.a, a, false) && use(p.b, b, false))) || (adds && !use(p.c, c, false)) || !use(p.d, c, true)) {
        fprintf(stderr, "swcuda: %s: a matrix is not, or not wholly, in the device's memory\n", function);
        return INVALID_VALUE;
    }
    auto start = std::chrono::steady_clock::now();
    p.compute == COMPUTE_64F ? compute<double>(p) : compute<float>(p);
    std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    Traffic traffic{bytes(p.a, a, p.batches) + bytes(p.b, b, p.batches) + (adds ? bytes(p.c, c, p.batches) : 0),
                    bytes(p.d, c, p.batches)};
    count_product({type_name(p), (unsigned long)p.m, (unsigned long)p.n, (unsigned long)p.k, (unsigned long)p.batches,
                   p.epilogue.name}, traffic, took.count());
    return SUCCESS;
}

}  // namespace swcuda
