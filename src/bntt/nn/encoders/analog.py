"""Encoders that drive the first layer with real numbers: an image held constant, or frames and sequences step by step.

Nothing in them is random, and gradients pass.
"""

from __future__ import annotations

from abc import abstractmethod

import torch
from torch import Tensor, nn

from bntt.nn.encoders.encoder import (
    PerChannel,
    PixelEncoder,
    channel_scales,
    check_rates,
    check_values,
    steps_of,
    whole_steps,
)
from bntt.nn.kinds import ENCODERS, EncoderFacts
from bntt.nn.tensor_checks import check_tensor
from bntt.ops.poisson import expectation


class StillEncoder(PixelEncoder):
    """Base class of encoders that hold an image constant, without a copy: a subclass defines ``held(x)``."""

    facts = EncoderFacts(constant=True)

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
        """Return the held input at all steps, or at some: ``[S, B, ...]``, every step the same memory."""
        wanted = steps_of(steps, self.num_steps)
        return self.held(x).expand(len(wanted), *x.shape)

    @abstractmethod
    def held(self, x: Tensor) -> Tensor:
        """Return the input of the first layer, of x's shape."""


@ENCODERS("direct")
class DirectEncoder(StillEncoder):
    """Direct coding: the same analog image drives the first layer at every step, without a copy. Gradients pass.

    >>> DirectEncoder(num_steps=4)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([4, 2, 1, 8, 8])
    """

    def held(self, x: Tensor) -> Tensor:
        """Return the values unchanged."""
        check_values(x, "pixels")
        return x


@ENCODERS("expected")
class ExpectedEncoder(StillEncoder):
    """Send the expected spikes of :class:`~bntt.nn.PoissonEncoder`, the same at every step, without a copy.

    See :func:`~bntt.ops.poisson.expectation`. Gradients pass.

    Args:
        signed: as the Poisson encoder's.

    >>> ExpectedEncoder(1, mean=[0.5], std=[0.25])(torch.tensor([[[[0.5, 0.75, 1.0]]]])).flatten()
    tensor([0.0000, 0.5000, 1.0000])
    """

    def __init__(self, num_steps: int, *, signed: bool = True, mean: PerChannel = None, std: PerChannel = None) -> None:
        super().__init__(num_steps, mean=mean, std=std)
        self.signed = signed

    def held(self, x: Tensor) -> Tensor:
        """Return the expected spikes for values that are already normalised."""
        check_rates(x, self.signed)
        return expectation(x, self.signed)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, signed={self.signed}"


@ENCODERS("expected-unsigned")
def _expected_unsigned(num_steps: int) -> ExpectedEncoder:
    return ExpectedEncoder(num_steps, signed=False)


class TimedEncoder(nn.Module):
    """Base class of encoders of samples that have a time axis: their shape is checked, and time comes first."""

    facts: EncoderFacts
    ranks: range
    """Numbers of axes that samples may have."""
    form: str

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        self.num_steps = whole_steps(num_steps)

    def forward(
        self,
        x: Tensor,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        draw: int = 0,
        steps: range | None = None,
        compact: bool = False,
    ) -> Tensor:
        """Encode all steps, or some; the other arguments have no effect."""
        wanted, what = steps_of(steps, self.num_steps), self.facts.takes
        check_tensor(x, "the encoder", f"{what} [B, T, ...]")
        if x.ndim not in self.ranks or x.shape[1] != self.num_steps:
            swapped = x.ndim > 2 and len(x) == self.num_steps
            way = f"time is the first axis and must be the second, {what}.transpose(0, 1)" if swapped else ANEW
            raise ValueError(
                f"{what} must be {self.form} with the encoder's T = {self.num_steps} steps, got shape {list(x.shape)}: "
                f"{way}"
            )
        x = x[:, wanted.start : wanted.stop]  # only these steps are checked: a call may take a few of many
        return self.drive(x).transpose(0, 1)

    def drive(self, x: Tensor) -> Tensor:
        """Return the first layer's input for samples in some steps, batch first."""
        check_values(x, self.facts.takes)
        return x

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"


ANEW = "cut or bin them again, or build encoder and network with their T"


@ENCODERS("frames")
class FrameEncoder(TimedEncoder):
    """Pass on samples that already have a time axis, batch first, as the network's input, time first. Gradients pass.

    Frames of events ``[B, T, C, H, W]`` or sequences ``[B, T, F]``, with finite values of either sign, become
    ``[S, B, ...]`` without a copy. Whole numbers, such as the counts of tonic's frames, become float32. Scaling is up
    to the dataset: see :class:`bntt.data.FrameSet`.

    Args:
        num_steps: T, exactly as many as the samples have.

    >>> FrameEncoder(num_steps=4)(torch.zeros(2, 4, 1, 8, 8), steps=range(3)).shape
    torch.Size([3, 2, 1, 8, 8])
    """

    facts = EncoderFacts(takes="frames")
    ranks, form = range(3, 100), "[B, T, ...], such as [B, T, C, H, W] or [B, T, F],"

    def drive(self, x: Tensor) -> Tensor:
        """Return the frames, checked, whole numbers as float32."""
        return super().drive(x if x.is_floating_point() or x.is_complex() else x.to(torch.float32))


@ENCODERS("sequence")
class SequenceEncoder(TimedEncoder):
    """Turn sequences ``[B, T, F]``, batch first, into currents ``[S, B, F]``, time first: ``(x - mean) / std``.

    Nothing is random, and gradients pass. For frames of events use :class:`~bntt.nn.FrameEncoder`.

    Args:
        num_steps: T, exactly as many as the sequences have.
        mean, std: of the training sequences, for all features or per feature, std above 0; both, or neither (the values
            go in as they are).

    >>> encoder = SequenceEncoder(num_steps=3, mean=0.5, std=0.25)
    >>> encoder(torch.tensor([[[0.5], [0.75], [1.0]]]), steps=range(1, 3)).flatten()
    tensor([1., 2.])
    """

    facts = EncoderFacts(takes="sequences")
    ranks, form = range(3, 4), "[B, T, F]"
    mean: Tensor | None
    std: Tensor | None

    def __init__(self, num_steps: int, *, mean: PerChannel = None, std: PerChannel = None) -> None:
        super().__init__(num_steps)
        for name, rows in zip(("mean", "std"), channel_scales(mean, std), strict=True):
            self.register_buffer(name, None if rows is None else rows.flatten())

    def drive(self, x: Tensor) -> Tensor:
        """Return the sequences, checked and normalised."""
        x = super().drive(x)
        if self.mean is None or self.std is None:
            return x
        if len(self.mean) not in (1, x.shape[2]):
            raise ValueError(f"mean and std have {len(self.mean)} features, the sequences have {x.shape[2]}")
        return (x - self.mean) / self.std
