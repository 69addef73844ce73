#include <initializer_list>

#include "kernel_table.h"

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

const Kernels& now() { return *variants[used]; }

}  // namespace

extern "C" {

int bntt_interface() { return BNTT_INTERFACE; }

int bntt_variants() { return can_run(); }

int bntt_use_variant(int number) {
  if (number >= 0 && number < 3 && (can_run() >> number & 1)) used = number;
  return used;
}

int bntt_moments(const void* current, std::int64_t steps, std::int64_t rows, std::int64_t channels, void* copy,
                 float* mean, float* var, std::int32_t bf16, std::int32_t threads) {
  return now().moments(current, steps, rows, channels, copy, mean, var, bf16 != 0, threads);
}

int bntt_scan_forward(const BnttScan* s) { return now().scan_forward(*s); }
int bntt_scan_sums(const BnttScan* s) { return now().scan_sums(*s); }
int bntt_scan_backward(const BnttScan* s) { return now().scan_backward(*s); }
int bntt_rectify(const BnttRectify* s) { return now().rectify(*s); }
int bntt_rectify_backward(const BnttRectify* s) { return now().rectify_backward(*s); }
std::int64_t bntt_packed_size(const BnttEvents* e) { return now().packed_size(*e); }
int bntt_pack(const BnttEvents* e, const float* weight, float* packed) { return now().pack(*e, weight, packed); }
int bntt_events_forward(const BnttEvents* e) { return now().events_forward(*e); }
int bntt_events_weight_grad(const BnttEvents* e) { return now().events_weight_grad(*e); }

int bntt_unpack(const std::uint8_t* counts, float* out, std::int64_t size, double scale, std::int32_t threads) {
  return now().unpack(counts, out, size, scale, threads);
}

int bntt_poisson(const float* pixels, const std::int64_t* keys, std::int8_t* spikes, std::int64_t steps,
                 std::int64_t images, std::int64_t channels, std::int64_t area, std::int32_t is_signed,
                 std::int32_t threads) {
  return now().poisson(pixels, keys, spikes, steps, images, channels, area, is_signed != 0, threads);
}

std::int64_t bntt_winograd_room(const BnttWinograd* w) { return now().winograd_room(*w); }
int bntt_winograd_pack(const BnttWinograd* w, const float* weight, float* packed) {
  return now().winograd_pack(*w, weight, packed);
}
int bntt_winograd_input_grad(const BnttWinograd* w) { return now().winograd_input_grad(*w); }

}
