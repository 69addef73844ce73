// The scan over time of one layer (paper Eq. 4 and 9): normalise, integrate, fire, reset, pool, and its reverse.
// A tile of neurons stays in the cache for all steps. Without pooling a tile is a few pixels; with pooling it is one
// row of windows. Windows that do not fit are dropped, as average pooling does; their neurons fire all the same.

struct Geometry {
  long pixels, pooled, tile, tiles, image_tiles;  // per step: pixels, windows; pixels of a whole tile; tiles; of an image
  bool windows;

  explicit Geometry(const BnttScan& s, long flat_tile)
      : pixels(s.images * s.height * s.width),
        pooled(s.images * (s.height / s.window_height) * (s.width / s.window_width)),
        windows(s.window_height * s.window_width > 1) {
    image_tiles = ceil_div(s.height, s.window_height);
    tile = windows ? s.window_height * s.width : smaller(pixels, flat_tile);
    tiles = windows ? s.images * image_tiles : ceil_div(pixels, tile);
  }

  // First pixel and number of pixels of a tile; `window[r]` becomes the window of its r-th pixel, or -1.
  void place(const BnttScan& s, long number, long* first, long* count, std::int32_t* window) const {
    if (!windows) {
      *first = number * tile;
      *count = smaller(tile, pixels - *first);
      for (long r = 0; r < *count; ++r) window[r] = static_cast<std::int32_t>(*first + r);
      return;
    }
    const long image = number / image_tiles, band = number % image_tiles;
    const long rows = smaller(s.window_height, s.height - band * s.window_height);
    const long across = s.width / s.window_width, down = s.height / s.window_height;
    *first = (image * s.height + band * s.window_height) * s.width;
    *count = rows * s.width;
    for (long r = 0; r < *count; ++r) {
      const long column = (r % s.width) / s.window_width;
      const bool inside = band < down && column < across;
      window[r] = inside ? static_cast<std::int32_t>((image * down + band) * across + column) : -1;
    }
  }
};

template <class V, bool Before, bool Hard>
struct Neuron {
  using L = Lanes<V>;
  using Mask = typename L::Mask;
  V leak, threshold;
  explicit Neuron(const BnttScan& s)
      : leak(L::fill(static_cast<float>(s.leak))), threshold(L::fill(static_cast<float>(s.threshold))) {}

  // One step: the membrane moves on, `fired_on` is what the threshold was compared with.
  Mask step(V drive, V& membrane, V& fired_on) const {
    fired_on = Before ? membrane : leak * membrane + drive;
    const Mask fired = L::greater(fired_on, threshold);
    const V kept = Before ? leak * membrane : fired_on;
    membrane = Hard ? L::choose(fired, V{}, kept) : kept - L::where(fired, threshold);
    if (Before) membrane += drive;
    return fired;
  }
};

template <bool Before, bool Hard>
struct ForwardJob {
  const BnttScan& s;
  const Geometry& g;
  float* membranes;       // [workers, tile, C], where the caller keeps none
  std::int32_t *fired, *windows;  // [workers, T, C] and [workers, tile]

  template <class V>
  void column(V, long c, long t, long first, long count, float* u, const std::int32_t* window,
              std::int32_t* spikes) const {
    using L = Lanes<V>;
    const long C = s.channels, at = t * C + c;
    const Neuron<V, Before, Hard> neuron(s);
    const V mean = L::load(s.mean + at), scale = L::load(s.scale + at), shift = L::load(s.shift + at);
    const float* x = s.current + (t * g.pixels + first) * C + c;
    std::uint8_t* out = s.counts + t * g.pooled * C + c;
    typename L::Mask sum = L::none();
    for (long r = 0; r < count; ++r, x += C) {
      V membrane = L::load(u + r * C + c), fired_on;
      const auto spike = neuron.step((L::load(x) - mean) * scale + shift, membrane, fired_on);
      L::store(u + r * C + c, membrane);
      sum += spike;
      if (!g.windows)
        L::store_bytes(out + (first + r) * C, spike);
      else if (window[r] >= 0)
        L::add_bytes(out + window[r] * C, spike);
    }
    L::subtract_ints(spikes + at, sum);
  }

  void operator()(long number, int worker) const {
    const long C = s.channels;
    std::int32_t *window = windows + worker * g.tile, *spikes = fired + worker * s.steps * C;
    long first, count;
    g.place(s, number, &first, &count, window);
    float* u = s.membrane ? s.membrane + first * C : membranes + worker * g.tile * C;
    if (!s.membrane) std::memset(u, 0, static_cast<std::size_t>(count * C) * sizeof(float));
    for (long t = 0; t < s.steps; ++t) {
      if (g.windows && window[0] >= 0)
        std::memset(s.counts + (t * g.pooled + window[0]) * C, 0,
                    static_cast<std::size_t>((s.width / s.window_width) * C));
#define COLUMN(v, c) column(v, c, t, first, count, u, window, spikes)
      FOR_CHANNELS(c, 0, C, COLUMN)
#undef COLUMN
    }
  }
};

template <bool Before, bool Hard>
int scan_forward_as(const BnttScan& s) {
  const Geometry g(s, larger(1, 4096 / s.channels));
  const long C = s.channels, workers = larger(1, s.threads);
  Scratch<float> membranes(s.membrane ? 0 : workers * g.tile * C);
  Scratch<std::int32_t> fired(workers * s.steps * C), windows(workers * g.tile);
  if (!membranes.data || !fired.data || !windows.data) return 1;
  std::memset(fired.data, 0, static_cast<std::size_t>(workers * s.steps * C) * sizeof(std::int32_t));
  ForwardJob<Before, Hard> job{s, g, membranes.data, fired.data, windows.data};
  for_units(g.tiles, s.threads, job);
  for (long i = 0; i < s.steps * C; ++i) {
    std::int64_t sum = 0;
    for (long w = 0; w < workers; ++w) sum += fired.data[w * s.steps * C + i];
    s.fired[i] = sum;
  }
  return 0;
}

// do/du of a potential u with v = u/threshold - 1 (ops/spike.py): Triangle (Eq. 8), FastSigmoid, ArcTan.
template <class V, int Kind>
V surrogate(const BnttScan& s, V potential) {
  using L = Lanes<V>;
  const V one = L::fill(1.0f), first = L::fill(static_cast<float>(s.surrogate_first));
  const V v = potential * L::fill(static_cast<float>(1 / s.threshold)) - one;
  if (Kind == 0) return first * L::above_zero(one - L::magnitude(v));
  const V slope = L::fill(static_cast<float>(s.surrogate_second));
  const V bend = Kind == 1 ? one + slope * L::magnitude(v) : slope * v;
  return Kind == 1 ? first / (bend * bend) : first / (one + bend * bend);
}

// Reverse scan. It keeps nothing of the forward pass but `current`: the potentials of a tile are computed again, then
// g = dL/dz runs back through time. First sweep (Sums): the sums over rows that Eq. 10 and 11 need; second: Eq. 10.
template <bool Before, bool Hard, int Kind, bool Sums>
struct BackwardJob {
  const BnttScan& s;
  const Geometry& g;
  long block, blocks, segments;  // channels of a block, blocks; runs of tiles whose sums are kept apart
  float *potentials, *carries;   // [workers, T, tile, block] and [workers, tile, block]
  std::int32_t* windows;         // [workers, tile]
  double* partial;               // [segments, T, 2, C]

  template <class V>
  void again(V, long c, long t, long first, long count, long base, float* u, float* p) const {
    using L = Lanes<V>;
    const long C = s.channels, at = t * C + base + c;
    const Neuron<V, Before, Hard> neuron(s);
    const V mean = L::load(s.mean + at), scale = L::load(s.scale + at), shift = L::load(s.shift + at);
    const float* x = s.current + (t * g.pixels + first) * C + base + c;
    for (long r = 0; r < count; ++r, x += C) {
      __builtin_prefetch(x + g.pixels * C);  // the next step's: tiles are too short for the hardware to see it coming
      V membrane = L::load(u + r * block + c), fired_on;
      neuron.step((L::load(x) - mean) * scale + shift, membrane, fired_on);
      L::store(u + r * block + c, membrane);
      L::store(p + (t * g.tile + r) * block + c, fired_on);
    }
  }

  template <class V>
  void reverse(V, long c, long t, long first, long count, long base, float* carry, const float* p,
               const std::int32_t* window, double* sums) const {
    using L = Lanes<V>;
    const long C = s.channels, at = t * C + base + c, here = (t * g.pixels + first) * C + base + c;
    const V leak = L::fill(static_cast<float>(s.leak)), threshold = L::fill(static_cast<float>(s.threshold));
    const V worth = L::fill(static_cast<float>(s.grad_scale));
    const V mean = L::load(s.mean + at), factor = L::load((Sums ? s.inverse : s.scale) + at);
    const V offset = Sums ? V{} : L::load(s.offset + at), slope = Sums ? V{} : L::load(s.slope + at);
    const float* grad = s.grad_spikes + t * s.grad_step + base + c;
    V sum{}, product{};
    for (long r = 0; r < count; ++r) {
      __builtin_prefetch(grad + window[r] * C - s.grad_step);
      const V potential = L::load(p + (t * g.tile + r) * block + c);
      const V spike_part = window[r] < 0 ? V{} : L::load(grad + window[r] * C) * worth * surrogate<V, Kind>(s, potential);
      V next = L::load(carry + r * block + c);  // dL/d(membrane after step t)
      const V kept = Hard ? L::choose(L::greater(potential, threshold), V{}, next) : next;
      const V drive = Before ? next : kept + spike_part;  // dL/dz
      L::store(carry + r * block + c, Before ? leak * kept + spike_part : leak * drive);
      const V away = L::load(s.current + here + r * C) - mean;
      if (Sums) {
        sum += drive;
        product += drive * (away * factor);
      } else {
        L::store(s.grad_current + here + r * C, factor * drive - offset - slope * away);
      }
    }
    if (Sums) {
      L::add_doubles(sums + 2 * t * C + base + c, sum);
      L::add_doubles(sums + (2 * t + 1) * C + base + c, product);
    }
  }

  void operator()(long unit, int worker) const {
    const long segment = unit / blocks, base = unit % blocks * block, width = smaller(block, s.channels - base);
    const std::size_t bytes = static_cast<std::size_t>(g.tile * block) * sizeof(float);
    float *p = potentials + worker * s.steps * g.tile * block, *carry = carries + worker * g.tile * block;
    std::int32_t* window = windows + worker * g.tile;
    double* sums = Sums ? partial + segment * s.steps * 2 * s.channels : nullptr;
    const long last = (segment + 1) * g.tiles / segments;
    for (long number = segment * g.tiles / segments; number < last; ++number) {
      long first, count;
      g.place(s, number, &first, &count, window);
      std::memset(carry, 0, bytes);  // first the membrane at rest, then the gradient that nothing follows
#define AGAIN(v, c) again(v, c, t, first, count, base, carry, p)
#define REVERSE(v, c) reverse(v, c, t, first, count, base, carry, p, window, sums)
      for (long t = 0; t < s.steps; ++t) FOR_CHANNELS(c, 0, width, AGAIN)
      std::memset(carry, 0, bytes);
      for (long t = s.steps - 1; t >= 0; --t) FOR_CHANNELS(c, 0, width, REVERSE)
#undef AGAIN
#undef REVERSE
    }
  }
};

template <bool Before, bool Hard, int Kind, bool Sums>
int scan_reverse_as(const BnttScan& s) {
  const long room = 1 << 17, C = s.channels;  // floats of a tile's potentials: half of a usual second-level cache
  const bool pooled = s.window_height * s.window_width > 1;
  long block = smaller(C, 64);
  const long fixed = pooled ? s.window_height * s.width : 8;
  while (block > LANES && s.steps * fixed * block > room) block = larger(LANES, block / 2 / LANES * LANES);
  const Geometry g(s, smaller(64, larger(1, room / (s.steps * block))));
  const long workers = larger(1, s.threads), blocks = ceil_div(C, block);
  const long affordable = (1 << 21) / (2 * s.steps * C);
  const long segments = smaller(g.tiles, Sums ? larger(1, smaller(64, affordable)) : 1 << 16);
  Scratch<float> potentials(workers * s.steps * g.tile * block), carries(workers * g.tile * block);
  Scratch<std::int32_t> windows(workers * g.tile);
  Scratch<double> partial(Sums ? segments * s.steps * 2 * C : 0);
  if (!potentials.data || !carries.data || !windows.data || !partial.data) return 1;
  if (Sums) std::memset(partial.data, 0, static_cast<std::size_t>(segments * s.steps * 2 * C) * sizeof(double));
  BackwardJob<Before, Hard, Kind, Sums> job{s,          g,           block,        blocks,       segments, potentials.data,
                                            carries.data, windows.data, partial.data};
  for_units(segments * blocks, s.threads, job);
  for (long t = 0; Sums && t < s.steps; ++t)
    for (long c = 0; c < C; ++c) {
      double sum = 0, product = 0;
      for (long i = 0; i < segments; ++i) {
        sum += partial.data[((i * s.steps + t) * 2) * C + c];
        product += partial.data[((i * s.steps + t) * 2 + 1) * C + c];
      }
      s.sum_grad[t * C + c] = sum;
      s.sum_product[t * C + c] = product;
    }
  return 0;
}

inline int scan_forward(const BnttScan& s) {
  if (s.fire_before) return s.hard_reset ? scan_forward_as<true, true>(s) : scan_forward_as<true, false>(s);
  return s.hard_reset ? scan_forward_as<false, true>(s) : scan_forward_as<false, false>(s);
}

template <bool Before, bool Hard, bool Sums>
int scan_reverse_kind(const BnttScan& s) {
  if (s.surrogate == 0) return scan_reverse_as<Before, Hard, 0, Sums>(s);
  if (s.surrogate == 1) return scan_reverse_as<Before, Hard, 1, Sums>(s);
  return scan_reverse_as<Before, Hard, 2, Sums>(s);
}

template <bool Sums>
int scan_reverse(const BnttScan& s) {
  if (s.fire_before)
    return s.hard_reset ? scan_reverse_kind<true, true, Sums>(s) : scan_reverse_kind<true, false, Sums>(s);
  return s.hard_reset ? scan_reverse_kind<false, true, Sums>(s) : scan_reverse_kind<false, false, Sums>(s);
}
