"""Poisson rate coding of images as a module: :mod:`bntt.ops.poisson` has the equations and the gradient estimators."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.autograd import forward_ad

from bntt.engine.cpu.launch import poisson_bytes
from bntt.nn.encoders.encoder import PerChannel, PixelEncoder, check_rates, steps_of
from bntt.nn.fusion.fuse import why_not_here
from bntt.nn.kinds import ENCODERS, EncoderFacts
from bntt.nn.network.call import index_of
from bntt.ops.poisson import GradientEstimator, estimated, signed_rate, unsigned_rate
from bntt.ops.random import Purpose, sample_keys, step_keys, uniform


@ENCODERS("poisson")
class PoissonEncoder(PixelEncoder):
    """Rate coding (paper Supplement B): fresh random spikes at every step, ``[T, B, C, H, W]`` of images.

    Args:
        signed: True, as released: ``s = sign(x) [2r ≤ |x|]`` for normalised pixels of either sign.
            False: ``s = [r < x]`` for pixels in [0, 1].
        gradient: a stand-in for the derivative of a random spike: :func:`~bntt.ops.poisson.straight_through`,
            :func:`~bntt.ops.poisson.expected`, or yours. None: images that ask for a gradient are an error, because a
            gradient of zeros would look like robustness.

    The random numbers depend only on ``(seed, draw, index, t, position)``: see :mod:`bntt.ops.random`.

    >>> encoder = PoissonEncoder(num_steps=4, mean=[0.3], std=[0.2])
    >>> encoder(torch.zeros(2, 1, 8, 8), seed=0, draw=3).shape
    torch.Size([4, 2, 1, 8, 8])
    """

    def __init__(
        self,
        num_steps: int,
        *,
        signed: bool = True,
        mean: PerChannel = None,
        std: PerChannel = None,
        gradient: GradientEstimator | None = None,
    ) -> None:
        super().__init__(num_steps, mean=mean, std=std)
        self.signed, self.gradient = signed, gradient

    @property
    def facts(self) -> EncoderFacts:
        """Facts about it."""
        return EncoderFacts(random=True, mean_code="expected" if self.signed else "expected-unsigned", estimated=True)

    def spikes(
        self,
        x: Tensor,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        draw: int = 0,
        steps: range | None = None,
        compact: bool = False,
    ) -> Tensor:
        """Draw spikes ``[S, B, ...]`` for values that are already normalised: finite, of any sign, possibly noisy.

        Args:
            x: ``[B, ...]``, floating point; from 0 to 1 if the code is unsigned.
            seed, index, draw, steps: as :class:`~bntt.nn.Encoder`'s.
            compact: return int8, channels last in memory, where the compiled kernels can and x asks for no gradient.

        Raises:
            ValueError: if x asks for a gradient without an estimator.
        """
        wanted = steps_of(steps, self.num_steps)
        check_rates(x, self.signed)
        tangent = forward_ad.unpack_dual(x).tangent  # type: ignore[no-untyped-call]
        asked = (x.requires_grad and torch.is_grad_enabled()) or tangent is not None
        if asked and self.gradient is None:
            raise ValueError(
                "the images ask for a gradient, but random spikes have none: choose an estimator, "
                "PoissonEncoder(gradient=bntt.nn.expected) or bntt.nn.straight_through; or pass images.detach()"
            )
        keys = sample_keys(seed, Purpose.SPIKES, draw, index_of(index, len(x), x.device))
        keys, values = step_keys(keys, torch.arange(wanted.start, wanted.stop, device=x.device)), x.detach()
        if compact and not asked and x.ndim == 4 and not why_not_here(x, "cpu"):
            return poisson_bytes(values, keys, signed=self.signed)
        drawn = (signed_rate if self.signed else unsigned_rate)(values, uniform(keys, *x.shape[1:]))
        return estimated(drawn, x, self.gradient(values, self.signed)) if asked and self.gradient else drawn

    def extra_repr(self) -> str:
        gradient = getattr(self.gradient, "__name__", self.gradient)
        return f"{super().extra_repr()}, signed={self.signed}, gradient={gradient}"


@ENCODERS("poisson-unsigned")
def _poisson_unsigned(num_steps: int) -> PoissonEncoder:
    return PoissonEncoder(num_steps, signed=False)
