#include <cstdint>
#include <cstring>
#include <new>

#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,fma,bmi,bmi2,prefer-vector-width=512")
#endif

#define LANES 16
#define VARIANT avx512
#include "variant.inl"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
