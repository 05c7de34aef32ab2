// Products of matrices as the BLAS libraries of the software device compute them: all of them end here.
#pragma once
#include <functional>

namespace swcuda {

// cublasStatus_t, cudaDataType and cublasComputeType_t, whose headers are not among those that the project installs.
enum Status { SUCCESS = 0, INVALID_VALUE = 7, NOT_SUPPORTED = 15, EXECUTION_FAILED = 13 };
enum DataType { R_32F = 0, R_64F = 1, R_16F = 2, R_16BF = 14 };
enum ComputeType {
    COMPUTE_16F = 64, COMPUTE_32F = 68, COMPUTE_32F_PEDANTIC = 69, COMPUTE_64F = 70,
    COMPUTE_32F_FAST_16F = 74, COMPUTE_32F_FAST_16BF = 75, COMPUTE_32F_FAST_TF32 = 77
};

// In the device's memory, column by column: element (row, column) is number row + column · ld.
struct Matrix {
    const void *data;
    int type;
    long long ld, stride;  // from one column, one matrix of a batch, to the next
};

// What is done to the sums before they are stored, in place: `sums` has column after column of m values.
struct Epilogue {
    const char *name = "";
    std::function<void(int batch, float *sums)> apply;
};

// d = epilogue(alpha · op(a) · op(b) + beta · c), where op transposes or does not. `d` is written, though its type says
// otherwise.
struct Product {
    int transpose_a, transpose_b;
    long long m, n, k;
    const void *alpha;
    Matrix a, b;
    const void *beta;
    Matrix c, d;
    int batches, compute;
    Epilogue epilogue = {};
};

int multiply(void *stream, const Product &product, const char *function);

// An element as the device has it; half and bfloat16 go through f32.
double load(const void *from, int type, size_t i);
void store(void *to, int type, size_t i, double value);
size_t size_of(int type);

}  // namespace swcuda
