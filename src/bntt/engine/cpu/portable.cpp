#include <cstdint>
#include <cstring>
#include <new>

#include "kernels.h"

// Never fuse a multiplication and an addition: membranes are then the same, to the bit, on every processor.
#if defined(__clang__)
#pragma clang fp contract(off)
#else
#pragma GCC optimize("fp-contract=off")
#endif

#define LANES 4
#define VARIANT portable
#include "variant.inl"
