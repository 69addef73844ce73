// A layer of an ANN, one step, on the tiles of scan.inl: normalise (paper Eq. 9), rectify, average over windows; and back
// (Eq. 10 and 11). Nothing of the forward pass is kept but the current.

struct RectifyJob {
  const BnttRectify& s;
  const Geometry& g;
  std::int32_t* windows;  // [workers, tile]

  template <class L, Size N>
  void column(Size c, Size first, Size count, const std::int32_t* window) const {
    using V = typename L::Floats;
    const Size C = s.channels;
    const V floor = L::fill(s.floor), worth = L::fill(s.worth);
    V mean[N], scale[N], shift[N];
    for (Size n = 0, i = c; n < N; ++n, i += L::width)
      mean[n] = L::load(s.mean + i), scale[n] = L::load(s.scale + i), shift[n] = L::load(s.shift + i);
    const float* x = s.current + first * C + c;
    for (Size r = 0; r < count; ++r, x += C) {
      if (window[r] < 0) continue;
      float* to = s.out + window[r] * C + c;
      for (Size n = 0, i = 0; n < N; ++n, i += L::width) {
        const V z = (L::load(x + i) - mean[n]) * scale[n] + shift[n];
        const V y = L::choose(L::greater(floor, z), floor, z);  // NaN stays NaN
        L::store(to + i, g.windows ? L::load(to + i) + worth * y : y);
      }
    }
  }

  void operator()(Size number, int worker) const {
    const Size C = s.channels;
    std::int32_t* window = windows + worker * g.tile;
    Size first, count;
    g.place(s, number, &first, &count, window);
    if (g.windows && window[0] >= 0)
      std::memset(s.out + window[0] * C, 0, static_cast<std::size_t>((s.width / s.window_width) * C) * sizeof(float));
#define COLUMN(L, N, c) column<L, N>(c, first, count, window)
    FOR_CHANNELS(c, 0, C, COLUMN)
#undef COLUMN
  }
};

// First sweep (Sums): the sums over rows of g = dL/dz and of g (current - mean); second: Eq. 10.
template <bool Sums>
struct RectifyReverseJob {
  const BnttRectify& s;
  const Geometry& g;
  Size segments;          // runs of tiles whose sums are kept apart
  std::int32_t* windows;  // [workers, tile]
  double* partial;        // [segments, 2, C]
  const float *offset, *slope;  // [C]: what the second sweep takes from scale g, and per current - mean

  template <class L, Size N>
  void column(Size c, Size first, Size count, const std::int32_t* window, double* sums) const {
    using V = typename L::Floats;
    const Size C = s.channels;
    const V floor = L::fill(s.floor), worth = L::fill(s.worth);
    V mean[N], scale[N], shift[N], one[N], two[N];  // one, two: the sums, or what the second sweep subtracts
    for (Size n = 0, i = c; n < N; ++n, i += L::width) {
      mean[n] = L::load(s.mean + i), scale[n] = L::load(s.scale + i), shift[n] = L::load(s.shift + i);
      one[n] = Sums ? V{} : L::load(offset + i), two[n] = Sums ? V{} : L::load(slope + i);
    }
    const Size here = first * C + c;
    for (Size r = 0; r < count; ++r)
      for (Size n = 0; n < N; ++n) {
        const Size i = n * L::width;
        const V away = L::load(s.current + here + r * C + i) - mean[n], z = away * scale[n] + shift[n];
        const V towards = window[r] < 0 ? V{} : worth * L::load(s.grad + window[r] * C + c + i);
        const V drive = L::where(L::greater(z, floor), towards);
        if (Sums)
          one[n] += drive, two[n] += drive * away;
        else  // with given statistics nothing is taken: an infinite current times 0 is no number
          L::store(s.grad_current + here + r * C + i,
                   s.batch ? scale[n] * drive - one[n] - two[n] * away : scale[n] * drive);
      }
    for (Size n = 0, i = c; Sums && n < N; ++n, i += L::width) {
      L::add_doubles(sums + i, one[n]);
      L::add_doubles(sums + C + i, two[n]);
    }
  }

  void operator()(Size segment, int worker) const {
    const Size C = s.channels, last = (segment + 1) * g.tiles / segments;
    std::int32_t* window = windows + worker * g.tile;
    double* sums = Sums ? partial + segment * 2 * C : nullptr;
    for (Size number = segment * g.tiles / segments; number < last; ++number) {
      Size first, count;
      g.place(s, number, &first, &count, window);
#define COLUMN(L, N, c) column<L, N>(c, first, count, window, sums)
      FOR_CHANNELS(c, 0, C, COLUMN)
#undef COLUMN
    }
  }
};

inline int rectify(const BnttRectify& s) {
  const Geometry g(s, larger(1, 4096 / s.channels));
  Scratch<std::int32_t> windows(larger(1, s.threads) * g.tile);
  if (!windows.data) return 1;
  RectifyJob job{s, g, windows.data};
  for_units(g.tiles, s.threads, job);
  return 0;
}

// Sums are of fixed segments, so that the threads change no bit.
inline int rectify_backward(const BnttRectify& s) {
  const Geometry g(s, 64);
  const Size C = s.channels, segments = smaller(g.tiles, 64);
  const double rows = static_cast<double>(s.images * s.height * s.width);
  Scratch<std::int32_t> windows(larger(1, s.threads) * g.tile);
  Scratch<double> partial(segments * 2 * C);
  Scratch<float> offset(C), slope(C);
  if (!windows.data || !partial.data || !offset.data || !slope.data) return 1;
  std::memset(partial.data, 0, static_cast<std::size_t>(segments * 2 * C) * sizeof(double));
  RectifyReverseJob<true> sums{s, g, segments, windows.data, partial.data, nullptr, nullptr};
  if (s.batch || s.sums) for_units(segments, s.threads, sums);
  for (Size c = 0; c < C; ++c) {
    double sum = 0, product = 0;
    for (Size i = 0; i < segments; ++i) sum += partial.data[i * 2 * C + c], product += partial.data[(i * 2 + 1) * C + c];
    product *= s.inverse[c];
    if (s.sums) s.sums[c] = static_cast<float>(sum), s.sums[C + c] = static_cast<float>(product);
    const double share = s.scale[c] / rows;
    offset.data[c] = static_cast<float>(share * sum), slope.data[c] = static_cast<float>(share * s.inverse[c] * product);
  }
  RectifyReverseJob<false> current{s, g, segments, windows.data, nullptr, offset.data, slope.data};
  if (s.grad_current) for_units(segments, s.threads, current);
  return 0;
}
