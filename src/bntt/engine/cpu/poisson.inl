// Rate coding (paper Supplement B) with the counter-based numbers of ops/random.py: the same spikes, one byte each.

inline std::uint64_t mix(std::uint64_t z) {
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return z ^ (z >> 31);
}

struct PoissonJob {
  const float* pixels;       // [B, C, area]
  const std::int64_t* keys;  // [T, B]
  std::int8_t* spikes;       // [T, B, area, C]
  Size images, channels, area;
  bool is_signed;

  void operator()(Size unit, int) const {
    const std::uint64_t key = static_cast<std::uint64_t>(keys[unit]);
    const float* x = pixels + unit % images * channels * area;
    std::int8_t* out = spikes + unit * channels * area;
    for (Size c = 0; c < channels; ++c)
      for (Size i = 0; i < area; ++i) {
        const std::uint64_t position = static_cast<std::uint64_t>(c * area + i);
        const std::uint64_t bits = mix(key + (position + 1) * 0x9E3779B97F4A7C15u) >> 40;
        const float uniform = static_cast<float>(static_cast<std::int32_t>(bits)) * 0x1p-24f, pixel = x[position];
        const float size = pixel < 0 ? -pixel : pixel;
        const int sign = (pixel > 0) - (pixel < 0);
        const int fired = is_signed ? (2 * uniform <= size ? sign : 0) : uniform < pixel;
        out[i * channels + c] = static_cast<std::int8_t>(fired);
      }
  }
};

inline int poisson(const float* pixels, const std::int64_t* keys, std::int8_t* spikes, Size steps, Size images,
                   Size channels, Size area, std::int32_t is_signed, std::int32_t threads) {
  PoissonJob job{pixels, keys, spikes, images, channels, area, is_signed != 0};
  for_units(steps * images, threads, job);
  return 0;
}
