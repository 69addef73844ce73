// Calls every kernel on odd sizes in every instruction set, on three threads, for the sanitizers to watch.
// It checks only that all threads together give what one gives; what is right is judged elsewhere. With an argument it
// prints a line for every array that the portable kernels make: machines that print the same have the same bits.
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <vector>

#include "kernels.h"

namespace {

using Floats = std::vector<float>;

float number(std::uint32_t& state) {
  state = state * 1664525u + 1013904223u;
  return static_cast<float>(state >> 8) / (1 << 24) * 4 - 2;
}

Floats numbers(long count, std::uint32_t seed) {
  Floats out(static_cast<std::size_t>(count));
  for (float& x : out) x = number(seed);
  return out;
}

void require(bool good, const char* what) {
  if (good) return;
  std::fprintf(stderr, "%s\n", what);
  std::exit(1);
}

template <class T>
void print(const char* what, const std::vector<T>& values) {
  std::uint64_t hash = 0xcbf29ce484222325u;  // FNV-1a
  const unsigned char* bytes = reinterpret_cast<const unsigned char*>(values.data());
  for (std::size_t i = 0; i < values.size() * sizeof(T); ++i) hash = (hash ^ bytes[i]) * 0x100000001b3u;
  std::printf("%s %016llx\n", what, static_cast<unsigned long long>(hash));
}

struct Result {
  Floats mean, var, gradient, membrane;
  std::vector<std::uint8_t> counts;
  std::vector<std::int64_t> fired;
  std::vector<double> sums;
  bool operator==(const Result& other) const {
    return mean == other.mean && var == other.var && gradient == other.gradient && membrane == other.membrane &&
           counts == other.counts && fired == other.fired && sums == other.sums;
  }
  void print_all() const {
    print("means", mean), print("variances", var), print("gradients", gradient), print("membranes", membrane);
    print("spikes", counts), print("spikes by channel", fired), print("sums", sums);
  }
};

Result scan(long T, long N, long H, long W, long C, long window, int kind, int threads) {
  const long pooled = N * (H / window) * (W / window) * C, size = T * N * H * W * C;
  Floats current = numbers(size, 1), copy(current.size()), offset(T * C), inverse(T * C, 0.8f), grad = numbers(T * pooled, 2);
  Result r{Floats(T * C), Floats(T * C), Floats(current.size()), {}, std::vector<std::uint8_t>(T * pooled),
           std::vector<std::int64_t>(T * C), std::vector<double>(3 * T * C)};
  require(bntt_moments(current.data(), T, N * H * W, C, copy.data(), r.mean.data(), r.var.data(), 0, threads) == 0, "moments");
  require(copy == current, "copy");
  const bool varies = kind >> 2 & 1;  // constants of the neuron in every step
  Floats membrane(N * H * W * C), leak(varies ? T * C : C, 0.9f), sign(leak.size(), 1), threshold(leak.size(), 0.7f);
  Floats amount = threshold, per_threshold(leak.size(), 1 / 0.7f), first(leak.size(), 0.3f);
  BnttScan s{};
  s.current = current.data(), s.mean = r.mean.data(), s.scale = inverse.data(), s.shift = offset.data();
  s.counts = r.counts.data(), s.fired = r.fired.data(), s.membrane = membrane.data();
  s.steps = T, s.images = N, s.height = H, s.width = W, s.channels = C, s.window_height = s.window_width = window;
  s.grad_spikes = grad.data(), s.grad_step = pooled, s.grad_scale = 0.5, s.leak = leak.data(), s.sign = varies ? sign.data() : nullptr;
  s.threshold = threshold.data(), s.amount = amount.data(), s.per_threshold = per_threshold.data();
  s.surrogate_first = first.data(), s.neuron_step = varies ? C : 0, s.surrogate_second = 2, s.surrogate = kind % 3, s.fire_before = kind & 1, s.hard_reset = kind >> 1 & 1;
  s.inverse = inverse.data(), s.sum_grad = r.sums.data(), s.sum_product = r.sums.data() + T * C;
  s.offset = offset.data(), s.slope = offset.data(), s.grad_current = r.gradient.data(), s.threads = threads;
  require(bntt_scan_forward(s) == 0, "forward");
  r.membrane = membrane;
  s.membrane = nullptr;
  require(bntt_scan_forward(s) == 0, "forward from rest");
  require(bntt_scan_sums(s) == 0 && bntt_scan_backward(s) == 0, "backward");
  s.sum_leak = r.sums.data() + 2 * T * C;
  require(bntt_scan_sums(s) == 0, "sums with the leak's");
  Floats carry = membrane;
  s.membrane = membrane.data(), s.carry = carry.data();
  require(bntt_scan_sums(s) == 0 && bntt_scan_backward(s) == 0, "backward between other steps");
  r.mean.insert(r.mean.end(), carry.begin(), carry.end());
  std::vector<std::uint16_t> low(current.size()), low_grad(grad.size()), low_out(current.size());
  for (std::size_t i = 0; i < low.size(); ++i) std::memcpy(&low[i], reinterpret_cast<char*>(&current[i]) + 2, 2);
  for (std::size_t i = 0; i < low_grad.size(); ++i) std::memcpy(&low_grad[i], reinterpret_cast<char*>(&grad[i]) + 2, 2);
  Floats mean(T * C), var(T * C);
  require(bntt_moments(low.data(), T, N * H * W, C, low_out.data(), mean.data(), var.data(), 1, threads) == 0, "bf16 moments");
  require(low_out == low, "bf16 copy");
  s.mean = mean.data(), s.current = low.data(), s.grad_spikes = low_grad.data(), s.grad_current = low_out.data(), s.bf16 = 1;
  require(bntt_scan_forward(s) == 0 && bntt_scan_sums(s) == 0 && bntt_scan_backward(s) == 0, "bf16 scans");
  for (std::uint16_t bits : low_out) r.var.push_back(bits);
  return r;
}

// A layer of an ANN: what it gives, its sums and its gradient.
Floats rectify(const long (&layer)[6], int threads) {
  const auto& [N, H, W, C, down, across] = layer;
  Floats current = numbers(N * H * W * C, 9), grad = numbers(N * (H / down) * (W / across) * C, 10), tables = numbers(C, 11);
  Floats out(grad.size()), gradient(current.size());
  Floats sums(2 * C);
  BnttRectify s{};
  s.current = current.data(), s.mean = s.scale = s.shift = s.inverse = tables.data();
  s.out = out.data(), s.grad = grad.data(), s.sums = sums.data(), s.grad_current = gradient.data();
  s.images = N, s.height = H, s.width = W, s.channels = C, s.window_height = down, s.window_width = across;
  s.floor = 0, s.worth = 1 / static_cast<float>(down * across), s.threads = threads, s.batch = 1;
  require(bntt_rectify(s) == 0 && bntt_rectify_backward(s) == 0, "rectify");
  out.insert(out.end(), gradient.begin(), gradient.end());
  out.insert(out.end(), sums.begin(), sums.end());
  return out;
}

Floats events(const long (&layer)[9], int threads) {
  const auto& [N, H, W, Ci, Co, K, pad, largest, stride] = layer;
  std::vector<std::uint8_t> counts(N * H * W * Ci);
  std::uint32_t state = 3;
  for (auto& c : counts) c = static_cast<std::uint8_t>((number(state) + 2) / 4 * static_cast<float>(largest + 1));
  const long Ho = (H + 2 * pad - K) / stride + 1, Wo = (W + 2 * pad - K) / stride + 1;
  Floats weight = numbers(Co * Ci * K * K, 4), bias = numbers(Co, 5), out(N * Ho * Wo * Co), grad(weight.size());
  Floats floats(counts.size());
  BnttEvents e{};
  e.counts = counts.data(), e.bias = bias.data(), e.out = out.data(), e.grad_out = out.data(), e.grad_weight = grad.data();
  e.images = N, e.height = H, e.width = W, e.in_channels = Ci, e.out_channels = Co, e.kernel_height = e.kernel_width = K;
  e.pad_height = e.pad_width = pad, e.stride_height = e.stride_width = stride;
  e.largest_count = largest, e.scale = 1.0 / static_cast<double>(largest), e.threads = threads;
  Floats packed(static_cast<std::size_t>(bntt_packed_size(e)));
  require(bntt_pack(e, weight.data(), packed.data()) == 0, "pack");
  e.weight = packed.data();
  require(bntt_events_forward(e) == 0, "events");
  require(bntt_events_weight_grad(e) == 0, "weight gradient");
  require(bntt_unpack(counts.data(), floats.data(), static_cast<long>(counts.size()), 0.25, threads) == 0, "unpack");
  out.insert(out.end(), grad.begin(), grad.end());
  return out;
}

// The input gradient by Winograd, over the output's where both have as many channels.
Floats winograd(const long (&layer)[5], int threads) {
  const auto& [N, H, W, Ci, Co] = layer;
  Floats grad = numbers(N * H * W * Co, 7), weight = numbers(Co * Ci * 9, 8), packed(36 * Co * Ci), out(N * H * W * Ci);
  BnttWinograd w{};
  w.grad = grad.data(), w.out = Ci == Co ? grad.data() : out.data(), w.weight = packed.data();
  w.images = N, w.height = H, w.width = W, w.in_channels = Ci, w.out_channels = Co, w.threads = threads;
  Floats work(static_cast<std::size_t>(bntt_winograd_room(w) * threads));
  w.work = work.data();
  require(bntt_winograd_pack(w, weight.data(), packed.data()) == 0, "pack for Winograd");
  require(bntt_winograd_input_grad(w) == 0, "Winograd");
  packed.insert(packed.end(), w.out, w.out + out.size());
  return packed;
}

}  // namespace

int main(int argc, char**) {
  for (int variant = 0; variant < (argc > 1 ? 1 : 3); ++variant) {
    if (bntt_use_variant(variant) != variant) continue;
    const long scans[][6] = {{5, 3, 4, 4, 16, 2}, {3, 2, 5, 7, 33, 2}, {70, 9, 1, 1, 21, 1}, {300, 2, 1, 1, 70, 1}, {2, 1, 1, 1, 3, 1}, {4, 3, 6, 6, 130, 1}, {3, 2, 7, 7, 70, 3}};
    for (int kind = 0; kind < 12; ++kind)
      for (const auto& s : scans) {
        const Result one = scan(s[0], s[1], s[2], s[3], s[4], s[5], kind, 1);
        require(one == scan(s[0], s[1], s[2], s[3], s[4], s[5], kind, 3), "scan");
        if (argc > 1) one.print_all();
      }
    const long rectified[][6] = {{3, 4, 4, 16, 2, 2}, {2, 5, 7, 33, 2, 3}, {70, 1, 1, 21, 1, 1}, {2, 7, 7, 130, 7, 7}, {9, 3, 5, 6, 1, 1}};
    for (const auto& layer : rectified) {
      const Floats one = rectify(layer, 1);
      require(one == rectify(layer, 3), "rectify threads");
      if (argc > 1) print("rectified", one);
    }
    const long layers[][9] = {{5, 8, 8, 64, 64, 3, 1, 1, 1}, {2, 7, 5, 3, 5, 3, 1, 1, 1}, {3, 6, 9, 70, 33, 3, 1, 4, 2}, {2, 5, 5, 20, 40, 3, 0, 9, 3},
                              {2, 4, 4, 17, 16, 3, 2, 1, 1}, {2, 9, 9, 40, 12, 5, 2, 1, 2}, {300, 1, 1, 513, 130, 1, 0, 4, 1}, {2, 1, 1, 6, 50, 3, 1, 1, 2},
                              {2, 9, 5, 20, 40, 1, 0, 4, 4}, {5, 8, 8, 64, 64, 1, 0, 1, 1}, {2, 4, 5, 9, 70, 1, 1, 1, 2}, {1, 5, 600, 3, 5, 3, 1, 1, 2}};
    for (const auto& layer : layers) {
      const Floats one = events(layer, 1);
      require(one == events(layer, 3), "events");
      if (argc > 1) print("currents", one);
    }
    const long grads[][5] = {{7, 4, 4, 16, 48}, {2, 7, 9, 96, 32}, {3, 33, 30, 32, 32}, {1, 1, 1, 16, 16}, {2, 9, 101, 16, 16}, {5, 5, 6, 112, 64}};
    for (const auto& layer : grads) {
      const Floats one = winograd(layer, 1);
      require(one == winograd(layer, 3), "Winograd threads");
      if (argc > 1) print("input gradients", one);
    }
    const Floats pixels = numbers(3 * 2 * 49, 6);
    std::vector<std::int64_t> keys = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12};
    std::vector<std::int8_t> one(4 * 3 * 98), many(one.size());
    require(bntt_poisson(pixels.data(), keys.data(), one.data(), 4, 3, 2, 49, 1, 1) == 0, "poisson");
    require(bntt_poisson(pixels.data(), keys.data(), many.data(), 4, 3, 2, 49, 1, 3) == 0 && one == many, "poisson threads");
    if (argc > 1) print("encoded spikes", one);
  }
  std::puts("all kernels ran");
  return 0;
}
