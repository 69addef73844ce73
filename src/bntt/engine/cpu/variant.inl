// Everything that is compiled once for each instruction set. LANES and VARIANT are set by the file that includes this;
// standard headers were included before it chose its instruction set, so that no shared code is compiled for it.
namespace VARIANT {
namespace {

using bntt::parallel;

// Vectors of the width of the instruction set, in the compilers' own portable notation.
struct Bf16 {
  std::uint16_t bits;  // the upper half of a float
};

template <Size W>
struct Wide;

#if LANES >= 16
#define WIDTH 16
#include "wide.inl"
#endif
#if LANES >= 8
#define WIDTH 8
#include "wide.inl"
#endif
#define WIDTH 4
#include "wide.inl"

// One float at a time, for the channels that no vector fills.
struct Single {
  static constexpr Size width = 1;
  using Floats = float;
  using Mask = std::int32_t;
  static float load(const float* p) { return *p; }
  static void store(float* p, float v) { *p = v; }
  static float load(const Bf16* p) {
    const std::uint32_t bits = static_cast<std::uint32_t>(p->bits) << 16;
    float v;
    std::memcpy(&v, &bits, sizeof v);
    return v;
  }
  static void store(Bf16* p, float v) {
    std::uint32_t bits;
    std::memcpy(&bits, &v, sizeof v);
    bits = v == v ? bits + 0x7fff + ((bits >> 16) & 1) : bits | 0x400000;
    p->bits = static_cast<std::uint16_t>(bits >> 16);
  }
  static float fill(float v) { return v; }
  static float magnitude(float v) { return v < 0 ? -v : v; }
  static float above_zero(float v) { return v > 0 ? v : 0; }
  static Mask greater(float a, float b) { return a > b ? -1 : 0; }
  static float where(Mask mask, float yes) { return mask ? yes : 0; }
  static float choose(Mask mask, float yes, float no) { return mask ? yes : no; }
  static void store_bytes(std::uint8_t* p, Mask mask) { *p = static_cast<std::uint8_t>(mask & 1); }
  static void add_bytes(std::uint8_t* p, Mask mask) { *p = static_cast<std::uint8_t>(*p + (mask & 1)); }
  static void subtract_ints(std::int32_t* p, Mask v) { *p -= v; }
  static void add_doubles(double* p, float v) { *p += v; }
};

using Full = Wide<LANES>;

// call(L, N, c) for every channel, N vectors of L from c on at a time: memory is read in order, sums stay in registers.
constexpr Size SOME = LANES == 16 ? 4 : 2, HALF = LANES > 4 ? LANES / 2 : 4;
#define FOR_CHANNELS(c, begin, end, call)                                           \
  {                                                                                 \
    Size c = (begin);                                                               \
    for (; c + SOME * LANES <= (end); c += SOME * LANES) { call(Full, SOME, c); }   \
    for (; c + 2 * LANES <= (end); c += 2 * LANES) { call(Full, 2, c); }            \
    for (; c + LANES <= (end); c += LANES) { call(Full, 1, c); }                    \
    for (; c + HALF <= (end); c += HALF) { call(Wide<HALF>, 1, c); }                \
    for (; c + 4 <= (end); c += 4) { call(Wide<4>, 1, c); }                         \
    for (; c < (end); ++c) { call(Single, 1, c); }                                  \
  }

// Memory for one call, 64-byte aligned; null when there is none.
template <class T>
struct Scratch {
  static constexpr std::align_val_t LINE{64};
  T* data;
  explicit Scratch(Size count)
      : data(static_cast<T*>(::operator new(static_cast<std::size_t>(count) * sizeof(T) + 256, LINE, std::nothrow))) {}
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { ::operator delete(data, LINE); }
};

template <class F>
void for_units(Size units, int threads, F& body) {
  parallel(units, threads, [](void* f, Size unit, int worker) { (*static_cast<F*>(f))(unit, worker); }, &body);
}

inline Size smaller(Size a, Size b) { return a < b ? a : b; }
inline Size larger(Size a, Size b) { return a > b ? a : b; }
inline Size ceil_div(Size a, Size b) { return (a + b - 1) / b; }

#include "scan.inl"
#include "scan_reverse.inl"
#include "rectify.inl"
#include "events.inl"
#include "winograd.inl"

}  // namespace

#define ENTRY(result, name, parameters, arguments) name,
extern const Kernels kernels = {BNTT_KERNELS(ENTRY)};
#undef ENTRY

}  // namespace VARIANT
