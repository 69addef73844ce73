// The scan over time of one layer backwards (paper Eq. 6, 8, 10 and 11), on the tiles and neurons of scan.inl.

// do/du of a potential u with v = u/threshold - 1 (ops/spike.py): Triangle (Eq. 8), FastSigmoid, ArcTan; `first` has a
// neuron's sign and slope.
template <class L, int Kind>
struct Surrogate {
  using V = typename L::Floats;
  V one = L::fill(1.0f), second;
  explicit Surrogate(const BnttScan& s) : second(L::fill(static_cast<float>(s.surrogate_second))) {}

  V operator()(V potential, V per_threshold, V first) const {
    const V v = potential * per_threshold - one;
    if (Kind == 0) return first * L::above_zero(one - L::magnitude(v));
    const V bend = Kind == 1 ? one + second * L::magnitude(v) : second * v;
    return Kind == 1 ? first / (bend * bend) : first / (one + bend * bend);
  }
};

// Reverse scan. It keeps nothing of the forward pass but `current`: the potentials of a tile are computed again, then
// g = dL/dz runs back through time. First sweep (Sums): the sums over rows that Eq. 10 and 11 need; second: Eq. 10.
// Where the potentials of all steps are too many for the cache, they are computed a span of steps at a time, from the
// membrane that was kept before every span.
enum Sweep { kCurrent, kSums, kSumsAndLeak };

template <class X, bool Before, bool Hard, int Kind, Sweep Which>
struct BackwardJob {
  static constexpr bool Sums = Which != kCurrent, Leak = Which == kSumsAndLeak;
  static constexpr bool Membranes = Leak && !Before;  // what is held of a step is the membrane that leaks, not m
  static constexpr Size sums_kept = Leak ? 3 : 2;
  const BnttScan& s;
  const Geometry& g;
  Size block, blocks, segments;  // channels of a block, blocks; runs of tiles whose sums are kept apart
  Size span, spans;              // steps whose potentials are held at a time, and how often that makes
  float *potentials, *kept, *carries;  // [workers, span, tile, block], [workers, spans, tile, block], [workers, tile, block]
  std::int32_t* windows;         // [workers, tile]
  double* partial;               // [segments, T, sums_kept, C]

  template <class L, Size N>
  void again(Size c, Size t, Size begin, Size first, Size count, Size base, float* u, float* p) const {
    using V = typename L::Floats;
    const Size C = s.channels, width = block;
    const Neuron<L, Before, Hard> neuron(s, t, base + c);
    V mean[N], scale[N], shift[N], leak[N];
    for (Size n = 0, i = t * C + base + c; n < N; ++n, i += L::width) {
      mean[n] = L::load(s.mean + i), scale[n] = L::load(s.scale + i), shift[n] = L::load(s.shift + i);
      leak[n] = L::load(neuron.leaks + n * L::width);
    }
    const X* x = static_cast<const X*>(s.current) + (t * g.pixels + first) * C + base + c;
    u += c, p += (t - begin) * g.tile * width + c;
    for (Size r = 0; r < count; ++r, x += C, u += width, p += width)
      for (Size n = 0; n < N; ++n) {
        const Size i = n * L::width;
        __builtin_prefetch(x + i + g.pixels * C);  // one step ahead: a tile's rows are too short for the hardware to see
        V membrane = L::load(u + i), fired_on;
        if (Membranes) L::store(p + i, membrane);
        neuron.step(i, leak[n], (L::load(x + i) - mean[n]) * scale[n] + shift[n], membrane, fired_on);
        L::store(u + i, membrane);
        if (!Membranes) L::store(p + i, fired_on);
      }
  }

  template <class L, Size N>
  void reverse(Size c, Size t, Size begin, Size first, Size count, Size base, float* carry, const float* p,
               const std::int32_t* window, double* sums) const {
    using V = typename L::Floats;
    const Size C = s.channels, width = block;
    const V worth = L::fill(static_cast<float>(s.grad_scale));
    const Surrogate<L, Kind> surrogate(s);
    V mean[N], factor[N], one[N], two[N];  // one, two: the sums of g and of g x^, or what the second sweep subtracts
    V scale[N], shift[N], three[N];  // three: the sum of dL/d(leak)
    V leak[N], per_threshold[N], steepest[N];
    const bool given = !Sums && !s.slope;  // mean and variance: an infinite current then has a gradient, see below
    const Neuron<L, Before, Hard> neuron(s, t, base + c);
    for (Size n = 0, i = t * C + base + c; n < N; ++n, i += L::width) {
      mean[n] = L::load(s.mean + i), factor[n] = L::load((Sums ? s.inverse : s.scale) + i);
      const Size own = t * s.neuron_step + base + c + n * L::width;
      leak[n] = L::load(s.leak + own), per_threshold[n] = L::load(s.per_threshold + own);
      steepest[n] = L::load(s.surrogate_first + own) * worth;
      if (Leak) scale[n] = L::load(s.scale + i), shift[n] = L::load(s.shift + i), three[n] = V{};
      one[n] = Sums || given ? V{} : L::load(s.offset + i), two[n] = Sums || given ? V{} : L::load(s.slope + i);
    }
    const Size here = (t * g.pixels + first) * C + base + c;
    const X* x = static_cast<const X*>(s.current) + here;
    const X* grad = static_cast<const X*>(s.grad_spikes) + t * s.grad_step + base + c;
    X* out = Sums ? nullptr : static_cast<X*>(s.grad_current) + here;
    carry += c, p += (t - begin) * g.tile * width + c;
    for (Size r = 0; r < count; ++r, carry += width, p += width) {
      const X* towards = window[r] < 0 ? nullptr : grad + window[r] * C;
      for (Size n = 0; n < N; ++n) {
        const Size i = n * L::width;
        if (towards) __builtin_prefetch(towards + i - s.grad_step);
        const V held = L::load(p + i);
        V potential = held;
        if (Membranes) potential = leak[n] * held + ((L::load(x + r * C + i) - mean[n]) * scale[n] + shift[n]);
        const V spike_part = towards ? L::load(towards + i) * surrogate(potential, per_threshold[n], steepest[n]) : V{};
        const V next = L::load(carry + i);  // dL/d(membrane after step t)
        const V kept = Hard ? L::choose(neuron.fires(i, potential), V{}, next) : next;
        const V drive = Before ? next : kept + spike_part;  // g = dL/dz
        L::store(carry + i, Before ? leak[n] * kept + spike_part : leak[n] * drive);
        const V away = given ? V{} : L::load(x + r * C + i) - mean[n];  // not 0 times infinity
        if (Leak) three[n] += (Before ? kept : drive) * held;  // the membrane that leaked: of Before it is the potential
        if (Sums)
          one[n] += drive, two[n] += drive * (away * factor[n]);
        else
          L::store(out + r * C + i, factor[n] * drive - one[n] - two[n] * away);
      }
    }
    for (Size n = 0, i = base + c; Sums && n < N; ++n, i += L::width) {
      L::add_doubles(sums + sums_kept * t * C + i, one[n]);
      L::add_doubles(sums + (sums_kept * t + 1) * C + i, two[n]);
      if (Leak) L::add_doubles(sums + (sums_kept * t + 2) * C + i, three[n]);
    }
  }

  // A tile's part of what the caller carries over from other steps; zeros where there is nothing.
  void fetch(float* to, const float* all, Size first, Size count, Size base, Size width) const {
    if (!all) std::memset(to, 0, static_cast<std::size_t>(g.tile * block) * sizeof(float));
    for (Size r = 0; all && r < count; ++r)
      std::memcpy(to + r * block, all + (first + r) * s.channels + base, static_cast<std::size_t>(width) * sizeof(float));
  }

  void operator()(Size unit, int worker) const {
    const Size segment = unit / blocks, base = unit % blocks * block, width = smaller(block, s.channels - base);
    const Size floats = g.tile * block;
    const std::size_t bytes = static_cast<std::size_t>(floats) * sizeof(float);
    float *p = potentials + worker * span * floats, *before = kept + worker * spans * floats;
    float* carry = carries + worker * floats;
    std::int32_t* window = windows + worker * g.tile;
    double* sums = Sums ? partial + segment * s.steps * sums_kept * s.channels : nullptr;
    const Size last = (segment + 1) * g.tiles / segments;
    for (Size number = segment * g.tiles / segments; number < last; ++number) {
      Size first, count;
      g.place(s, number, &first, &count, window);
#define AGAIN(L, N, c) again<L, N>(c, t, begin, first, count, base, membrane, p)
#define REVERSE(L, N, c) reverse<L, N>(c, t, begin, first, count, base, carry, p, window, sums)
      fetch(before, s.membrane, first, count, base, width);
      for (Size i = 0; i < spans; ++i) {  // the membrane moves on from span to span, and in the last one ends anywhere
        float* membrane = i + 1 < spans ? before + (i + 1) * floats : carry;
        std::memcpy(membrane, before + i * floats, bytes);
        const Size begin = i * span, end = smaller(s.steps, begin + span);
        for (Size t = begin; t < end; ++t) FOR_CHANNELS(c, 0, width, AGAIN)
      }
      fetch(carry, s.carry, first, count, base, width);
      for (Size i = spans - 1; i >= 0; --i) {
        const Size begin = i * span, end = smaller(s.steps, begin + span);
        float* membrane = before + i * floats;
        for (Size t = begin; i + 1 < spans && t < end; ++t) FOR_CHANNELS(c, 0, width, AGAIN)
        for (Size t = end - 1; t >= begin; --t) FOR_CHANNELS(c, 0, width, REVERSE)
      }
      for (Size r = 0; !Sums && s.carry && r < count; ++r)
        std::memcpy(s.carry + (first + r) * s.channels + base, carry + r * block,
                    static_cast<std::size_t>(width) * sizeof(float));
#undef AGAIN
#undef REVERSE
    }
  }
};

template <class X, bool Before, bool Hard, int Kind, Sweep Which>
int scan_reverse_as(const BnttScan& s) {
  using Job = BackwardJob<X, Before, Hard, Kind, Which>;
  constexpr bool Sums = Job::Sums;
  constexpr Size kept_sums = Job::sums_kept;
  const Size room = 1 << 16, C = s.channels;  // floats of a tile's potentials: a quarter of a usual second-level cache
  const bool pooled = s.window_height * s.window_width > 1;
  Size block = smaller(C, 64);
  const Size fixed = pooled ? s.window_height * s.width : 8;
  const Size span = smaller(s.steps, larger(1, room / (fixed * block))), spans = ceil_div(s.steps, span);
  const Geometry g(s, smaller(64, room / (span * block)));
  const Size blocks = ceil_div(C, block);
  const Size affordable = (1 << 21) / (kept_sums * s.steps * C);
  const Size segments = smaller(g.tiles, Sums ? larger(1, smaller(64, affordable)) : 1 << 16);
  const Size workers = larger(1, smaller(s.threads, segments * blocks));
  Scratch<float> potentials(workers * span * g.tile * block), kept(workers * spans * g.tile * block);
  Scratch<float> carries(workers * g.tile * block);
  Scratch<std::int32_t> windows(workers * g.tile);
  Scratch<double> partial(Sums ? segments * s.steps * kept_sums * C : 0);
  if (!potentials.data || !kept.data || !carries.data || !windows.data || !partial.data) return 1;
  if (Sums) std::memset(partial.data, 0, static_cast<std::size_t>(segments * s.steps * kept_sums * C) * sizeof(double));
  Job job{s,     g,               block,     blocks,       segments,     span,
          spans, potentials.data, kept.data, carries.data, windows.data, partial.data};
  for_units(segments * blocks, s.threads, job);
  double* const sums[] = {s.sum_grad, s.sum_product, s.sum_leak};
  for (Size which = 0; Sums && which < kept_sums; ++which)
    for (Size t = 0; t < s.steps; ++t)
      for (Size c = 0; c < C; ++c) {
        double sum = 0;
        for (Size i = 0; i < segments; ++i) sum += partial.data[((i * s.steps + t) * kept_sums + which) * C + c];
        sums[which][t * C + c] = sum;
      }
  return 0;
}

template <class X, bool Before, bool Hard, Sweep Which>
int scan_reverse_kind(const BnttScan& s) {
  if (s.surrogate == 0) return scan_reverse_as<X, Before, Hard, 0, Which>(s);
  if (s.surrogate == 1) return scan_reverse_as<X, Before, Hard, 1, Which>(s);
  return scan_reverse_as<X, Before, Hard, 2, Which>(s);
}

template <class X, Sweep Which>
int scan_reverse_in(const BnttScan& s) {
  if (s.fire_before)
    return s.hard_reset ? scan_reverse_kind<X, true, true, Which>(s) : scan_reverse_kind<X, true, false, Which>(s);
  return s.hard_reset ? scan_reverse_kind<X, false, true, Which>(s) : scan_reverse_kind<X, false, false, Which>(s);
}

template <Sweep Which>
int scan_reverse_of(const BnttScan& s) {
  return s.bf16 ? scan_reverse_in<Bf16, Which>(s) : scan_reverse_in<float, Which>(s);
}

inline int scan_backward(const BnttScan& s) { return scan_reverse_of<kCurrent>(s); }
inline int scan_sums(const BnttScan& s) {
  return s.sum_leak ? scan_reverse_of<kSumsAndLeak>(s) : scan_reverse_of<kSums>(s);
}
