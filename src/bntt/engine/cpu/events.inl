// Convolutions and fully connected layers on spike counts, driven by the spikes: a count of k is k events, and each
// event adds the weights of its input. What is added stays in the first-level cache: in the forward pass a block of
// weights, in the weight gradient a few rows of the output gradient.

constexpr Size OUT = 32;        // output channels of a block of weights
constexpr Size BLOCK_IN = 192;  // inputs (kernel columns times channels) of a block: 192 * 32 floats are 24 KiB

inline Size in_block(const BnttEvents& e) { return larger(1, BLOCK_IN / e.kernel_width); }
inline Size in_blocks(const BnttEvents& e) { return ceil_div(e.in_channels, in_block(e)); }
inline Size out_height(const BnttEvents& e) {
  return (e.height + 2 * e.pad_height - e.kernel_height) / e.stride_height + 1;
}
inline Size out_width(const BnttEvents& e) {
  return (e.width + 2 * e.pad_width - e.kernel_width) / e.stride_width + 1;
}
// A 1x1 convolution that sees every pixel and no padding. Its rows lie side by side as the pixels of one image.
inline bool fully_connected(const BnttEvents& e) {
  return e.kernel_height == 1 && e.kernel_width == 1 && e.pad_height == 0 && e.pad_width == 0 &&
         out_height(e) == e.height && out_width(e) == e.width;
}
// The same layer, the pixels of all images as rows of their own.
inline BnttEvents as_rows(BnttEvents e) {
  e.images *= e.height * e.width;
  e.height = e.width = e.stride_height = e.stride_width = 1;
  return e;
}

// Packed weights: [Co / OUT][Kh][in_blocks][Kw][in_block][OUT], zero where there is no channel.
inline Size packed_size(const BnttEvents& e) {
  return ceil_div(e.out_channels, OUT) * e.kernel_height * in_blocks(e) * e.kernel_width * in_block(e) * OUT;
}

inline int pack(const BnttEvents& e, const float* weight, float* packed) {
  const Size span = in_block(e), parts = in_blocks(e), Ci = e.in_channels, Kh = e.kernel_height, Kw = e.kernel_width;
  auto body = [&](Size unit, int) {
    const Size out = unit / Kh, i = unit % Kh;
    float* to = packed + unit * parts * Kw * span * OUT;
    for (Size part = 0; part < parts; ++part)
      for (Size j = 0; j < Kw; ++j)
        for (Size n = 0; n < span; ++n)
          for (Size o = 0; o < OUT; ++o, ++to) {
            const Size c = part * span + n, k = out * OUT + o;
            *to = c < Ci && k < e.out_channels
                      ? weight[((k * Ci + c) * Kh + i) * Kw + j] * static_cast<float>(e.scale)
                      : 0.0f;
          }
  };
  for_units(ceil_div(e.out_channels, OUT) * Kh, e.threads, body);
  return 0;
}

// Write the channels of one pixel that hold events, each as often as it holds some; returns how many were written.
// Up to 16 bytes beyond the end are touched.
#if LANES == 16
inline Size list_events(const std::uint8_t* counts, Size channels, Size largest, std::uint8_t* list) {
  const __m512i iota = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
  Size size = 0;
  for (Size first = 0; first < channels; first += 16) {
    const __mmask16 valid = static_cast<__mmask16>(channels - first < 16 ? (1 << (channels - first)) - 1 : 0xffff);
    const __m128i values = _mm_maskz_loadu_epi8(valid, counts + first);
    const __m512i names = _mm512_add_epi32(iota, _mm512_set1_epi32(static_cast<int>(first)));
    for (Size k = 0; k < largest; ++k) {
      const __mmask16 mask = _mm_cmpgt_epu8_mask(values, _mm_set1_epi8(static_cast<char>(k)));
      if (k > 0 && mask == 0) break;
      _mm_storeu_si128(reinterpret_cast<__m128i*>(list + size),
                       _mm512_cvtepi32_epi8(_mm512_maskz_compress_epi32(mask, names)));
      size += __builtin_popcount(mask);
    }
  }
  return size;
}
#else
// Without branches where counts are at most 4.
inline Size list_events(const std::uint8_t* counts, Size channels, Size largest, std::uint8_t* list) {
  Size size = 0;
  if (largest == 1) {
    for (Size c = 0; c < channels; ++c) {
      list[size] = static_cast<std::uint8_t>(c);
      size += counts[c];
    }
    return size;
  }
  for (Size c = 0; c < channels; ++c) {
    const std::uint32_t four = static_cast<std::uint32_t>(c) * 0x01010101u;
    for (Size left = counts[c]; left > 4; left -= 4, size += 4) std::memcpy(list + size, &four, 4);
    std::memcpy(list + size, &four, 4);
    size += counts[c] <= 4 ? counts[c] : (counts[c] - 1) % 4 + 1;
  }
  return size;
}
#endif

struct EventForward {
  const BnttEvents& e;
  Size rows;                     // images of a unit; of a fully connected layer, rows that are taken as one image
  std::uint8_t *pixel_lists, *lists;
  std::int32_t *pixel_sizes, *starts;
  Size pixel_room, list_room, start_room;

  // Whether any tap meets this input row or column: strides wider than the kernel pass over some.
  static bool met(Size at, Size pad, Size stride, Size kernel) {
    return stride <= kernel || (at + pad) % stride < kernel;
  }

  // The events that an output column sees in one input row and block: those of its Kw input columns, one list.
  void list_row(const std::uint8_t* counts, Size part, std::uint8_t* near, std::int32_t* sizes, std::uint8_t* list,
                std::int32_t* start, Size* used, Size width, Size across) const {
    const Size span = in_block(e), first = part * span, channels = smaller(span, e.in_channels - first);
    const Size room = span * e.largest_count + 64;
    for (Size w = 0; w < width; ++w)
      if (met(w, e.pad_width, e.stride_width, e.kernel_width))
        sizes[w] = static_cast<std::int32_t>(
            list_events(counts + w * e.in_channels + first, channels, e.largest_count, near + w * room));
    for (Size w = 0, left = -e.pad_width; w < across; ++w, left += e.stride_width) {
      start[w] = static_cast<std::int32_t>(*used);
      for (Size j = 0; j < e.kernel_width; ++j) {
        const Size from = left + j;
        if (from < 0 || from >= width) continue;
        const std::uint8_t add = static_cast<std::uint8_t>(j * span), *source = near + from * room;
        std::uint8_t* to = list + *used;
        for (Size i = 0; i < sizes[from]; i += 32)
          for (Size k = 0; k < 32; ++k) to[i + k] = static_cast<std::uint8_t>(source[i + k] + add);
        *used += sizes[from];
      }
    }
    start[across] = static_cast<std::int32_t>(*used);
  }

  static void add_weights(float* out, const float* weight, const std::uint8_t* list, Size size) {
    constexpr Size N = OUT / LANES;
    using L = Full;
    using Floats = L::Floats;
    Floats even[N], odd[N];
    for (Size n = 0; n < N; ++n) even[n] = L::load(out + n * LANES), odd[n] = Floats{};
    Size i = 0;
    for (; i + 2 <= size; i += 2) {
      const float *a = weight + list[i] * OUT, *b = weight + list[i + 1] * OUT;
      for (Size n = 0; n < N; ++n) even[n] += L::load(a + n * LANES), odd[n] += L::load(b + n * LANES);
    }
    if (i < size)
      for (Size n = 0; n < N; ++n) even[n] += L::load(weight + list[i] * OUT + n * LANES);
    for (Size n = 0; n < N; ++n) L::store(out + n * LANES, even[n] + odd[n]);
  }

  void operator()(Size unit, int worker) const {
    const bool dense = fully_connected(e);
    const Size image = unit * rows, height = e.height, width = dense ? smaller(rows, e.images - image) : e.width;
    const Size down = out_height(e), across = dense ? width : out_width(e), parts = in_blocks(e);
    const std::uint8_t* counts = e.counts + image * e.height * e.width * e.in_channels;
    float* out = e.out + image * down * (dense ? 1 : across) * e.out_channels;
    std::uint8_t *near = pixel_lists + worker * pixel_room, *list = lists + worker * list_room;
    std::int32_t *sizes = pixel_sizes + worker * e.width * rows, *start = starts + worker * start_room;
    Size used = 0;
    for (Size h = 0; h < height; ++h)
      for (Size part = 0; part < parts && met(h, e.pad_height, e.stride_height, e.kernel_height); ++part)
        list_row(counts + h * width * e.in_channels, part, near, sizes, list, start + (h * parts + part) * (across + 1),
                 &used, width, across);
    alignas(64) float tail[OUT];
    for (Size first = 0; first < e.out_channels; first += OUT) {
      const Size filled = smaller(OUT, e.out_channels - first);
      const std::size_t bytes = static_cast<std::size_t>(filled) * sizeof(float);
      std::memset(tail, 0, sizeof(tail));
      if (e.bias) std::memcpy(tail, e.bias + first, bytes);
      for (Size pixel = 0; pixel < down * across; ++pixel) {
        float* to = out + pixel * e.out_channels + first;
        if (filled == OUT) std::memcpy(to, tail, sizeof(tail));
        else std::memcpy(to, tail, bytes);
      }
      const float* weight = e.weight + first / OUT * e.kernel_height * parts * e.kernel_width * in_block(e) * OUT;
      for (Size i = 0; i < e.kernel_height; ++i)
        for (Size part = 0; part < parts; ++part, weight += e.kernel_width * in_block(e) * OUT)
          for (Size h = 0; h < down; ++h) {
            const Size from = h * e.stride_height - e.pad_height + i;
            if (from < 0 || from >= height) continue;
            const std::int32_t* at = start + (from * parts + part) * (across + 1);
            float* to = out + h * across * e.out_channels + first;
            for (Size w = 0; w < across; ++w, to += e.out_channels) {
              if (filled == OUT) {
                add_weights(to, weight, list + at[w], at[w + 1] - at[w]);
                continue;
              }
              std::memcpy(tail, to, bytes);
              add_weights(tail, weight, list + at[w], at[w + 1] - at[w]);
              std::memcpy(to, tail, bytes);
            }
          }
    }
  }
};

inline int events_forward(const BnttEvents& given) {
  const bool dense = fully_connected(given);
  const BnttEvents e = dense ? as_rows(given) : given;
  const Size rows = dense ? smaller(128, e.images) : 1, width = dense ? rows : e.width;
  const Size across = dense ? rows : out_width(e), parts = in_blocks(e);
  const Size workers = larger(1, smaller(e.threads, ceil_div(e.images, rows)));
  const Size room = in_block(e) * e.largest_count + 64;
  const Size entries = e.height * across * e.kernel_width * e.in_channels * e.largest_count + 64;
  const Size pixel_room = width * room, list_room = entries, start_room = e.height * parts * (across + 1);
  Scratch<std::uint8_t> near(workers * pixel_room), list(workers * list_room);
  Scratch<std::int32_t> sizes(workers * width), starts(workers * start_room);
  if (!near.data || !list.data || !sizes.data || !starts.data) return 1;
  EventForward job{e, rows, near.data, list.data, sizes.data, starts.data, pixel_room, list_room, start_room};
  for_units(ceil_div(e.images, rows), e.threads, job);
  return 0;
}

struct UnpackJob {
  const std::uint8_t* counts;
  float* out;
  Size size;
  float scale;
  void operator()(Size unit, int) const {
    const Size end = smaller(size, (unit + 1) << 16);
    for (Size i = unit << 16; i < end; ++i) out[i] = static_cast<float>(counts[i]) * scale;
  }
};

inline int unpack(const std::uint8_t* counts, float* out, Size size, double scale, int threads) {
  UnpackJob job{counts, out, size, static_cast<float>(scale)};
  for_units(ceil_div(size, 1 << 16), threads, job);
  return 0;
}

// The weight gradient: dW[ci, tap] = sum over the events of ci of the output gradient that the tap leads to.
//
// Taps that lie a stride apart meet input pixels that lie a stride apart, and for these pixels alone the layer has stride
// 1. So the kernel is cut into shares of up to 3x3 such taps, whose sums stay in registers: each is a pass of its own.

constexpr Size MOST_TAPS = 3;

// A share along one axis: which taps, and the input pixels that they meet. Its tap k leads from its pixel n to output
// n + shift - k.
struct Axis {
  Size tap, taps, pixel, pixels, shift, stride, outputs;  // tap and pixel: the first, counted in the layer
  Axis(Size tap, Size kernel, Size inputs, Size pad, Size stride, Size outputs)
      : tap(tap), taps(smaller(MOST_TAPS, ceil_div(kernel - tap, stride))), stride(stride), outputs(outputs) {
    pixel = ((tap - pad) % stride + stride) % stride;
    pixels = pixel < inputs ? ceil_div(inputs - pixel, stride) : 0;
    shift = (pixel + pad - tap) / stride;
  }
  static bool begins(Size tap, Size stride) { return tap / stride % MOST_TAPS == 0; }
};

// A strip is as many rows of a share's pixels as keep its part of the output gradient in the first-level cache; of wide
// images, where not even one row does, a part of the columns. A single row is cut into parts as long as may be, others
// into equal ones, so that strips of wide images have more than one row.
struct Strips {
  const Axis &down, &across;
  Size count, rows, columns, per_row, per_image, padded_width, positions;
  Strips(Size images, const Axis& down, const Axis& across, Size room) : down(down), across(across) {
    const Size most = room / down.taps - across.taps + 1;
    per_row = ceil_div(across.pixels, most);
    columns = down.pixels == 1 ? smaller(across.pixels, most) : ceil_div(across.pixels, per_row);
    padded_width = columns + across.taps - 1;
    rows = smaller(down.pixels, room / padded_width - down.taps + 1);
    per_image = per_row * ceil_div(down.pixels, rows);
    count = images * per_image;
    positions = (rows + down.taps - 1) * padded_width;
  }
  Size image(Size strip) const { return strip / per_image; }
  Size top(Size strip) const { return strip % per_image / per_row * rows; }
  Size left(Size strip) const { return strip % per_row * columns; }
};

struct EventLists {  // per strip: where the events of every input channel are, as positions in the padded strip
  const BnttEvents& e;
  const Strips& g;
  Scratch<std::int64_t> offsets, bases;  // [strips, Ci + 1] and [strips + 1]
  Scratch<std::int32_t> cursors;         // [workers, Ci]
  Scratch<std::uint8_t> active;          // [workers, largest list of 256 channels]
  std::uint16_t* places = nullptr;

  EventLists(const BnttEvents& e, const Strips& g)
      : e(e), g(g), offsets(g.count * (e.in_channels + 1)), bases(g.count + 1),
        cursors(larger(1, e.threads) * e.in_channels), active(larger(1, e.threads) * active_room()) {}
  Size active_room() const { return 256 * e.largest_count + 16; }

  // How many events there are; -1 when memory could not be had.
  Size count_all() {
    if (!offsets.data || !bases.data || !cursors.data || !active.data) return -1;
    auto counting = [&](Size strip, int worker) { count(strip, cursors.data + worker * e.in_channels); };
    for_units(g.count, e.threads, counting);
    bases.data[0] = 0;
    for (Size strip = 0; strip < g.count; ++strip)
      bases.data[strip + 1] = bases.data[strip] + offsets.data[strip * (e.in_channels + 1) + e.in_channels];
    return bases.data[g.count];
  }

  void list_all(std::uint16_t* room) {
    places = room;
    auto filling = [&](Size strip, int worker) {
      fill(strip, cursors.data + worker * e.in_channels, active.data + worker * active_room());
    };
    for_units(g.count, e.threads, filling);
  }

  // Calls use(pixel counts, position) for every pixel of a strip.
  template <class F>
  void pixels(Size strip, F use) const {
    const Size top = g.top(strip), bottom = smaller(top + g.rows, g.down.pixels);
    const Size left = g.left(strip), right = smaller(left + g.columns, g.across.pixels);
    for (Size h = top; h < bottom; ++h) {
      const Size row = g.image(strip) * e.height + g.down.pixel + h * g.down.stride;
      const std::uint8_t* x = e.counts + (row * e.width + g.across.pixel + left * g.across.stride) * e.in_channels;
      for (Size w = left; w < right; ++w, x += g.across.stride * e.in_channels)
        use(x, (h - top) * g.padded_width + w - left);
    }
  }

  void count(Size strip, std::int32_t* sums) const {
    const Size Ci = e.in_channels;
    std::memset(sums, 0, static_cast<std::size_t>(Ci) * sizeof(std::int32_t));
    pixels(strip, [&](const std::uint8_t* x, Size) {
      for (Size c = 0; c < Ci; ++c) sums[c] += x[c];
    });
    std::int64_t total = 0;
    for (Size c = 0; c < Ci; ++c) {
      offsets.data[strip * (Ci + 1) + c] = total;
      total += sums[c];
    }
    offsets.data[strip * (Ci + 1) + Ci] = total;
  }

  void fill(Size strip, std::int32_t* next, std::uint8_t* list) const {
    const Size Ci = e.in_channels;
    std::uint16_t* to = places + bases.data[strip];
    for (Size c = 0; c < Ci; ++c) next[c] = static_cast<std::int32_t>(offsets.data[strip * (Ci + 1) + c]);
    pixels(strip, [&](const std::uint8_t* x, Size position) {
      for (Size first = 0; first < Ci; first += 256) {
        const Size size = list_events(x + first, smaller(256, Ci - first), e.largest_count, list);
        for (Size i = 0; i < size; ++i) to[next[first + list[i]]++] = static_cast<std::uint16_t>(position);
      }
    });
  }
};

// Of a share of Down x Across taps; with several vectors of output channels where so few taps leave registers free.
template <Size Down, Size Across>
struct EventWeightGrad {
  static constexpr Size Taps = Down * Across, Vectors = Taps > 4 ? 1 : Taps > 2 ? 2 : 4, N = Vectors * LANES;
  const BnttEvents& e;
  const Strips& g;
  const EventLists& lists;
  float *strips, *sums;  // [workers, positions, N] and [groups, Co blocks, Ci, Taps, N]
  Size blocks, groups;

  // Zeros stand for what lies outside the output. Loads wait for memory here, so there is no branch between them.
  void copy_strip(Size strip, Size first, float* to) const {
    const Size top = g.top(strip) + g.down.shift - (Down - 1), left = g.left(strip) + g.across.shift - (Across - 1);
    const Size begin = smaller(larger(0, -left), g.padded_width), Co = e.out_channels, filled = smaller(N, Co - first);
    const Size end = larger(begin, smaller(g.padded_width, g.across.outputs - left));
    for (Size y = top; y < top + g.rows + Down - 1; ++y, to += g.padded_width * N) {
      std::memset(to, 0, static_cast<std::size_t>(g.padded_width * N) * sizeof(float));
      if (y < 0 || y >= g.down.outputs) continue;
      const float* from =
          e.grad_out + ((g.image(strip) * g.down.outputs + y) * g.across.outputs + left + begin) * Co + first;
      for (Size x = begin; x < end; ++x, from += Co) {
        if (filled == N)
          for (Size n = 0; n < Vectors; ++n) Full::store(to + x * N + n * LANES, Full::load(from + n * LANES));
        else
          for (Size n = 0; n < filled; ++n) to[x * N + n] = from[n];
      }
    }
  }

  void operator()(Size unit, int worker) const {
    using L = Full;
    using Floats = L::Floats;
    const Size group = unit / blocks, block = unit % blocks, Ci = e.in_channels, row = g.padded_width * N;
    float *strip_grad = strips + worker * g.positions * N, *total = sums + unit * Ci * Taps * N;
    std::memset(total, 0, static_cast<std::size_t>(Ci * Taps * N) * sizeof(float));
    for (Size strip = group * g.count / groups; strip < (group + 1) * g.count / groups; ++strip) {
      copy_strip(strip, block * N, strip_grad);
      const std::int64_t* offset = lists.offsets.data + strip * (Ci + 1);
      const std::uint16_t* places = lists.places + lists.bases.data[strip];
      for (Size c = 0; c < Ci; ++c) {
        if (offset[c] == offset[c + 1]) continue;
        float* to = total + c * Taps * N;
        Floats sum[Taps * Vectors] = {};  // of this strip alone: short sums keep their digits
        for (std::int64_t i = offset[c]; i < offset[c + 1]; ++i) {
          const float* at = strip_grad + places[i] * N;
          for (Size a = Down - 1; a >= 0; --a, at += row)
            for (Size b = 0; b < Across; ++b)
              for (Size n = 0; n < Vectors; ++n)
                sum[(a * Across + b) * Vectors + n] += L::load(at + (Across - 1 - b) * N + n * LANES);
        }
        for (Size k = 0; k < Taps * Vectors; ++k) L::store(to + k * LANES, L::load(to + k * LANES) + sum[k]);
      }
    }
  }

  void add_sums(Size k) const {  // to the gradient of output channel k's weights
    const Size Kh = e.kernel_height, Kw = e.kernel_width;
    for (Size group = 0; group < groups; ++group) {
      const float* from = sums + (group * blocks + k / N) * e.in_channels * Taps * N + k % N;
      float* to = e.grad_weight + k * e.in_channels * Kh * Kw + g.down.tap * Kw + g.across.tap;
      for (Size c = 0; c < e.in_channels; ++c, to += Kh * Kw)
        for (Size a = 0; a < Down; ++a)
          for (Size b = 0; b < Across; ++b, from += N)
            to[a * g.down.stride * Kw + b * g.across.stride] += *from * static_cast<float>(e.scale);
    }
  }
};

template <Size Down, Size Across>
int weight_grad_of(const BnttEvents& e, const Axis& down, const Axis& across) {
  using Job = EventWeightGrad<Down, Across>;
  const Strips g(e.images, down, across, 24 * 1024 / 4 / Job::N);
  const Size blocks = ceil_div(e.out_channels, Job::N), groups = smaller(g.count, larger(1, 16 / blocks));
  EventLists lists(e, g);
  const Size events = lists.count_all();
  if (events < 0) return 1;
  Scratch<std::uint16_t> places(events);
  Scratch<float> strips(larger(1, e.threads) * g.positions * Job::N);
  Scratch<float> sums(groups * blocks * e.in_channels * Job::Taps * Job::N);
  if (!places.data || !strips.data || !sums.data) return 1;
  lists.list_all(places.data);
  Job job{e, g, lists, strips.data, sums.data, blocks, groups};
  for_units(groups * blocks, e.threads, job);
  auto adding = [&](Size k, int) { job.add_sums(k); };
  for_units(e.out_channels, e.threads, adding);
  return 0;
}

using WeightGrad = int (*)(const BnttEvents&, const Axis&, const Axis&);
constexpr WeightGrad WEIGHT_GRADS[MOST_TAPS][MOST_TAPS] = {
    {weight_grad_of<1, 1>, weight_grad_of<1, 2>, weight_grad_of<1, 3>},
    {weight_grad_of<2, 1>, weight_grad_of<2, 2>, weight_grad_of<2, 3>},
    {weight_grad_of<3, 1>, weight_grad_of<3, 2>, weight_grad_of<3, 3>},
};

inline int events_weight_grad(const BnttEvents& given) {
  BnttEvents e = given;
  if (fully_connected(e)) {  // one image of one line
    e = as_rows(e);
    e.width = e.images;
    e.images = 1;
  }
  for (Size i = 0; i < e.kernel_height; ++i)
    for (Size j = 0; j < e.kernel_width; ++j) {
      if (!Axis::begins(i, e.stride_height) || !Axis::begins(j, e.stride_width)) continue;
      const Axis down(i, e.kernel_height, e.height, e.pad_height, e.stride_height, out_height(e));
      const Axis across(j, e.kernel_width, e.width, e.pad_width, e.stride_width, out_width(e));
      if (down.pixels == 0 || across.pixels == 0 || e.images == 0) continue;
      if (WEIGHT_GRADS[down.taps - 1][across.taps - 1](e, down, across)) return 1;
    }
  return 0;
}

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
