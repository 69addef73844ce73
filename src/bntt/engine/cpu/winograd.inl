// The gradient towards the input of a 3x3 convolution with stride 1 and padding 1 by Winograd's F(4x4, 3x3) (Lavin & Gray
// 2016): of a tile of 4x4 pixels, 36 products for every pair of channels instead of 144. Its readable twin, where the
// matrices come from and what it costs in digits are in engine/winograd.py.
//
// Work is done strip by strip: whole images if they are small, else some rows of tiles of one. The 6x6 pixels of the output
// gradient around each tile are transformed into 36 planes [tile, Co], each is multiplied by its plane of weights, and
// 4x4 pixels are made of the 36 products. All sums run over Co in order, one fused multiply-add after another, so a tile
// has the same bits in whatever strip, thread or vector it is.
//
// The result may be written over the output's gradient, if it has as many channels: a strip is written after the next one
// of its image, which sees one row of its pixels, was transformed.

constexpr Size TILES = 24, PLANES = 36, GAP = 16;  // GAP: floats between planes, else all begin in the same cache sets
constexpr Size PANEL = SOME * LANES;               // input channels whose products stay in registers, of six tiles

// The points are 0, A, -A, B, -B and infinity.
constexpr float A = 0.75f, B = 1.5f, AA = A * A, BB = B * B;

// a x + b in one rounding where the instruction set can. Nothing here multiplies without adding, so that no compiler has
// a choice which product to fuse.
template <class V>
inline V fused(V a, V x, V b) {
  return a * x + b;
}

// How a layer is cut into strips.
struct Strip {
  Size down, across;  // tiles of an image
  Size images, rows;  // of a strip: images, and rows of tiles of each
  Size tiles;         // the most that a strip has, and room for rows of no tile
  explicit Strip(const BnttWinograd& w) : down(ceil_div(w.height, 4)), across(ceil_div(w.width, 4)) {
    rows = smaller(down, larger(1, TILES / across));
    images = rows < down ? 1 : larger(1, TILES / (down * across));
    tiles = images * rows * across + 1;
  }
  Size count() const { return ceil_div(down, rows); }
  Size in_plane(const BnttWinograd& w) const { return tiles * w.out_channels + GAP; }
  Size out_plane() const { return tiles * PANEL + GAP; }
  Size room(const BnttWinograd& w) const { return PLANES * (2 * in_plane(w) + out_plane()) + w.out_channels; }
};

inline Size winograd_room(const BnttWinograd& w) { return Strip(w).room(w); }

// What lies outside the image is read from zeros and not written.
struct WinogradTile {
  const float* in[PLANES];
  float* out;
  Size down, across;
};

// Six values along one axis of the output gradient: rows of the matrix B^T.
template <class L>
inline void transform_in(const typename L::Floats (&d)[6], typename L::Floats (&v)[6]) {
  using V = typename L::Floats;
  const V aa = L::fill(-AA), bb = L::fill(-BB), both = L::fill(-(AA + BB)), product = L::fill(AA * BB);
  const V even_a = fused(bb, d[2], d[4]), odd_a = fused(bb, d[1], d[3]);
  const V even_b = fused(aa, d[2], d[4]), odd_b = fused(aa, d[1], d[3]);
  v[0] = fused(product, d[0], fused(both, d[2], d[4]));
  v[1] = fused(L::fill(A), odd_a, even_a);
  v[2] = fused(L::fill(-A), odd_a, even_a);
  v[3] = fused(L::fill(B), odd_b, even_b);
  v[4] = fused(L::fill(-B), odd_b, even_b);
  v[5] = fused(product, d[1], fused(both, d[3], d[5]));
}

// Four values along one axis of the input gradient: rows of the matrix A^T.
template <class L>
inline void transform_out(const typename L::Floats (&m)[6], typename L::Floats (&y)[4]) {
  using V = typename L::Floats;
  const V sum_a = m[1] + m[2], odd_a = m[1] - m[2], sum_b = m[3] + m[4], odd_b = m[3] - m[4];
  y[0] = m[0] + (sum_a + sum_b);
  y[1] = fused(L::fill(A), odd_a, fused(L::fill(B), odd_b, V{}));
  y[2] = fused(L::fill(AA), sum_a, fused(L::fill(BB), sum_b, V{}));
  y[3] = fused(L::fill(A * AA), odd_a, fused(L::fill(B * BB), odd_b, m[5]));
}

// R tiles times a panel of N vectors of input channels, over all output channels.
template <Size R, Size N>
inline void multiply(const float* tiles, Size stride, const float* weight, Size count, float* to) {
  using V = Full::Floats;
  V sum[R][N] = {};
  for (Size k = 0; k < count; ++k, weight += N * LANES) {
    V row[N];
    for (Size n = 0; n < N; ++n) row[n] = Full::load(weight + n * LANES);
    for (Size r = 0; r < R; ++r) {
      const V value = Full::fill(tiles[r * stride + k]);
      for (Size n = 0; n < N; ++n) sum[r][n] = fused(value, row[n], sum[r][n]);
    }
  }
  for (Size r = 0; r < R; ++r)
    for (Size n = 0; n < N; ++n) Full::store(to + r * N * LANES + n * LANES, sum[r][n]);
}

struct WinogradJob {
  const BnttWinograd& w;
  const Strip strip;

  WinogradTile tile_at(Size image, Size row, Size column, const float* zeros) const {
    const Size top = row * 4, left = column * 4;
    WinogradTile tile;
    tile.down = smaller(4, w.height - top), tile.across = smaller(4, w.width - left);
    for (Size i = 0; i < 6; ++i)
      for (Size j = 0; j < 6; ++j) {
        const Size y = top + i - 1, x = left + j - 1;
        const bool inside = y >= 0 && y < w.height && x >= 0 && x < w.width;
        tile.in[i * 6 + j] = inside ? w.grad + ((image * w.height + y) * w.width + x) * w.out_channels : zeros;
      }
    tile.out = w.out + ((image * w.height + top) * w.width + left) * w.in_channels;
    return tile;
  }

  void tile_in(const WinogradTile& tile, float* to) const {
    using V = Full::Floats;
    const Size plane = strip.in_plane(w);
    for (Size c = 0; c < w.out_channels; c += LANES) {
      V half[6][6], d[6], v[6];
      for (Size j = 0; j < 6; ++j) {
        for (Size i = 0; i < 6; ++i) d[i] = Full::load(tile.in[i * 6 + j] + c);
        transform_in<Full>(d, half[j]);
      }
      for (Size i = 0; i < 6; ++i) {
        for (Size j = 0; j < 6; ++j) d[j] = half[j][i];
        transform_in<Full>(d, v);
        for (Size j = 0; j < 6; ++j) Full::store(to + (i * 6 + j) * plane + c, v[j]);
      }
    }
  }

  void tile_out(const float* from, const WinogradTile& tile, Size first, Size width) const {
    using V = Full::Floats;
    const Size plane = strip.out_plane(), row = w.width * w.in_channels;
    for (Size c = 0; c < width; c += LANES) {
      V half[6][4], m[6], y[4];
      for (Size j = 0; j < 6; ++j) {
        for (Size i = 0; i < 6; ++i) m[i] = Full::load(from + (i * 6 + j) * plane + c);
        transform_out<Full>(m, half[j]);
      }
      for (Size i = 0; i < tile.down; ++i) {
        for (Size j = 0; j < 6; ++j) m[j] = half[j][i];
        transform_out<Full>(m, y);
        for (Size j = 0; j < tile.across; ++j)
          Full::store(tile.out + i * row + j * w.in_channels + first + c, y[j]);
      }
    }
  }

  template <Size N>
  void panel(const WinogradTile* tiles, Size count, const float* in, float* products, Size first) const {
    const Size width = N * LANES, Co = w.out_channels;
    const float* weight = w.weight + PLANES * Co * first;
    for (Size plane = 0; plane < PLANES; ++plane, weight += Co * width) {
      const float* from = in + plane * strip.in_plane(w);
      float* to = products + plane * strip.out_plane();
      Size row = 0;
      for (; row + 6 <= count; row += 6) multiply<6, N>(from + row * Co, Co, weight, Co, to + row * width);
      if (row + 2 < count) multiply<4, N>(from + row * Co, Co, weight, Co, to + row * width), row += 4;
      if (row < count) multiply<2, N>(from + row * Co, Co, weight, Co, to + row * width);
    }
    for (Size tile = 0; tile < count; ++tile) tile_out(products + tile * width, tiles[tile], first, width);
  }

  // Transforms a strip and returns how many tiles it has.
  Size enter(Size first_image, Size number, float* to, WinogradTile* tiles, const float* zeros) const {
    const Size Co = w.out_channels, begin = number * strip.rows, end = smaller(strip.down, begin + strip.rows);
    Size count = 0;
    for (Size image = first_image; image < smaller(w.images, first_image + strip.images); ++image)
      for (Size row = begin; row < end; ++row)
        for (Size column = 0; column < strip.across; ++column, ++count) {
          tiles[count] = tile_at(image, row, column, zeros);
          tile_in(tiles[count], to + count * Co);
        }
    for (Size plane = 0; plane < PLANES && count % 2; ++plane)  // the row of no tile is multiplied too
      std::memset(to + plane * strip.in_plane(w) + count * Co, 0, static_cast<std::size_t>(Co) * sizeof(float));
    return count;
  }

  void leave(const WinogradTile* tiles, Size count, const float* in, float* products) const {
    Size first = 0;
    for (; first + PANEL <= w.in_channels; first += PANEL) panel<SOME>(tiles, count, in, products, first);
    for (; first + 2 * LANES <= w.in_channels; first += 2 * LANES) panel<2>(tiles, count, in, products, first);
    for (; first + LANES <= w.in_channels; first += LANES) panel<1>(tiles, count, in, products, first);
  }

  void operator()(Size unit, int worker) const {
    const Size room = PLANES * strip.in_plane(w), image = unit * strip.images;
    float *in = w.work + worker * strip.room(w), *products = in + 2 * room;
    float* zeros = products + PLANES * strip.out_plane();
    WinogradTile* both = tiles + worker * 2 * strip.tiles;
    std::memset(zeros, 0, static_cast<std::size_t>(w.out_channels) * sizeof(float));
    Size count = enter(image, 0, in, both, zeros);
    for (Size number = 0, next; number < strip.count(); ++number, count = next) {
      const Size now = number % 2, then = 1 - now;
      next = number + 1 < strip.count() ? enter(image, number + 1, in + then * room, both + then * strip.tiles, zeros) : 0;
      leave(both + now * strip.tiles, count, in + now * room, products);
    }
  }

  WinogradTile* tiles;  // [workers, 2, strip.tiles]
};

inline int winograd_input_grad(const BnttWinograd& w) {
  const Strip strip(w);
  Scratch<WinogradTile> tiles(larger(1, w.threads) * 2 * strip.tiles);
  if (!tiles.data) return 1;
  WinogradJob job{w, strip, tiles.data};
  for_units(ceil_div(w.images, strip.images), w.threads, job);
  return 0;
}

// One axis of a kernel: rows of the matrix G without their factors.
template <class V>
inline void transform_weight(const V (&k)[3], V (&u)[6]) {
  constexpr double a = A, b = B;
  const V even_a = k[0] + a * a * k[2], odd_a = a * k[1], even_b = k[0] + b * b * k[2], odd_b = b * k[1];
  u[0] = k[0], u[1] = even_a + odd_a, u[2] = even_a - odd_a, u[3] = even_b + odd_b, u[4] = even_b - odd_b, u[5] = k[2];
}

// Weights [Co, Ci, 3, 3], turned by half a turn and transformed by the matrix G on both sides: [panel][plane][Co][width].
// In double precision sums without the factors are all but exact, and so have the same bits however they are fused.
inline int winograd_pack(const BnttWinograd& w, const float* weight, float* packed) {
  using Doubles = Full::Doubles;
  constexpr double aa = AA, bb = BB, of_a = 1 / (2 * aa * (aa - bb)), of_b = 1 / (2 * bb * (bb - aa));
  constexpr double factors[6] = {1 / (aa * bb), of_a, of_a, of_b, of_b, 1};
  const Size Ci = w.in_channels, Co = w.out_channels;
  auto body = [&](Size k, int) {
    for (Size first = 0, width; first < Ci; first += width) {
      width = Ci - first >= PANEL ? PANEL : Ci - first >= 2 * LANES ? 2 * LANES : LANES;
      for (Size c = 0; c < width; c += LANES) {
        const float* from = weight + (k * Ci + first + c) * 9;
        float* to = packed + PLANES * Co * first + k * width + c;
        Doubles taps[9], half[3][6], line[3], u[6];
        for (Size tap = 0; tap < 9; ++tap)
          for (Size lane = 0; lane < LANES; ++lane) taps[8 - tap][lane] = from[lane * 9 + tap];
        for (Size j = 0; j < 3; ++j) {
          for (Size i = 0; i < 3; ++i) line[i] = taps[i * 3 + j];
          transform_weight(line, half[j]);
        }
        for (Size i = 0; i < 6; ++i) {
          for (Size j = 0; j < 3; ++j) line[j] = half[j][i];
          transform_weight(line, u);
          for (Size j = 0; j < 6; ++j)
            Full::store(to + (i * 6 + j) * Co * width,
                        __builtin_convertvector(u[j] * (factors[i] * factors[j]), Full::Floats));
        }
      }
    }
  };
  for_units(Co, w.threads, body);
  return 0;
}
