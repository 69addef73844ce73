// The event-driven weight gradient: dW[ci, tap] = sum over the events of ci of the output gradient that the tap leads
// to. What a layer's sizes mean and how a pixel's events are listed is in events.inl.

// A strip is as many image rows as keep its part of the output gradient in the first-level cache.
struct Strips {
  long images, height, width, rows, strips, padded_width, positions;  // of the input; positions: padded pixels of a strip
  Strips(const BnttEvents& e, bool dense, long room) {
    images = dense ? 1 : e.images;
    height = dense ? ceil_div(e.images, room) : e.height;
    width = dense ? room : e.width;
    padded_width = dense ? width : width + 2;
    rows = dense ? 1 : larger(1, smaller(height, room / padded_width - 2));
    strips = ceil_div(height, rows);
    positions = dense ? width : (rows + 2) * padded_width;
  }
};

struct EventLists {  // per strip: where the events of every input channel are, as positions in the padded strip
  const BnttEvents& e;
  const Strips& g;
  bool dense;
  std::int64_t *offsets, *bases;  // [strips, Ci + 1] and [strips + 1]
  std::uint16_t* places;
  std::int32_t* cursors;  // [workers, Ci]

  // Calls use(pixel counts, position) for every pixel of a strip.
  template <class F>
  void pixels(long strip, F use) const {
    const long image = strip / g.strips, first = strip % g.strips * g.rows, last = smaller(first + g.rows, g.height);
    for (long h = first; h < last; ++h)
      for (long w = 0; w < g.width; ++w) {
        const long pixel = (image * g.height + h) * g.width + w;
        if (dense && pixel >= e.images) return;
        use(e.counts + pixel * e.in_channels, dense ? w : (h - first + 1) * g.padded_width + w + 1);
      }
  }

  void count(long strip, std::int32_t* sums) const {
    const long Ci = e.in_channels;
    std::memset(sums, 0, static_cast<std::size_t>(Ci) * sizeof(std::int32_t));
    pixels(strip, [&](const std::uint8_t* x, long) {
      for (long c = 0; c < Ci; ++c) sums[c] += x[c];
    });
    std::int64_t total = 0;
    for (long c = 0; c < Ci; ++c) {
      offsets[strip * (Ci + 1) + c] = total;
      total += sums[c];
    }
    offsets[strip * (Ci + 1) + Ci] = total;
  }

  void fill(long strip, std::int32_t* next, std::uint8_t* active) const {
    const long Ci = e.in_channels;
    std::uint16_t* to = places + bases[strip];
    for (long c = 0; c < Ci; ++c) next[c] = static_cast<std::int32_t>(offsets[strip * (Ci + 1) + c]);
    pixels(strip, [&](const std::uint8_t* x, long position) {
      for (long first = 0; first < Ci; first += 256) {
        const long size = list_events(x + first, smaller(256, Ci - first), e.largest_count, active);
        for (long i = 0; i < size; ++i) to[next[first + active[i]]++] = static_cast<std::uint16_t>(position);
      }
    });
  }
};

// Taps: 9 for a 3x3 kernel with one vector of output channels, 1 for a fully connected layer with four.
template <long Taps, long Vectors>
struct EventWeightGrad {
  const BnttEvents& e;
  const Strips& g;
  const EventLists& lists;
  float *strips, *sums;  // [workers, positions, Vectors * LANES] and [groups, Co blocks, Ci, Taps, Vectors * LANES]
  long blocks, groups;

  void copy_strip(long strip, long first, float* to) const {
    constexpr long N = Vectors * LANES;
    const long image = strip / g.strips, top = strip % g.strips * g.rows, Co = e.out_channels;
    const long edge = Taps == 9 ? 1 : 0, filled = smaller(N, Co - first);
    const long down = Taps == 9 ? out_height(e) : g.height, across = Taps == 9 ? out_width(e) : g.width;
    const long shift_h = Taps == 9 ? e.pad_height - 1 : 0, shift_w = Taps == 9 ? e.pad_width - 1 : 0;
    const long rows = Taps == 9 ? g.rows + 2 : 1;
    for (long h = 0; h < rows; ++h)
      for (long w = 0; w < g.padded_width; ++w, to += N) {
        const long y = top + h - edge + shift_h, x = w - edge + shift_w, pixel = (image * down + y) * across + x;
        const bool inside = y >= 0 && y < down && x >= 0 && x < across && (Taps == 9 || pixel < e.images);
        const float* from = e.grad_out + pixel * Co + first;
        if (inside && filled == N)
          for (long n = 0; n < Vectors; ++n) Full::store(to + n * LANES, Full::load(from + n * LANES));
        else
          for (long n = 0; n < N; ++n) to[n] = inside && n < filled ? from[n] : 0.0f;
      }
  }

  void operator()(long unit, int worker) const {
    constexpr long N = Vectors * LANES;
    using L = Full;
    using Floats = L::Floats;
    const long group = unit / blocks, block = unit % blocks, Ci = e.in_channels, all = g.images * g.strips;
    float *strip_grad = strips + worker * g.positions * N, *total = sums + unit * Ci * Taps * N;
    std::memset(total, 0, static_cast<std::size_t>(Ci * Taps * N) * sizeof(float));
    for (long strip = group * all / groups; strip < (group + 1) * all / groups; ++strip) {
      copy_strip(strip, block * N, strip_grad);
      const std::int64_t* offset = lists.offsets + strip * (Ci + 1);
      const std::uint16_t* places = lists.places + lists.bases[strip];
      for (long c = 0; c < Ci; ++c) {
        if (offset[c] == offset[c + 1]) continue;
        float* to = total + c * Taps * N;
        Floats sum[Taps * Vectors] = {};  // of this strip alone: short sums keep their digits
        for (std::int64_t i = offset[c]; i < offset[c + 1]; ++i) {
          // the output pixel that tap (i, j) leads to lies (1 - i, 1 - j) from the input pixel
          const float* at = strip_grad + places[i] * N;
          if (Taps == 9) {
            const float *below = at + g.padded_width * N, *above = at - g.padded_width * N;
            for (long j = 0; j < 3; ++j) sum[j] += L::load(below + (1 - j) * N);
            for (long j = 0; j < 3; ++j) sum[3 + j] += L::load(at + (1 - j) * N);
            for (long j = 0; j < 3; ++j) sum[6 + j] += L::load(above + (1 - j) * N);
          } else {
            for (long n = 0; n < Vectors; ++n) sum[n] += L::load(at + n * LANES);
          }
        }
        for (long k = 0; k < Taps * Vectors; ++k) L::store(to + k * LANES, L::load(to + k * LANES) + sum[k]);
      }
    }
  }
};

template <long Taps, long Vectors>
int weight_grad_as(const BnttEvents& e) {
  constexpr long N = Vectors * LANES;
  const Strips g(e, Taps == 1, larger(Taps == 9 ? 3 * (e.width + 2) : 1, 24 * 1024 / 4 / N));
  const long Ci = e.in_channels, Co = e.out_channels, all = g.images * g.strips, workers = larger(1, e.threads);
  const long blocks = ceil_div(Co, N), groups = smaller(all, larger(1, 16 / blocks));
  Scratch<std::int64_t> offsets(all * (Ci + 1)), bases(all + 1);
  Scratch<std::int32_t> cursors(workers * Ci);
  Scratch<std::uint8_t> active(workers * (256 * e.largest_count + 16));
  Scratch<float> strips(workers * g.positions * N), sums(groups * blocks * Ci * Taps * N);
  if (!offsets.data || !bases.data || !cursors.data || !active.data || !strips.data || !sums.data) return 1;
  EventLists lists{e, g, Taps == 1, offsets.data, bases.data, nullptr, cursors.data};
  auto counting = [&](long strip, int worker) { lists.count(strip, cursors.data + worker * Ci); };
  for_units(all, e.threads, counting);
  bases.data[0] = 0;
  for (long strip = 0; strip < all; ++strip)
    bases.data[strip + 1] = bases.data[strip] + offsets.data[strip * (Ci + 1) + Ci];
  Scratch<std::uint16_t> places(bases.data[all]);
  if (!places.data) return 1;
  lists.places = places.data;
  auto filling = [&](long strip, int worker) {
    lists.fill(strip, cursors.data + worker * Ci, active.data + worker * (256 * e.largest_count + 16));
  };
  for_units(all, e.threads, filling);
  EventWeightGrad<Taps, Vectors> job{e, g, lists, strips.data, sums.data, blocks, groups};
  for_units(groups * blocks, e.threads, job);
  auto adding = [&](long k, int) {
    for (long group = 0; group < groups; ++group) {
      const float* from = sums.data + (group * blocks + k / N) * Ci * Taps * N + k % N;
      for (long i = 0; i < Ci * Taps; ++i)
        e.grad_weight[k * Ci * Taps + i] += from[i * N] * static_cast<float>(e.scale);
    }
  };
  for_units(Co, e.threads, adding);
  return 0;
}

inline int events_weight_grad(const BnttEvents& e) {
  return e.kernel_height == 3 ? weight_grad_as<9, 1>(e) : weight_grad_as<1, 4>(e);
}
