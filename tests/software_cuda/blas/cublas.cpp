// libcublas.so.13 of the software device: the products that candle and cudarc ask for.
#include "product.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

using namespace swcuda;

namespace {

struct Handle {
    void *stream = nullptr;
};

// C is what is added to and what is written.
int gemm(void *handle, int ta, int tb, int m, int n, int k, const void *alpha, Matrix a, Matrix b, const void *beta,
         Matrix c, int batches, int compute, const char *function) {
    return multiply(static_cast<Handle *>(handle)->stream, {ta, tb, m, n, k, alpha, a, b, beta, c, c, batches, compute},
                    function);
}

}  // namespace

EXPORT int cublasCreate_v2(void **handle) { return *handle = new Handle, SUCCESS; }
EXPORT int cublasDestroy_v2(void *handle) { return delete static_cast<Handle *>(handle), SUCCESS; }
EXPORT int cublasSetStream_v2(void *handle, void *stream) {
    return static_cast<Handle *>(handle)->stream = stream, SUCCESS;
}

EXPORT int cublasSgemm_v2(void *handle, int ta, int tb, int m, int n, int k, const float *alpha, const float *a, int lda,
                          const float *b, int ldb, const float *beta, float *c, int ldc) {
    return gemm(handle, ta, tb, m, n, k, alpha, {a, R_32F, lda, 0}, {b, R_32F, ldb, 0}, beta, {c, R_32F, ldc, 0}, 1,
                COMPUTE_32F, "cublasSgemm");
}
EXPORT int cublasDgemm_v2(void *handle, int ta, int tb, int m, int n, int k, const double *alpha, const double *a, int lda,
                          const double *b, int ldb, const double *beta, double *c, int ldc) {
    return gemm(handle, ta, tb, m, n, k, alpha, {a, R_64F, lda, 0}, {b, R_64F, ldb, 0}, beta, {c, R_64F, ldc, 0}, 1,
                COMPUTE_64F, "cublasDgemm");
}
EXPORT int cublasSgemmStridedBatched(void *handle, int ta, int tb, int m, int n, int k, const float *alpha, const float *a,
                                     int lda, long long sa, const float *b, int ldb, long long sb, const float *beta,
                                     float *c, int ldc, long long sc, int batches) {
    return gemm(handle, ta, tb, m, n, k, alpha, {a, R_32F, lda, sa}, {b, R_32F, ldb, sb}, beta, {c, R_32F, ldc, sc},
                batches, COMPUTE_32F, "cublasSgemmStridedBatched");
}
EXPORT int cublasDgemmStridedBatched(void *handle, int ta, int tb, int m, int n, int k, const double *alpha,
                                     const double *a, int lda, long long sa, const double *b, int ldb, long long sb,
                                     const double *beta, double *c, int ldc, long long sc, int batches) {
    return gemm(handle, ta, tb, m, n, k, alpha, {a, R_64F, lda, sa}, {b, R_64F, ldb, sb}, beta, {c, R_64F, ldc, sc},
                batches, COMPUTE_64F, "cublasDgemmStridedBatched");
}
EXPORT int cublasGemmEx(void *handle, int ta, int tb, int m, int n, int k, const void *alpha, const void *a, int type_a,
                        int lda, const void *b, int type_b, int ldb, const void *beta, void *c, int type_c, int ldc,
                        int compute, int) {
    return gemm(handle, ta, tb, m, n, k, alpha, {a, type_a, lda, 0}, {b, type_b, ldb, 0}, beta, {c, type_c, ldc, 0}, 1,
                compute, "cublasGemmEx");
}
EXPORT int cublasGemmStridedBatchedEx(void *handle, int ta, int tb, int m, int n, int k, const void *alpha, const void *a,
                                      int type_a, int lda, long long sa, const void *b, int type_b, int ldb, long long sb,
                                      const void *beta, void *c, int type_c, int ldc, long long sc, int batches,
                                      int compute, int) {
    return gemm(handle, ta, tb, m, n, k, alpha, {a, type_a, lda, sa}, {b, type_b, ldb, sb}, beta, {c, type_c, ldc, sc},
                batches, compute, "cublasGemmStridedBatchedEx");
}
