// Mean and biased variance per step and channel (paper Algorithm 1), in one pass around a pivot near the mean, so that
// the variance is right where the mean is a thousand deviations away. Fixed blocks of 64 rows in float, then double.

template <class X>
struct MomentsJob {
  const X* current;
  X* copy;
  float* pivot;
  double* partial;  // [steps, segments, 2, channels]
  long rows, channels, segments, segment_rows;

  template <class L, long N>
  void block(long c, const X* x, X* to, const float* centre, long count, double* sums) const {
    using V = typename L::Floats;
    V middle[N], sum[N], square[N];
    for (long n = 0; n < N; ++n) middle[n] = L::load(centre + c + n * L::width), sum[n] = square[n] = V{};
    for (long r = 0; r < count; ++r, x += channels)
      for (long n = 0; n < N; ++n) {
        const V value = L::load(x + c + n * L::width), away = value - middle[n];
        sum[n] += away;
        square[n] += away * away;
        if (to) L::store(to + r * channels + c + n * L::width, value);
      }
    for (long n = 0; n < N; ++n) {
      L::add_doubles(sums + c + n * L::width, sum[n]);
      L::add_doubles(sums + channels + c + n * L::width, square[n]);
    }
  }

  void operator()(long unit, int) const {
    const long step = unit / segments, segment = unit % segments;
    double* sums = partial + unit * 2 * channels;
    std::memset(sums, 0, static_cast<std::size_t>(2 * channels) * sizeof(double));
    const long end = smaller(rows, (segment + 1) * segment_rows);
    for (long first = segment * segment_rows; first < end; first += 64) {
      const long at = (step * rows + first) * channels, count = smaller(64, end - first);
      X* to = copy ? copy + at : nullptr;
#define BLOCK(L, N, c) block<L, N>(c, current + at, to, pivot + step * channels, count, sums)
      FOR_CHANNELS(c, 0, channels, BLOCK)
#undef BLOCK
    }
  }
};

template <class X>
int moments_of(const X* current, long steps, long rows, long channels, X* copy, float* mean, float* var, int threads) {
  const long segments = smaller(16, ceil_div(rows, 512)), pivot_rows = smaller(rows, 16);
  Scratch<float> pivot(steps * channels);
  Scratch<double> partial(steps * segments * 2 * channels);
  if (!pivot.data || !partial.data) return 1;
  for (long t = 0; t < steps; ++t)
    for (long c = 0; c < channels; ++c) {
      double sum = 0;
      for (long r = 0; r < pivot_rows; ++r) sum += Single::load(current + (t * rows + r) * channels + c);
      pivot.data[t * channels + c] = static_cast<float>(sum / static_cast<double>(pivot_rows));
    }
  const long segment_rows = 64 * ceil_div(ceil_div(rows, segments), 64);
  MomentsJob<X> job{current, copy, pivot.data, partial.data, rows, channels, segments, segment_rows};
  for_units(steps * segments, threads, job);
  for (long t = 0; t < steps; ++t)
    for (long c = 0; c < channels; ++c) {
      double sum = 0, square = 0;
      for (long s = 0; s < segments; ++s) {
        sum += partial.data[((t * segments + s) * 2) * channels + c];
        square += partial.data[((t * segments + s) * 2 + 1) * channels + c];
      }
      const double away = sum / static_cast<double>(rows), spread = square / static_cast<double>(rows) - away * away;
      mean[t * channels + c] = static_cast<float>(pivot.data[t * channels + c] + away);
      var[t * channels + c] = static_cast<float>(spread > 0 ? spread : spread == spread ? 0 : spread);
    }
  return 0;
}

inline int moments(const void* current, long steps, long rows, long channels, void* copy, float* mean, float* var,
                   bool bf16, int threads) {
  if (bf16)
    return moments_of(static_cast<const Bf16*>(current), steps, rows, channels, static_cast<Bf16*>(copy), mean, var, threads);
  return moments_of(static_cast<const float*>(current), steps, rows, channels, static_cast<float*>(copy), mean, var, threads);
}
