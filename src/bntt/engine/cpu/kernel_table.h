// What the variants share: the thread pool that they work in, and the table of each one's kernels; api.cpp calls the
// one that fits the processor.
#pragma once
#include "kernels.h"

// Sizes, indices and counts: 64 bits everywhere, which a `long` is not on Windows.
using Size = std::int64_t;

// The threads that the kernels work in: those of torch's OpenMP runtime where it is known, since threads of another pool
// would compete with them for the cores while they spin; else a pool that sleeps between regions.
namespace bntt {

using Task = void (*)(void* context, Size unit, int worker);

// Run task(context, unit, worker) for every unit in 0..units-1 on at most `threads` threads, including the caller.
// Workers are numbered from 0: at least one, but no more than threads and no more than units. Which worker takes which
// unit is undefined: a result must not depend on it.
// A caller that finds the pool in use by another thread does all its units itself.
void parallel(Size units, int threads, Task task, void* context);

}  // namespace bntt

struct Kernels {
  int (*moments)(const void*, Size, Size, Size, void*, float*, float*, bool, int);
  int (*scan_forward)(const BnttScan&);
  int (*scan_sums)(const BnttScan&);
  int (*scan_backward)(const BnttScan&);
  int (*rectify)(const BnttRectify&);
  int (*rectify_backward)(const BnttRectify&);
  Size (*packed_size)(const BnttEvents&);
  int (*pack)(const BnttEvents&, const float*, float*);
  int (*events_forward)(const BnttEvents&);
  int (*events_weight_grad)(const BnttEvents&);
  int (*unpack)(const std::uint8_t*, float*, Size, double, int);
  int (*poisson)(const float*, const std::int64_t*, std::int8_t*, Size, Size, Size, Size, bool, int);
  Size (*winograd_room)(const BnttWinograd&);
  int (*winograd_pack)(const BnttWinograd&, const float*, float*);
  int (*winograd_input_grad)(const BnttWinograd&);
};

namespace portable { extern const Kernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
#endif
