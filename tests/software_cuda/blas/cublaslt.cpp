// libcublasLt.so.13 of the software device: matrix products with an epilogue. Any algorithm does.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <type_traits>

#include "epilogue.h"
#include "product.h"

#define EXPORT extern "C" __attribute__((visibility("default")))

using namespace swcuda;

namespace {

enum LayoutAttribute { LAYOUT_TYPE, LAYOUT_ORDER, LAYOUT_ROWS, LAYOUT_COLS, LAYOUT_LD, LAYOUT_BATCH_COUNT, LAYOUT_BATCH_STRIDE };
enum DescAttribute {
    DESC_COMPUTE_TYPE, DESC_SCALE_TYPE, DESC_POINTER_MODE, DESC_TRANSA, DESC_TRANSB, DESC_TRANSC, DESC_FILL_MODE,
    DESC_EPILOGUE, DESC_BIAS_POINTER, DESC_BIAS_BATCH_STRIDE = 10, DESC_AUX_POINTER, DESC_AUX_LD, DESC_AUX_BATCH_STRIDE,
    DESC_AUX_DATA_TYPE = 22, DESC_BIAS_DATA_TYPE = 26
};
enum { COLUMN_ORDER = 0 };

struct MatrixLayout {
    int type;
    uint64_t rows, columns;
    long long ld, stride = 0;
    int batches = 1;

    Matrix of(const void *data) const { return {data, type, ld, stride}; }
};

struct Description {
    int compute, scale_type;
    int transpose_a = 0, transpose_b = 0;
    EpilogueOptions epilogue = {};
};

// cublasLtMatmulHeuristicResult_t
struct HeuristicResult {
    uint64_t algorithm[8];
    size_t workspace;
    int state;
    float waves;
    int reserved[4];
};

template <typename T> int set(T &field, const void *value, size_t bytes) {
    if (bytes != sizeof field) return INVALID_VALUE;
    return memcpy(&field, value, bytes), SUCCESS;
}

// An attribute that the software device has at one value only.
int expect(int only, const void *value, size_t bytes) {
    int given;
    if (set(given, value, bytes)) return INVALID_VALUE;
    return given == only ? SUCCESS : NOT_SUPPORTED;
}

bool fits(const MatrixLayout &layout, uint64_t rows, uint64_t columns) {
    return layout.rows == rows && layout.columns == columns;
}

}  // namespace

EXPORT int cublasLtCreate(void **handle) { return *handle = new char, SUCCESS; }
EXPORT int cublasLtDestroy(void *handle) { return delete static_cast<char *>(handle), SUCCESS; }

EXPORT int cublasLtMatrixLayoutCreate(MatrixLayout **layout, int type, uint64_t rows, uint64_t columns, int64_t ld) {
    return *layout = new MatrixLayout{type, rows, columns, ld}, SUCCESS;
}
EXPORT int cublasLtMatrixLayoutDestroy(MatrixLayout *layout) { return delete layout, SUCCESS; }
EXPORT int cublasLtMatrixLayoutSetAttribute(MatrixLayout *layout, int which, const void *value, size_t bytes) {
    switch (which) {
    case LAYOUT_TYPE: return set(layout->type, value, bytes);
    case LAYOUT_ORDER: return expect(COLUMN_ORDER, value, bytes);
    case LAYOUT_ROWS: return set(layout->rows, value, bytes);
    case LAYOUT_COLS: return set(layout->columns, value, bytes);
    case LAYOUT_LD: return set(layout->ld, value, bytes);
    case LAYOUT_BATCH_COUNT: return set(layout->batches, value, bytes);
    case LAYOUT_BATCH_STRIDE: return set(layout->stride, value, bytes);
    default: return NOT_SUPPORTED;
    }
}

EXPORT int cublasLtMatmulDescCreate(Description **description, int compute, int scale_type) {
    return *description = new Description{compute, scale_type}, SUCCESS;
}
EXPORT int cublasLtMatmulDescDestroy(Description *description) { return delete description, SUCCESS; }
EXPORT int cublasLtMatmulDescSetAttribute(Description *d, int which, const void *value, size_t bytes) {
    EpilogueOptions &epilogue = d->epilogue;
    switch (which) {
    case DESC_COMPUTE_TYPE: return set(d->compute, value, bytes);
    case DESC_SCALE_TYPE: return set(d->scale_type, value, bytes);
    case DESC_POINTER_MODE: return expect(0, value, bytes);  // α and β are the host's
    case DESC_TRANSA: return set(d->transpose_a, value, bytes);
    case DESC_TRANSB: return set(d->transpose_b, value, bytes);
    case DESC_TRANSC: return expect(0, value, bytes);
    case DESC_EPILOGUE: return set(epilogue.kind, value, bytes);
    case DESC_BIAS_POINTER: return set(epilogue.bias, value, bytes);
    case DESC_BIAS_BATCH_STRIDE: return set(epilogue.bias_stride, value, bytes);
    case DESC_BIAS_DATA_TYPE: return set(epilogue.bias_type, value, bytes);
    case DESC_AUX_POINTER: return set(epilogue.aux, value, bytes);
    case DESC_AUX_LD: return set(epilogue.aux_ld, value, bytes);
    case DESC_AUX_BATCH_STRIDE: return set(epilogue.aux_stride, value, bytes);
    case DESC_AUX_DATA_TYPE: return set(epilogue.aux_type, value, bytes);
    default: return NOT_SUPPORTED;
    }
}

EXPORT int cublasLtMatmulPreferenceCreate(void **preference) { return *preference = new char, SUCCESS; }
EXPORT int cublasLtMatmulPreferenceDestroy(void *preference) { return delete static_cast<char *>(preference), SUCCESS; }
EXPORT int cublasLtMatmulPreferenceSetAttribute(void *, int, const void *, size_t) { return SUCCESS; }

EXPORT int cublasLtMatmulAlgoGetHeuristic(void *, Description *, MatrixLayout *, MatrixLayout *, MatrixLayout *,
                                          MatrixLayout *, void *, int asked, HeuristicResult *results, int *found) {
    if (asked < 1) return INVALID_VALUE;
    *results = {};
    return *found = 1, SUCCESS;
}

EXPORT int cublasLtMatmul(void *, Description *d, const void *alpha, const void *a, const MatrixLayout *of_a, const void *b,
                          const MatrixLayout *of_b, const void *beta, const void *c, const MatrixLayout *of_c, void *result,
                          const MatrixLayout *of_d, const void *, void *, size_t, void *stream) {
    uint64_t m = of_d->rows, n = of_d->columns, k = d->transpose_a ? of_a->rows : of_a->columns;
    bool same = of_a->batches == of_d->batches && of_b->batches == of_d->batches && of_c->batches == of_d->batches &&
                (d->transpose_a ? fits(*of_a, k, m) : fits(*of_a, m, k)) &&
                (d->transpose_b ? fits(*of_b, n, k) : fits(*of_b, k, n)) && fits(*of_c, m, n);
    if (!same) {
        fprintf(stderr, "swcuda: cublasLtMatmul: the layouts do not fit each other\n");
        return INVALID_VALUE;
    }
    Product product{d->transpose_a, d->transpose_b, (long long)m, (long long)n, (long long)k, alpha, of_a->of(a),
                    of_b->of(b), beta, of_c->of(c), of_d->of(result), of_d->batches, d->compute};
    if (!make_epilogue(stream, d->epilogue, product, &product.epilogue)) {
        fprintf(stderr, "swcuda: cublasLtMatmul: epilogue %d is not there, or its buffers are not the device's\n",
                d->epilogue.kind);
        return NOT_SUPPORTED;
    }
    return multiply(stream, product, "cublasLtMatmul");
}
