// What every variant offers; api.cpp calls the one that fits the processor.
#pragma once
#include "kernels.h"

struct Kernels {
  int (*moments)(const void*, long, long, long, void*, float*, float*, bool, int);
  int (*scan_forward)(const BnttScan&);
  int (*scan_sums)(const BnttScan&);
  int (*scan_backward)(const BnttScan&);
  long (*packed_size)(const BnttEvents&);
  int (*pack)(const BnttEvents&, const float*, float*);
  int (*events_forward)(const BnttEvents&);
  int (*events_weight_grad)(const BnttEvents&);
  int (*unpack)(const std::uint8_t*, float*, long, double, int);
  int (*poisson)(const float*, const std::int64_t*, std::int8_t*, long, long, long, long, bool, int);
};

namespace portable { extern const Kernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
#endif
