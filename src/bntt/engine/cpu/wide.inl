// WIDTH floats at a time; variant.inl includes this once for every width (compilers cannot convert vectors of a template's).
template <>
struct Wide<WIDTH> {
  static constexpr Size width = WIDTH;
  typedef float Floats __attribute__((vector_size(4 * WIDTH)));
  typedef std::int32_t Mask __attribute__((vector_size(4 * WIDTH)));  // -1 where true
  typedef double Doubles __attribute__((vector_size(8 * WIDTH)));
  typedef std::uint32_t Bits __attribute__((vector_size(4 * WIDTH)));
  typedef std::uint16_t Halves __attribute__((vector_size(2 * WIDTH)));
  typedef std::uint8_t Bytes __attribute__((vector_size(WIDTH)));
  typedef float FloatsInMemory __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
  typedef std::int32_t IntsInMemory __attribute__((vector_size(4 * WIDTH), aligned(4), may_alias));
  typedef double DoublesInMemory __attribute__((vector_size(8 * WIDTH), aligned(8), may_alias));
  typedef std::uint16_t HalvesInMemory __attribute__((vector_size(2 * WIDTH), aligned(2), may_alias));
  typedef std::uint8_t BytesInMemory __attribute__((vector_size(WIDTH), aligned(1), may_alias));

  static Floats load(const float* p) { return *reinterpret_cast<const FloatsInMemory*>(p); }
  static void store(float* p, Floats v) { *reinterpret_cast<FloatsInMemory*>(p) = v; }
  static Floats load(const Bf16* p) {
    const Bits bits = __builtin_convertvector(*reinterpret_cast<const HalvesInMemory*>(p), Bits) << 16;
    return reinterpret_cast<Floats>(bits);
  }
  static void store(Bf16* p, Floats v) {  // to the nearest, ties to even; NaN stays NaN
    const Bits bits = reinterpret_cast<Bits>(v), rounded = bits + 0x7fff + ((bits >> 16) & 1);
    const Bits kept = v == v ? rounded : bits | 0x400000;
    *reinterpret_cast<HalvesInMemory*>(p) = __builtin_convertvector(kept >> 16, Halves);
  }
  static Floats fill(float v) { return v - Floats{}; }
  static Floats magnitude(Floats v) { return reinterpret_cast<Floats>(reinterpret_cast<Mask>(v) & 0x7fffffff); }
  static Floats above_zero(Floats v) { return v > 0 ? v : Floats{}; }
  static Mask greater(Floats a, Floats b) { return a > b; }
  static Floats where(Mask mask, Floats yes) { return reinterpret_cast<Floats>(mask & reinterpret_cast<Mask>(yes)); }
  static Floats choose(Mask mask, Floats yes, Floats no) { return mask ? yes : no; }
  static void store_bytes(std::uint8_t* p, Mask mask) {
    *reinterpret_cast<BytesInMemory*>(p) = __builtin_convertvector(mask & 1, Bytes);
  }
  static void add_bytes(std::uint8_t* p, Mask mask) {
    BytesInMemory* at = reinterpret_cast<BytesInMemory*>(p);
    *at = *at + __builtin_convertvector(mask & 1, Bytes);
  }
  static void subtract_ints(std::int32_t* p, Mask v) { *reinterpret_cast<IntsInMemory*>(p) -= v; }
  static void add_doubles(double* p, Floats v) {
    *reinterpret_cast<DoublesInMemory*>(p) += __builtin_convertvector(v, Doubles);
  }
};

#undef WIDTH
