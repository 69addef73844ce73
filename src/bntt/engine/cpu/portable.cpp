#include <cstdint>
#include <cstring>
#include <new>

#include "kernel_table.h"

// No multiply and add become one: on every processor the same membranes, to the bit.
#if defined(__clang__)
#pragma clang fp contract(off)
#else
#pragma GCC optimize("fp-contract=off")
#endif

#define LANES 4
#define VARIANT portable
#include "variant.inl"
