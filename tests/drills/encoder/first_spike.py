"""One spike a pixel, the earlier the brighter it is: an encoder of one's own."""

from __future__ import annotations

import torch
from torch import Tensor

from bntt.nn import ENCODERS, EncoderFacts
from bntt.nn.encoders import PixelEncoder, steps_of


@ENCODERS("first-spike")
class FirstSpike(PixelEncoder):
    """A pixel x in (0, 1] fires once, at step ``⌊(1 - x) T⌋``; a black one never."""

    facts = EncoderFacts(random=False, takes="images")

    def __init__(self, num_steps: int) -> None:
        super().__init__(num_steps)

    def spikes(self, x: Tensor, *, steps: range | None = None, **_: object) -> Tensor:
        when = ((1 - x) * self.num_steps).floor().masked_fill(x <= 0, self.num_steps)
        return torch.stack([(when == t).to(x.dtype) for t in steps_of(steps, self.num_steps)])
