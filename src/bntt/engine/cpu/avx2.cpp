#include <cstdint>
#include <cstring>
#include <new>

#include "kernels.h"

#if defined(__x86_64__)
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma,bmi,bmi2"))), apply_to = function)
#else
#pragma GCC target("avx2,fma,bmi,bmi2")
#endif

#define LANES 8
#define VARIANT avx2
#include "variant.inl"

#if defined(__clang__)
#pragma clang attribute pop
#endif
#endif
