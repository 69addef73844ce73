"""The gradient towards the input of a 3x3 convolution by Winograd's F(4x4, 3x3): a quarter of the products.

Lavin & Gray 2016 (arXiv:1509.09308): a tile of 4x4 pixels is ``Aᵀ [(G k Gᵀ) ⊙ (Bᵀ d B)] A`` of a kernel ``k`` of 3x3
and the 6x6 pixels ``d`` around the tile, summed over channels before A. The gradient towards the input is the
convolution of the output's gradient with the kernels turned by half a turn. The matrices evaluate and interpolate
polynomials at five points and infinity. At 0, ±3/4, ±3/2 all entries of A and B are sums of few powers of two, and the
error stays within three times that of the direct convolution; at 0, ±1, ±2, as published, it is twice as large. It is
that of a tile: beside pixels 10^4 times as large (64 channels), others are off by 7e-4 in norm (direct: 4e-7), and
zeros become other numbers.

:func:`input_grad_reference` is the definition, ``cpu/winograd.inl`` the same tile by tile.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from bntt.engine.compute import Compute
from bntt.engine.cpu.library import LIBRARY, Winograd, call, use_variant, winograd_room
from bntt.engine.synapse import Geometry, Synapse
from bntt.engine.workspace import Lease

IN = (
    (81 / 64, 0, -45 / 16, 0, 1, 0),
    (0, -27 / 16, -9 / 4, 3 / 4, 1, 0),
    (0, 27 / 16, -9 / 4, -3 / 4, 1, 0),
    (0, -27 / 32, -9 / 16, 3 / 2, 1, 0),
    (0, 27 / 32, -9 / 16, -3 / 2, 1, 0),
    (0, 81 / 64, 0, -45 / 16, 0, 1),
)
"""Bᵀ, for six pixels of the output's gradient."""
WEIGHT = (
    (64 / 81, 0, 0),
    (-128 / 243, -32 / 81, -8 / 27),
    (-128 / 243, 32 / 81, -8 / 27),
    (32 / 243, 16 / 81, 8 / 27),
    (32 / 243, -16 / 81, 8 / 27),
    (0, 0, 1),
)
"""G, for three taps of a kernel."""
OUT = (
    (1, 1, 1, 1, 1, 0),
    (0, 3 / 4, -3 / 4, 3 / 2, -3 / 2, 0),
    (0, 9 / 16, 9 / 16, 9 / 4, 9 / 4, 0),
    (0, 27 / 64, -27 / 64, 27 / 8, -27 / 8, 1),
)
"""Aᵀ, for four pixels of the input's gradient."""
LANES = 16
"""Channels on both sides must be multiples of this."""
LEAST_TILES = 64
"""With fewer tiles in all images of a pass, transforming the weights does not pay."""
MOST_WASTE = 1.8
"""The most pixels that tiles may cover, as a multiple of the image's."""
PLACE = Geometry(padding=(1, 1))


def input_grad_reference(grad_out: Tensor, weight: Tensor) -> Tensor:
    """Return dL/dx of a convolution with stride 1 and padding 1, float64, by the matrices."""
    into, turn, out = (torch.tensor(table, dtype=torch.float64, device=grad_out.device) for table in (IN, WEIGHT, OUT))
    _, height, width, _ = grad_out.shape
    down, across = tiles(height, width)
    padded = F.pad(grad_out.double(), (0, 0, 1, 4 * across + 1 - width, 1, 4 * down + 1 - height))
    tile = padded.unfold(1, 6, 4).unfold(2, 6, 4)  # [N, down, across, Co, 6, 6]
    products = torch.einsum("nhwoij,ocij->nhwcij", into @ tile @ into.T, turn @ weight.double().flip(2, 3) @ turn.T)
    pixels = (out @ products @ out.T).permute(0, 1, 4, 2, 5, 3)  # [N, down, 4, across, 4, Ci]
    return pixels.flatten(3, 4).flatten(1, 2)[:, :height, :width]


def tiles(height: int, width: int) -> tuple[int, int]:
    """Return how many tiles of 4x4 cover an image, down and across."""
    return -(-height // 4), -(-width // 4)


def takes(synapse: Synapse, shape: tuple[int, ...], compute: Compute) -> bool:
    """Return True if a layer's input gradient is computed this way: decided by its shape, never by a measurement."""
    (steps, batch, height, width, _), weight = shape, synapse.weight
    if compute.input_grad != "winograd" or compute.kernels != "cpu":
        return False
    if LIBRARY is None or use_variant() == "portable":  # no gain without fused multiply-add
        return False
    down, across = tiles(height, width)
    return (
        synapse.backward_dtype is torch.float32
        and weight.dtype is torch.float32
        and synapse.geometry == PLACE
        and synapse.kernel == (3, 3)
        and weight.shape[0] % LANES == 0
        and weight.shape[1] % LANES == 0
        and steps * batch * down * across >= LEAST_TILES
        and 16 * down * across <= MOST_WASTE * height * width
    )


class InputGrad:
    """The job of a layer that :func:`takes`, for images of a size: its transformed weights and memory to work in."""

    def __init__(self, synapse: Synapse, height: int, width: int, lease: Lease) -> None:
        outputs, inputs = synapse.weight.shape[:2]
        self.pixels, threads = height * width, torch.get_num_threads()
        job = Winograd(height=height, width=width, in_channels=inputs, out_channels=outputs, threads=threads)
        packed, size = lease.take(36 * outputs * inputs), threads * winograd_room(job)
        weight = (synapse.weight.contiguous(), torch.float32, 9 * outputs * inputs)
        call("bntt_winograd_pack", job, weight, (packed, torch.float32, packed.numel()))
        job.give(weight=(packed, torch.float32, packed.numel()), work=(lease.take(size), torch.float32, size))
        self.job = job

    def into(self, grad_out: Tensor, out: Tensor) -> None:
        """Write dL/dx of some steps, ``[S, B, H, W, Ci]``, into ``out``: ``grad_out`` if as large, or other memory."""
        job = self.job
        job.images = out.shape[0] * out.shape[1]
        pixels = job.images * self.pixels
        job.give(grad=(grad_out, torch.float32, pixels * job.out_channels))
        job.give(out=(out, torch.float32, pixels * job.in_channels))
        call("bntt_winograd_input_grad", job)
