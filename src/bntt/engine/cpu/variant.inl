// Everything that is compiled once for each instruction set. LANES and VARIANT are set by the file that includes this;
// standard headers were included before it chose its instruction set, so that no shared code is compiled for it.
namespace VARIANT {
namespace {

using bntt::parallel;

#include "lanes.h"
#include "scan.inl"
#include "scan_reverse.inl"
#include "rectify.inl"
#include "events.inl"
#include "events_weight_grad.inl"
#include "poisson.inl"
#include "winograd.inl"

}  // namespace

extern const Kernels kernels = {
    moments, scan_forward, scan_reverse<true>, scan_reverse<false>, rectify_forward, rectify_backward, packed_size, pack,
    events_forward, events_weight_grad, unpack, poisson, winograd_room, winograd_pack, winograd_input_grad,
};

}  // namespace VARIANT
