// The C interface: plain structs of pointers and sizes, called from Python through ctypes. No PyTorch headers.
// Every activation lies in memory as [steps, images, height, width, channels]; a fully connected layer has height and
// width 1. Currents and gradients are float, or bfloat16 if `bf16` is set. Functions return 0, or 1 if memory could not
// be allocated. All sums run in fixed blocks: the thread count changes no bit.
#pragma once
#include <cstdint>

using Size = std::int64_t;  // of sizes, indices and counts: a `long` has not 64 bits on Windows

#pragma GCC visibility push(default)
extern "C" {

// Normalise, integrate, fire, reset, pool (paper Eq. 4 and 9): z = scale (current - mean) + shift, per step and channel.
struct BnttScan {
  const void* current;                 // [T, N, H, W, C]
  const float *mean, *scale, *shift;   // [T, C]
  // The neuron, [T, C] or, if neuron_step is 0, [C]: m = leak u + z, a spike where sign m > threshold (which includes
  // the sign; a null sign is all 1), and amount is what a soft reset subtracts. For do/dm: 1 / theta, and the first
  // constant of the surrogate with the neuron's sign and slope.
  const float *leak, *sign, *threshold, *amount, *per_threshold, *surrogate_first;
  float* membrane;                     // [N, H, W, C], before the first step, and forward the one after the last comes
                                       // out; null: starts at rest, end not wanted
  std::uint8_t* counts;                // out: spikes per pooling window [T, N, H/wh, W/ww, C]
  std::int64_t* fired;                 // out: spikes per step and channel [T, C], before the pool
  // backward only
  const void* grad_spikes;             // [T, N, H/wh, W/ww, C], towards the pooled mean spikes
  std::int64_t grad_step;              // elements from one step's gradient to the next; 0: all steps share one
  const float* inverse;                // 1 / sqrt(var + eps), [T, C]
  double *sum_grad, *sum_product;      // [T, C]: over rows, of g and of g (current - mean) inverse
  double* sum_leak;                    // [T, C]: over rows, of dL/d(leak); null: not wanted
  const float *offset, *slope;         // [T, C]: grad_current = scale g - offset - slope (current - mean)
  void* grad_current;                  // out; may be `current` itself
  float* carry;                        // [N, H, W, C], in: dL/d(membrane after the last step); out, of the second sweep:
                                       // the one before the first step; null: nothing follows, not wanted
  std::int64_t neuron_step;            // elements from one step's constants of the neuron to the next: C, or 0
  std::int64_t steps, images, height, width, channels, window_height, window_width;
  double grad_scale, surrogate_second;
  std::int32_t fire_before, hard_reset, surrogate, threads, bf16;
};

// A layer of an ANN, one step: y = the mean over windows of max(floor, scale (current - mean) + shift).
struct BnttRectify {
  const float* current;                // [N, H, W, C]
  const float *mean, *scale, *shift;   // [C]
  float* out;                          // [N, H/wh, W/ww, C]
  // backward only
  const float *grad, *inverse;         // [N, H/wh, W/ww, C]; 1 / sqrt(var + eps), [C]
  float* sums;                         // out, [2, C]: over rows, of g = dL/dz and of g (current - mean) inverse; or null
  float* grad_current;                 // out, or null
  std::int64_t images, height, width, channels, window_height, window_width;
  float floor, worth;                  // 0, or -infinity where nothing is rectified; 1 / pixels of a window
  std::int32_t threads, batch;         // batch: mean and variance are those of the current
};

// Convolution or fully connected layer on spike counts: the weights of the active inputs are summed.
struct BnttEvents {
  const std::uint8_t* counts;  // [N, H, W, Ci]
  const float* weight;         // packed by bntt_pack
  const float* bias;           // [Co] or null
  float* out;                  // [N, Ho, Wo, Co]
  const float* grad_out;       // weight gradient: [N, Ho, Wo, Co]
  float* grad_weight;          // weight gradient: [Co, Ci, Kh, Kw], added to
  std::int64_t images, height, width, in_channels, out_channels, kernel_height, kernel_width, pad_height, pad_width;
  std::int64_t stride_height, stride_width;
  std::int64_t largest_count;
  double scale;                // what one count is worth
  std::int32_t threads;
};

// The gradient towards the input of a 3x3 convolution, stride 1, padding 1, one group. Channels on both sides are
// multiples of 16.
struct BnttWinograd {
  const float* grad;    // [N, H, W, Co]
  const float* weight;  // packed by bntt_winograd_pack: 36 Co Ci floats
  float* out;           // [N, H, W, Ci]: grad itself if Ci is Co, else memory apart from it
  float* work;          // bntt_winograd_room floats for each thread
  std::int64_t images, height, width, in_channels, out_channels;
  std::int32_t threads;
};

// Increase it, here and in library.py, when the meaning of a call changes: other fields or arguments, another layout,
// or a pointer that may now be null.
constexpr int BNTT_INTERFACE = 1;
int bntt_interface();               // BNTT_INTERFACE of this build
int bntt_variants();                // bit 0 portable, 1 AVX2, 2 AVX-512: what this machine can run
int bntt_use_variant(int number);   // 0..2; returns the one in use now; -1 only asks

// Work from now on in the threads of an OpenMP runtime, by its GOMP_parallel; null: in threads of the kernels' own.
using BnttOpenMP = void (*)(void (*body)(void*), void* given, unsigned threads, unsigned flags);
void bntt_use_openmp(BnttOpenMP parallel);

// Every kernel: what it returns, its name, parameters and arguments. C calls it bntt_NAME, by the variant in use.
#define BNTT_KERNELS(KERNEL)                                                                                        \
  KERNEL(int, moments, (const void* current, Size steps, Size rows, Size channels, void* copy, float* mean,         \
                        float* var, std::int32_t bf16, std::int32_t threads),                                       \
         (current, steps, rows, channels, copy, mean, var, bf16, threads))                                          \
  KERNEL(int, scan_forward, (const BnttScan& s), (s))                                                               \
  KERNEL(int, scan_sums, (const BnttScan& s), (s))      /* backward, first sweep */                                 \
  KERNEL(int, scan_backward, (const BnttScan& s), (s))  /* backward, second sweep */                                \
  KERNEL(int, rectify, (const BnttRectify& s), (s))                                                                 \
  KERNEL(int, rectify_backward, (const BnttRectify& s), (s))                                                        \
  KERNEL(Size, packed_size, (const BnttEvents& e), (e))                                                             \
  KERNEL(int, pack, (const BnttEvents& e, const float* weight, float* packed), (e, weight, packed))                 \
  KERNEL(int, events_forward, (const BnttEvents& e), (e))                                                           \
  KERNEL(int, events_weight_grad, (const BnttEvents& e), (e))                                                       \
  KERNEL(int, unpack, (const std::uint8_t* counts, float* out, Size size, double scale, std::int32_t threads),      \
         (counts, out, size, scale, threads))                                                                       \
  KERNEL(int, poisson, (const float* pixels, const std::int64_t* keys, std::int8_t* spikes, Size steps, Size images,\
                        Size channels, Size area, std::int32_t is_signed, std::int32_t threads),                    \
         (pixels, keys, spikes, steps, images, channels, area, is_signed, threads))                                 \
  KERNEL(Size, winograd_room, (const BnttWinograd& w), (w))                                                         \
  KERNEL(int, winograd_pack, (const BnttWinograd& w, const float* weight, float* packed), (w, weight, packed))      \
  KERNEL(int, winograd_input_grad, (const BnttWinograd& w), (w))

#define BNTT_DECLARE(result, name, parameters, arguments) result bntt_##name parameters;
BNTT_KERNELS(BNTT_DECLARE)

}
#pragma GCC visibility pop

// What the variants share: the table of each one's kernels, and the threads that they work in: those of torch's OpenMP
// runtime where it is known, since threads of another pool would compete with them for the cores while they spin; else a
// pool that sleeps between regions.
#define BNTT_ENTRY(result, name, parameters, arguments) result(*name) parameters;
struct Kernels {
  BNTT_KERNELS(BNTT_ENTRY)
};

namespace portable { extern const Kernels kernels; }
#if defined(__x86_64__)
namespace avx2 { extern const Kernels kernels; }
namespace avx512 { extern const Kernels kernels; }
#endif

namespace bntt {

using Task = void (*)(void* context, Size unit, int worker);

// Run task(context, unit, worker) for every unit in 0..units-1 on at most `threads` threads, including the caller.
// Workers are numbered from 0: at least one, but no more than threads and no more than units. Which worker takes which
// unit is undefined: a result must not depend on it.
// A caller that finds the pool in use by another thread does all its units itself.
void parallel(Size units, int threads, Task task, void* context);

}  // namespace bntt
