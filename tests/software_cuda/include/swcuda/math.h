// CUDA's functions of numbers that neither C++ nor NVIDIA's headers have on the host. Rounding is the C library's.
#pragma once
#include <cmath>
#include <type_traits>

#include <cuda_bf16.h>
#include <cuda_fp16.h>

#include "atomic.h"

// CUDA's min and max take any two numbers; of floating ones they leave NaNs aside.
template <typename A, typename B, typename C = std::common_type_t<A, B>,
          typename = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
inline C min(A a, B b) {
    if constexpr (std::is_floating_point_v<C>) return fmin(C(a), C(b));
    else return C(a) < C(b) ? C(a) : C(b);
}
template <typename A, typename B, typename C = std::common_type_t<A, B>,
          typename = std::enable_if_t<std::is_arithmetic_v<A> && std::is_arithmetic_v<B>>>
inline C max(A a, B b) {
    if constexpr (std::is_floating_point_v<C>) return fmax(C(a), C(b));
    else return C(a) > C(b) ? C(a) : C(b);
}

inline float rsqrtf(float x) { return 1.0f / sqrtf(x); }
inline double rsqrt(double x) { return 1.0 / sqrt(x); }
inline float normcdff(float x) { return 0.5f * erfcf(-x * 0.70710678118654752440f); }
inline double normcdf(double x) { return 0.5 * erfc(-x * 0.70710678118654752440); }
inline float __expf(float x) { return expf(x); }
inline float __logf(float x) { return logf(x); }
inline float __sinf(float x) { return sinf(x); }
inline float __cosf(float x) { return cosf(x); }
inline float __powf(float x, float y) { return powf(x, y); }
inline float __fdividef(float x, float y) { return x / y; }
inline float __frcp_rn(float x) { return 1.0f / x; }
inline float __frsqrt_rn(float x) { return 1.0f / sqrtf(x); }
inline float __fsqrt_rn(float x) { return sqrtf(x); }
inline float __fadd_rn(float x, float y) { return x + y; }
// Rounded for itself: the compiler may not join it with a sum that follows, as it may a plain product.
inline float __fmul_rn(float x, float y) {
    float product = x * y;
    asm("" : "+x"(product));
    return product;
}
inline float __fmaf_rn(float x, float y, float z) { return fmaf(x, y, z); }
inline float __saturatef(float x) { return x > 0 ? (x < 1 ? x : 1) : 0; }
template <typename T> inline T __ldg(const T *p) { return *p; }
inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline int __popcll(uint64_t x) { return __builtin_popcountll(x); }
inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }
inline int __ffs(int x) { return __builtin_ffs(x); }
inline uint32_t __umulhi(uint32_t a, uint32_t b) { return uint64_t(a) * b >> 32; }
inline int __float_as_int(float x) { return swcuda::bits<int>(x); }
inline uint32_t __float_as_uint(float x) { return swcuda::bits<uint32_t>(x); }
inline float __int_as_float(int x) { return swcuda::bits<float>(x); }
inline float __uint_as_float(uint32_t x) { return swcuda::bits<float>(x); }
inline long long __double_as_longlong(double x) { return swcuda::bits<long long>(x); }
inline double __longlong_as_double(long long x) { return swcuda::bits<double>(x); }

// Of half and bfloat16, what NVIDIA's headers have for the device alone. The device rounds once, as is done here.
#define SWCUDA_HALF_FUNCTION(NAME, FUNCTION)                                         \
    inline __half NAME(__half x) { return __float2half(FUNCTION(__half2float(x))); } \
    inline __nv_bfloat16 NAME(__nv_bfloat16 x) { return __float2bfloat16(FUNCTION(__bfloat162float(x))); }
SWCUDA_HALF_FUNCTION(hsqrt, sqrtf)
SWCUDA_HALF_FUNCTION(hrsqrt, rsqrtf)
SWCUDA_HALF_FUNCTION(hsin, sinf)
SWCUDA_HALF_FUNCTION(hcos, cosf)
SWCUDA_HALF_FUNCTION(hexp, expf)
SWCUDA_HALF_FUNCTION(hlog, logf)
SWCUDA_HALF_FUNCTION(htanh, tanhf)
