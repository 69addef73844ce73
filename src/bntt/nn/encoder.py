"""Encoders: from images ``[B, C, H, W]`` to what drives the first layer at every step, ``[T, B, C, H, W]``.

Each has two methods with the same numbers: ``encoder(x, ...)`` for all steps and ``encoder.step(x, t, ...)`` for one.
"""

from __future__ import annotations

import torch
from jaxtyping import Float, Int8
from torch import Tensor, nn

from bntt.engine.poisson import poisson_bytes
from bntt.ops.poisson import signed_rate, unsigned_rate
from bntt.ops.random import Purpose, sample_keys, step_keys, uniform


class PoissonEncoder(nn.Module):
    """Rate coding (paper Supplement B): fresh random spikes at every step.

    Args:
        num_steps: T.
        signed: True, as released: ``s = sign(x) [2r ≤ |x|]`` for normalised pixels of either sign.
            False: ``s = [r < x]`` for pixels in [0, 1].

    The numbers are a function of ``(seed, draw, index, t, position)`` alone: see :mod:`bntt.ops.random`. No gradient
    reaches the pixels; a detached result makes that visible where a gradient of zeros would hide it.

    >>> encoder = PoissonEncoder(num_steps=4)
    >>> encoder(torch.zeros(2, 1, 8, 8), seed=0, draw=3).shape
    torch.Size([4, 2, 1, 8, 8])
    """

    def __init__(self, num_steps: int, *, signed: bool = True) -> None:
        super().__init__()
        self.num_steps, self.signed = _positive(num_steps), signed

    def forward(
        self, x: Tensor, *, seed: int = 0, index: Tensor | None = None, draw: int = 0, steps: range | None = None
    ) -> Float[Tensor, "T B *pixels"]:
        """Spikes of all steps, or of some. ``index`` names the samples in their dataset (default 0..B-1)."""
        return self._spikes(x, self._steps(steps).to(x.device), seed, index, draw)

    def step(
        self,
        x: Tensor,
        t: int,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        draw: int = 0,
    ) -> Float[Tensor, "B *pixels"]:
        """Spikes of step ``t``, the same as the sequence form's."""
        _check_step(t, self.num_steps)
        return self._spikes(x, torch.tensor([t], device=x.device), seed, index, draw).squeeze(0)

    def as_bytes(
        self,
        x: Float[Tensor, "B C H W"],
        *,
        seed: int = 0,
        index: Tensor | None = None,
        draw: int = 0,
        steps: range | None = None,
    ) -> Int8[Tensor, "T B C H W"]:
        """The same spikes by the compiled kernels, one byte each; channels lie last in memory."""
        keys = step_keys(self._keys(x, seed, index, draw), self._steps(steps))
        return poisson_bytes(x.detach(), keys, signed=self.signed)

    def _steps(self, steps: range | None) -> Tensor:
        steps = range(self.num_steps) if steps is None else steps
        for t in (steps.start, steps.stop - 1):
            _check_step(t, self.num_steps)
        return torch.arange(steps.start, steps.stop)

    @torch.no_grad()
    def _spikes(self, x: Tensor, steps: Tensor, seed: int, index: Tensor | None, draw: int) -> Tensor:
        uniforms = uniform(step_keys(self._keys(x, seed, index, draw), steps), *x.shape[1:])
        return (signed_rate if self.signed else unsigned_rate)(x, uniforms)

    def _keys(self, x: Tensor, seed: int, index: Tensor | None, draw: int) -> Tensor:
        """The samples' keys, after a look at what was given."""
        _check_images(x)
        if not self.signed and (x.amin() < 0 or x.amax() > 1):
            raise ValueError(
                f"unsigned rate coding takes pixels from 0 to 1, got {x.min():.4g} to {x.max():.4g}: "
                f"leave mean and std away, or use PoissonEncoder(signed=True)"
            )
        if index is None:
            index = torch.arange(x.shape[0])
        if index.shape != x.shape[:1] or index.is_floating_point():
            raise ValueError(
                f"index must name each of the {x.shape[0]} samples by an integer, got {index.dtype} {list(index.shape)}"
            )
        return sample_keys(seed, Purpose.SPIKES, draw, index.to(x.device, torch.int64))

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}, signed={self.signed}"


class DirectEncoder(nn.Module):
    """Direct coding: the same analog image drives the first layer at every step (no randomness, no copy).

    >>> DirectEncoder(num_steps=4)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([4, 2, 1, 8, 8])
    """

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = _positive(num_steps)

    def forward(
        self, x: Tensor, *, seed: int = 0, index: Tensor | None = None, draw: int = 0, steps: range | None = None
    ) -> Float[Tensor, "T B *pixels"]:
        """All steps, or some; ``seed``, ``index`` and ``draw`` are part of every encoder's call and change nothing."""
        steps = range(self.num_steps) if steps is None else steps
        for t in (steps.start, steps.stop - 1):
            _check_step(t, self.num_steps)
        return x.expand(len(steps), *x.shape)

    def step(
        self,
        x: Tensor,
        t: int,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        draw: int = 0,
    ) -> Float[Tensor, "B *pixels"]:
        _check_step(t, self.num_steps)
        return x

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"


def _positive(num_steps: int) -> int:
    if num_steps != int(num_steps) or num_steps < 1:
        raise ValueError(f"num_steps must be a whole number, 1 or more, got {num_steps}")
    return int(num_steps)


def _check_step(t: int, num_steps: int) -> None:
    if not 0 <= t < num_steps:
        raise ValueError(f"the encoder has {num_steps} time steps (0-{num_steps - 1}), got t={t}")


def _check_images(x: Tensor) -> None:
    if not x.is_floating_point():
        raise TypeError(f"the encoder takes floating point images, got {x.dtype}")
    if x.numel() == 0:
        raise ValueError(f"the encoder got an empty batch, of shape {list(x.shape)}")
    if not torch.isfinite(x).all():
        raise ValueError("the encoder got pixels that are not finite: a NaN would be silence")
