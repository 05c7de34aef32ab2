// cuBLASLt's epilogues: bias, activation, their gradients.
#pragma once
#include "product.h"

namespace swcuda {

// cublasLtEpilogue_t is made of these bits. Plain, it is DEFAULT, which has none of them.
enum EpilogueBit {
    DEFAULT = 1, RELU = 2, BIAS = 4, DRELU = 8, BGRAD = 16, GELU = 32, DGELU = 64, AUX = 128, BGRADA = 256, BGRADB = 512
};

struct EpilogueOptions {
    int kind = DEFAULT;
    // [m]; added by BIAS, written by BGRAD (sums of the rows of the result), BGRADA and BGRADB (of a's or b's).
    void *bias = nullptr;
    int bias_type = -1;  // −1: that of d
    long long bias_stride = 0;
    // Column by column: what is before the activation, written by GELU_AUX, read by DGELU.
    void *aux = nullptr;
    int aux_type = -1;
    long long aux_ld = 0, aux_stride = 0;
};

// False where the kind is not one that the software device has, or the buffers that it needs are not the device's.
bool make_epilogue(void *stream, const EpilogueOptions &options, const Product &product, Epilogue *epilogue);

}  // namespace swcuda
