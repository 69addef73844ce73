#include <cstdint>
#include <cstdlib>
#include <cstring>

#include "kernel_table.h"

#define LANES 4
#define VARIANT portable
#include "variant.inl"
