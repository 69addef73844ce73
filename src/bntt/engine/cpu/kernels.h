// The C interface: plain structs of pointers and sizes, called from Python through ctypes. No PyTorch headers.
// Every activation lies in memory as [steps, images, height, width, channels]; a fully connected layer has height and
// width 1. Currents and gradients are float, or bfloat16 if `bf16` is set. Functions return 0, or 1 if memory could not
// be allocated. All sums run in fixed blocks: the thread count changes no bit.
#pragma once
#include <cstdint>

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

int bntt_moments(const void* current, std::int64_t steps, std::int64_t rows, std::int64_t channels, void* copy,
                 float* mean, float* var, std::int32_t bf16, std::int32_t threads);
int bntt_scan_forward(const BnttScan*);
int bntt_scan_sums(const BnttScan*);      // backward, first sweep
int bntt_scan_backward(const BnttScan*);  // backward, second sweep
int bntt_rectify(const BnttRectify*);
int bntt_rectify_backward(const BnttRectify*);
std::int64_t bntt_packed_size(const BnttEvents*);
int bntt_pack(const BnttEvents*, const float* weight, float* packed);
int bntt_events_forward(const BnttEvents*);
int bntt_events_weight_grad(const BnttEvents*);
int bntt_unpack(const std::uint8_t* counts, float* out, std::int64_t size, double scale, std::int32_t threads);
int bntt_poisson(const float* pixels, const std::int64_t* keys, std::int8_t* spikes, std::int64_t steps,
                 std::int64_t images, std::int64_t channels, std::int64_t area, std::int32_t is_signed,
                 std::int32_t threads);
std::int64_t bntt_winograd_room(const BnttWinograd*);
int bntt_winograd_pack(const BnttWinograd*, const float* weight, float* packed);  // weight: [Co, Ci, 3, 3]
int bntt_winograd_input_grad(const BnttWinograd*);

}
#pragma GCC visibility pop
