// Vectors of the width of the instruction set that this file is compiled for, in the compilers' own portable notation.
// Included once by each variant, inside its namespace, after LANES is set.

typedef float Floats __attribute__((vector_size(4 * LANES)));
typedef std::int32_t Ints __attribute__((vector_size(4 * LANES)));
typedef float FloatsInMemory __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef std::int32_t IntsInMemory __attribute__((vector_size(4 * LANES), aligned(4), may_alias));
typedef double Doubles __attribute__((vector_size(8 * LANES)));
typedef double DoublesInMemory __attribute__((vector_size(8 * LANES), aligned(8), may_alias));
typedef std::uint8_t Bytes __attribute__((vector_size(LANES)));
typedef std::uint8_t BytesInMemory __attribute__((vector_size(LANES), aligned(1), may_alias));

// One float at a time has the same operations, for the channels that a vector does not fill.
template <class V>
struct Lanes;

template <>
struct Lanes<Floats> {
  static constexpr long width = LANES;
  static Floats load(const float* p) { return *reinterpret_cast<const FloatsInMemory*>(p); }
  static void store(float* p, Floats v) { *reinterpret_cast<FloatsInMemory*>(p) = v; }
  static Floats fill(float v) { return v - Floats{}; }
  static Floats magnitude(Floats v) { return reinterpret_cast<Floats>(reinterpret_cast<Ints>(v) & 0x7fffffff); }
  static Floats above_zero(Floats v) { return v > 0 ? v : Floats{}; }
  static Floats where(Ints mask, Floats yes) { return reinterpret_cast<Floats>(mask & reinterpret_cast<Ints>(yes)); }
  static Floats choose(Ints mask, Floats yes, Floats no) { return mask ? yes : no; }
  static Ints greater(Floats a, Floats b) { return a > b; }
  static void add_bytes(std::uint8_t* p, Ints mask) {
    BytesInMemory* at = reinterpret_cast<BytesInMemory*>(p);
    *at = *at + __builtin_convertvector(mask & 1, Bytes);
  }
  static void store_bytes(std::uint8_t* p, Ints mask) {
    *reinterpret_cast<BytesInMemory*>(p) = __builtin_convertvector(mask & 1, Bytes);
  }
  using Mask = Ints;
  static Ints none() { return Ints{}; }
  static void subtract_ints(std::int32_t* p, Ints v) { *reinterpret_cast<IntsInMemory*>(p) -= v; }
  static void add_doubles(double* p, Floats v) {
    *reinterpret_cast<DoublesInMemory*>(p) += __builtin_convertvector(v, Doubles);
  }
};

template <>
struct Lanes<float> {
  static constexpr long width = 1;
  static float load(const float* p) { return *p; }
  static void store(float* p, float v) { *p = v; }
  static float fill(float v) { return v; }
  static float magnitude(float v) { return v < 0 ? -v : v; }
  static float above_zero(float v) { return v > 0 ? v : 0; }
  static float where(std::int32_t mask, float yes) { return mask ? yes : 0; }
  static float choose(std::int32_t mask, float yes, float no) { return mask ? yes : no; }
  static std::int32_t greater(float a, float b) { return a > b ? -1 : 0; }
  static void add_bytes(std::uint8_t* p, std::int32_t mask) { *p = static_cast<std::uint8_t>(*p + (mask & 1)); }
  static void store_bytes(std::uint8_t* p, std::int32_t mask) { *p = static_cast<std::uint8_t>(mask & 1); }
  using Mask = std::int32_t;
  static std::int32_t none() { return 0; }
  static void subtract_ints(std::int32_t* p, std::int32_t v) { *p -= v; }
  static void add_doubles(double* p, float v) { *p += v; }
};

// body<V>(c) for every channel: whole vectors first, then what is left, one by one.
#define FOR_CHANNELS(c, begin, end, call)                                                \
  {                                                                                      \
    long c = (begin);                                                                    \
    for (; c + LANES <= (end); c += LANES) call(Floats{}, c);                            \
    for (; c < (end); ++c) call(float{}, c);                                             \
  }

// Memory for one call, 64-byte aligned; null when there is none.
template <class T>
struct Scratch {
  T* data;
  explicit Scratch(long count) : data(nullptr) {
    void* p = nullptr;
    if (posix_memalign(&p, 64, static_cast<std::size_t>(count) * sizeof(T) + 256) == 0) data = static_cast<T*>(p);
  }
  Scratch(const Scratch&) = delete;
  Scratch& operator=(const Scratch&) = delete;
  ~Scratch() { std::free(data); }
};

template <class F>
void for_units(long units, int threads, F& body) {
  parallel(units, threads, [](void* f, long unit, int worker) { (*static_cast<F*>(f))(unit, worker); }, &body);
}

inline long smaller(long a, long b) { return a < b ? a : b; }
inline long larger(long a, long b) { return a > b ? a : b; }
inline long ceil_div(long a, long b) { return (a + b - 1) / b; }
