// Convolutions and fully connected layers on spike counts, driven by the spikes: a count of k is k events, and each
// event adds the weights of its input. What is added stays in the first-level cache: here, in the forward pass, a block
// of weights; in events_weight_grad.inl a few rows of the output gradient.

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
