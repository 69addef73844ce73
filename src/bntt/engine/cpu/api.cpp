#include "kernels.h"

namespace {

const Kernels* const variants[3] = {
    &portable::kernels,
#if defined(__x86_64__)
    &avx2::kernels,
    &avx512::kernels,
#endif
};

int can_run() {
  int can = 1;
// GCC for Windows spills vectors of 32 and 64 bytes to a stack that is aligned to 16 (its bug 54412), and crashes.
#if defined(__x86_64__) && !(defined(_WIN32) && !defined(__clang__))
  __builtin_cpu_init();
  if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") && __builtin_cpu_supports("bmi2")) can |= 2;
  if ((can & 2) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
      __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
    can |= 4;
#endif
  return can;
}

int widest() {
  const int can = can_run();
  return can & 4 ? 2 : can & 2 ? 1 : 0;
}

int used = widest();

}  // namespace

extern "C" {

int bntt_interface() { return BNTT_INTERFACE; }

int bntt_variants() { return can_run(); }

int bntt_use_variant(int number) {
  if (number >= 0 && number < 3 && (can_run() >> number & 1)) used = number;
  return used;
}

#define EXPORT(result, name, parameters, arguments) \
  result bntt_##name parameters { return variants[used]->name arguments; }
BNTT_KERNELS(EXPORT)

}
