// Mean and biased variance per step and channel (paper Algorithm 1), in one pass around a pivot near the mean, so that
// the variance is right where the mean is a thousand deviations away. Fixed blocks of 64 rows in float, then double.

template <class X>
struct MomentsJob {
  const X* current;
  X* copy;
  float* pivot;
  double* partial;  // [steps, segments, 2, channels]
  Size rows, channels, segments, segment_rows;

  template <class L, Size N>
  void block(Size c, const X* x, X* to, const float* centre, Size count, double* sums) const {
    using V = typename L::Floats;
    V middle[N], sum[N], square[N];
    for (Size n = 0; n < N; ++n) middle[n] = L::load(centre + c + n * L::width), sum[n] = square[n] = V{};
    for (Size r = 0; r < count; ++r, x += channels)
      for (Size n = 0; n < N; ++n) {
        const V value = L::load(x + c + n * L::width), away = value - middle[n];
        sum[n] += away;
        square[n] += away * away;
        if (to) L::store(to + r * channels + c + n * L::width, value);
      }
    for (Size n = 0; n < N; ++n) {
      L::add_doubles(sums + c + n * L::width, sum[n]);
      L::add_doubles(sums + channels + c + n * L::width, square[n]);
    }
  }

  void operator()(Size unit, int) const {
    const Size step = unit / segments, segment = unit % segments;
    double* sums = partial + unit * 2 * channels;
    std::memset(sums, 0, static_cast<std::size_t>(2 * channels) * sizeof(double));
    const Size end = smaller(rows, (segment + 1) * segment_rows);
    for (Size first = segment * segment_rows; first < end; first += 64) {
      const Size at = (step * rows + first) * channels, count = smaller(64, end - first);
      X* to = copy ? copy + at : nullptr;
#define BLOCK(L, N, c) block<L, N>(c, current + at, to, pivot + step * channels, count, sums)
      FOR_CHANNELS(c, 0, channels, BLOCK)
#undef BLOCK
    }
  }
};

template <class X>
int moments_of(const X* current, Size steps, Size rows, Size channels, X* copy, float* mean, float* var, int threads) {
  const Size segments = smaller(16, ceil_div(rows, 512)), pivot_rows = smaller(rows, 16);
  Scratch<float> pivot(steps * channels);
  Scratch<double> partial(steps * segments * 2 * channels);
  if (!pivot.data || !partial.data) return 1;
  for (Size t = 0; t < steps; ++t)
    for (Size c = 0; c < channels; ++c) {
      double sum = 0;
      for (Size r = 0; r < pivot_rows; ++r) sum += Single::load(current + (t * rows + r) * channels + c);
      pivot.data[t * channels + c] = static_cast<float>(sum / static_cast<double>(pivot_rows));
    }
  const Size segment_rows = 64 * ceil_div(ceil_div(rows, segments), 64);
  MomentsJob<X> job{current, copy, pivot.data, partial.data, rows, channels, segments, segment_rows};
  for_units(steps * segments, threads, job);
  for (Size t = 0; t < steps; ++t)
    for (Size c = 0; c < channels; ++c) {
      double sum = 0, square = 0;
      for (Size s = 0; s < segments; ++s) {
        sum += partial.data[((t * segments + s) * 2) * channels + c];
        square += partial.data[((t * segments + s) * 2 + 1) * channels + c];
      }
      const double away = sum / static_cast<double>(rows), spread = square / static_cast<double>(rows) - away * away;
      mean[t * channels + c] = static_cast<float>(pivot.data[t * channels + c] + away);
      var[t * channels + c] = static_cast<float>(spread > 0 ? spread : spread == spread ? 0 : spread);
    }
  return 0;
}

inline int moments(const void* current, Size steps, Size rows, Size channels, void* copy, float* mean, float* var,
                   std::int32_t bf16, std::int32_t threads) {
  if (bf16)
    return moments_of(static_cast<const Bf16*>(current), steps, rows, channels, static_cast<Bf16*>(copy), mean, var, threads);
  return moments_of(static_cast<const float*>(current), steps, rows, channels, static_cast<float*>(copy), mean, var, threads);
}

// The scan over time of one layer (paper Eq. 4 and 9): normalise, integrate, fire, reset, pool.
// A tile of neurons stays in the cache for all steps. Without pooling a tile is a few pixels; with pooling it is one
// row of windows. Windows that do not fit are dropped, as average pooling does; their neurons fire all the same.

struct Geometry {
  Size pixels, pooled, tile, tiles, image_tiles;  // per step: pixels, windows; pixels of a whole tile; tiles; of an image
  bool windows;

  template <class Job>
  Geometry(const Job& s, Size flat_tile)
      : pixels(s.images * s.height * s.width),
        pooled(s.images * (s.height / s.window_height) * (s.width / s.window_width)),
        windows(s.window_height * s.window_width > 1) {
    image_tiles = ceil_div(s.height, s.window_height);
    tile = windows ? s.window_height * s.width : smaller(pixels, flat_tile);
    tiles = windows ? s.images * image_tiles : ceil_div(pixels, tile);
  }

  // First pixel and number of pixels of a tile; `window[r]` becomes the window of its r-th pixel, or -1.
  template <class Job>
  void place(const Job& s, Size number, Size* first, Size* count, std::int32_t* window) const {
    if (!windows) {
      *first = number * tile;
      *count = smaller(tile, pixels - *first);
      for (Size r = 0; r < *count; ++r) window[r] = static_cast<std::int32_t>(*first + r);
      return;
    }
    const Size image = number / image_tiles, band = number % image_tiles;
    const Size rows = smaller(s.window_height, s.height - band * s.window_height);
    const Size across = s.width / s.window_width, down = s.height / s.window_height;
    *first = (image * s.height + band * s.window_height) * s.width;
    *count = rows * s.width;
    for (Size r = 0; r < *count; ++r) {
      const Size column = (r % s.width) / s.window_width;
      const bool inside = band < down && column < across;
      window[r] = inside ? static_cast<std::int32_t>((image * down + band) * across + column) : -1;
    }
  }
};

// The constants of one step from a channel on. They are read where they are used: with those of the normalisation they
// are too many for the registers.
template <class L, bool Before, bool Hard>
struct Neuron {
  using V = typename L::Floats;
  using Mask = typename L::Mask;
  const float *leaks, *signs, *thresholds, *amounts;

  Neuron(const BnttScan& s, Size t, Size c)
      : leaks(s.leak + t * s.neuron_step + c),
        signs(s.sign ? s.sign + t * s.neuron_step + c : nullptr),
        thresholds(s.threshold + t * s.neuron_step + c),
        amounts(s.amount + t * s.neuron_step + c) {}

  Mask fires(Size i, V potential) const {
    return L::greater(signs ? L::load(signs + i) * potential : potential, L::load(thresholds + i));
  }

  // One step of the channels from the i-th on: the membrane moves on, `fired_on` is what was compared.
  Mask step(Size i, V leak, V drive, V& membrane, V& fired_on) const {
    fired_on = Before ? membrane : leak * membrane + drive;
    const Mask fired = fires(i, fired_on);
    const V kept = Before ? leak * membrane : fired_on;
    membrane = Hard ? L::choose(fired, V{}, kept) : kept - L::where(fired, L::load(amounts + i));
    if (Before) membrane += drive;
    return fired;
  }
};

template <class X, bool Before, bool Hard>
struct ForwardJob {
  const BnttScan& s;
  const Geometry& g;
  float* membranes;       // [workers, tile, C], where the caller keeps none
  std::int32_t *fired, *windows;  // [workers, T, C] and [workers, tile]

  template <class L, Size N>
  void column(Size c, Size t, Size first, Size count, float* u, const std::int32_t* window,
              std::int32_t* spikes) const {
    using V = typename L::Floats;
    const Size C = s.channels, at = t * C + c;
    const Neuron<L, Before, Hard> neuron(s, t, c);
    V mean[N], scale[N], shift[N], leak[N];
    typename L::Mask sum[N];
    for (Size n = 0, i = at; n < N; ++n, i += L::width) {
      mean[n] = L::load(s.mean + i), scale[n] = L::load(s.scale + i), shift[n] = L::load(s.shift + i);
      leak[n] = L::load(neuron.leaks + n * L::width), sum[n] = typename L::Mask{};
    }
    const X* x = static_cast<const X*>(s.current) + (t * g.pixels + first) * C + c;
    std::uint8_t* out = s.counts + t * g.pooled * C + c;
    u += c;
    for (Size r = 0; r < count; ++r, x += C, u += C)
      for (Size n = 0; n < N; ++n) {
        const Size i = n * L::width;
        __builtin_prefetch(x + i + g.pixels * C);
        V membrane = L::load(u + i), fired_on;
        const V drive = (L::load(x + i) - mean[n]) * scale[n] + shift[n];
        const auto spike = neuron.step(i, leak[n], drive, membrane, fired_on);
        L::store(u + i, membrane);
        sum[n] += spike;
        if (!g.windows)
          L::store_bytes(out + (first + r) * C + i, spike);
        else if (window[r] >= 0)
          L::add_bytes(out + window[r] * C + i, spike);
      }
    for (Size n = 0; n < N; ++n) L::subtract_ints(spikes + at + n * L::width, sum[n]);
  }

  void operator()(Size number, int worker) const {
    const Size C = s.channels;
    std::int32_t *window = windows + worker * g.tile, *spikes = fired + worker * s.steps * C;
    Size first, count;
    g.place(s, number, &first, &count, window);
    float* u = s.membrane ? s.membrane + first * C : membranes + worker * g.tile * C;
    if (!s.membrane) std::memset(u, 0, static_cast<std::size_t>(count * C) * sizeof(float));
    for (Size t = 0; t < s.steps; ++t) {
      if (g.windows && window[0] >= 0)
        std::memset(s.counts + (t * g.pooled + window[0]) * C, 0,
                    static_cast<std::size_t>((s.width / s.window_width) * C));
#define COLUMN(L, N, c) column<L, N>(c, t, first, count, u, window, spikes)
      FOR_CHANNELS(c, 0, C, COLUMN)
#undef COLUMN
    }
  }
};

template <class X, bool Before, bool Hard>
int scan_forward_as(const BnttScan& s) {
  const Geometry g(s, larger(1, 4096 / s.channels));
  const Size C = s.channels, workers = larger(1, smaller(s.threads, g.tiles));
  Scratch<float> membranes(s.membrane ? 0 : workers * g.tile * C);
  Scratch<std::int32_t> fired(workers * s.steps * C), windows(workers * g.tile);
  if (!membranes.data || !fired.data || !windows.data) return 1;
  std::memset(fired.data, 0, static_cast<std::size_t>(workers * s.steps * C) * sizeof(std::int32_t));
  ForwardJob<X, Before, Hard> job{s, g, membranes.data, fired.data, windows.data};
  for_units(g.tiles, s.threads, job);
  for (Size i = 0; i < s.steps * C; ++i) {
    std::int64_t sum = 0;
    for (Size w = 0; w < workers; ++w) sum += fired.data[w * s.steps * C + i];
    s.fired[i] = sum;
  }
  return 0;
}

template <class X>
int scan_forward_in(const BnttScan& s) {
  if (s.fire_before) return s.hard_reset ? scan_forward_as<X, true, true>(s) : scan_forward_as<X, true, false>(s);
  return s.hard_reset ? scan_forward_as<X, false, true>(s) : scan_forward_as<X, false, false>(s);
}

inline int scan_forward(const BnttScan& s) { return s.bf16 ? scan_forward_in<Bf16>(s) : scan_forward_in<float>(s); }
