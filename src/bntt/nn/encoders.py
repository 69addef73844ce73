"""Encoders, from samples to the first layer's input: of images, frames and sequences; and one that adds noise."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn
from torch.autograd import forward_ad

from bntt.engine.cpu.launch import poisson_bytes
from bntt.engine.private import is_mapped
from bntt.nn.call import index_of
from bntt.nn.fuse import why_not_here
from bntt.nn.kinds import ENCODERS, EncoderFacts, encoder_facts
from bntt.nn.tensor_checks import check_tensor
from bntt.ops.poisson import GradientEstimator, estimated, expectation, signed_rate, unsigned_rate
from bntt.ops.random import Purpose, normal, sample_keys, step_keys, uniform


@runtime_checkable
class Encoder(Protocol):
    """Map from samples ``[B, ...]`` to the input of the network, time first: ``[S, B, ...]``.

    Any object with these two members is an encoder; a module if it has parameters or buffers.
    A :class:`~bntt.nn.SpikingClassifier` always calls it, so its hooks see every call.

    >>> class Once:
    ...     num_steps = 3
    ...     def __call__(self, x, *, seed=0, index=None, draw=0, steps=None, compact=False):
    ...         wanted = steps_of(steps, self.num_steps)
    ...         return torch.stack([x if t == 0 else torch.zeros_like(x) for t in wanted])
    >>> isinstance(Once(), Encoder)
    True
    """

    @property
    def num_steps(self) -> int:
        """T, the number of steps it can give."""
        ...

    def __call__(
        self,
        x: Tensor,
        *,
        seed: int = 0,
        index: Tensor | None = None,
        draw: int = 0,
        steps: range | None = None,
        compact: bool = False,
    ) -> Tensor:
        """Return the input of the first layer in these steps.

        Args:
            x: a batch of samples.
            seed, index, draw: keys of the noise, if there is any. It must depend only on these and on the step, so that
                some steps are the same as in a call for all. ``index``: each sample's place in its dataset.
            steps: the steps to encode; all T by default.
            compact: True if the network takes signed spikes as int8, one byte each; floats are also allowed.
        """
        ...


def steps_of(steps: range | None, num_steps: int) -> range:
    """Return the requested steps of an encoder; all if none are named.

    Args:
        steps: the requested steps, counted from 0; None for all.
        num_steps: T of the encoder.

    Raises:
        ValueError: if they are not consecutive, one or more, within T.

    >>> steps_of(None, 3), steps_of(range(1, 3), 3)
    (range(0, 3), range(1, 3))
    """
    if steps is None:
        return range(num_steps)
    if not steps or steps.step != 1 or steps[0] < 0 or steps[-1] >= num_steps:
        raise ValueError(
            f"steps must be consecutive, one or more: the encoder has {num_steps} time steps (0-{num_steps - 1}), "
            f"got {steps}"
        )
    return steps


def check_values(x: Tensor, what: str, *, unit: str = "") -> None:
    """Refuse a batch that is not of real numbers, is empty, or is not finite.

    Args:
        x: a batch of samples, ``[B, ...]``.
        what: name of its values in messages.
        unit: if given, values must be from 0 to 1, and a message ends with this.

    Raises:
        TypeError: if it is no floating point tensor with values.
        ValueError: if it is empty, or a value is not finite.

    >>> check_values(torch.zeros(2, 1, 4, 4), "pixels")
    """
    check_tensor(x, "the encoder", what)
    if not x.is_floating_point() or x.is_meta:
        values = " with no values" * x.is_meta
        raise TypeError(
            f"the encoder takes floating point {what}, got {x.dtype}{values}: divide by 255 if they are bytes"
        )
    if x.numel() == 0:
        raise ValueError(f"the encoder got an empty batch, of shape {list(x.shape)}")
    if is_mapped(x) or torch.compiler.is_exporting():  # whose values no test can see
        return
    least, most = (0.0, 1.0) if unit else (torch.finfo(x.dtype).min, torch.finfo(x.dtype).max)
    low, high = x.detach().aminmax()
    if not (low >= least and high <= most):  # NaN is neither
        wrong = ~((x >= least) & (x <= most))
        first = int(wrong.flatten(1).any(1).nonzero()[0]) if x.ndim > 1 else 0
        span = f"{what} must be finite and from 0 to 1, got {float(low):.4g} to {float(high):.4g}"
        said = span if unit else f"the encoder got {what} that are not finite"
        raise ValueError(f"{said}, first in sample {first} of the batch: {unit or 'a NaN would never fire'}")


PerChannel = Sequence[float] | float | Tensor | None
"""One number per channel, or none."""


def channel_scales(mean: PerChannel, std: PerChannel) -> tuple[Tensor | None, Tensor | None]:
    """Return mean and standard deviation as rows ``[C, 1, 1]``; both or neither."""
    kind = torch.get_default_dtype()
    given = [torch.as_tensor(one, dtype=kind).reshape(-1, 1, 1) for one in (mean, std) if one is not None]
    if not given:
        return None, None
    center, spread = (given[0].detach().clone(), given[-1].detach().clone())
    fits = len(given) == 2 and len(center) == len(spread)
    if not fits or not (torch.isfinite(center) & torch.isfinite(spread) & (spread > 0)).all():
        raise ValueError(
            f"mean and std come together, one finite number per channel, std above 0, got mean={mean} and std={std}"
        )
    return center, spread


UNSIGNED = "unsigned rate coding takes pixels from 0 to 1: leave out mean and std, or take signed=True"


class _Encoder(nn.Module, ABC):
    """An encoder with a number of steps: ``spikes`` encodes what ``normalized`` returns."""

    def __init__(self, num_steps: int) -> None:
        super().__init__()
        if num_steps != int(num_steps) or num_steps < 1:
            raise ValueError(f"num_steps must be a whole number, 1 or more, got {num_steps}")
        self.num_steps = int(num_steps)

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
        """Encode samples ``[B, ...]`` into the network's input, ``[S, B, ...]``, see :class:`~bntt.nn.Encoder`."""
        x = self.normalized(x)
        return self.spikes(x, seed=seed, index=index, draw=draw, steps=steps, compact=compact)

    def normalized(self, images: Tensor) -> Tensor:
        """Check the samples and normalise them: the first half of a call."""
        return images

    @abstractmethod
    def spikes(self, x: Tensor, *args: Any, **call: Any) -> Tensor:
        """Encode normalised samples: the second half of a call, so that noise can come between the two."""

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"


class PixelEncoder(_Encoder):
    """Base class of image encoders: a call normalises the images; a subclass encodes them by ``spikes(x, ...)``.

    Args:
        num_steps: T; 1 for an ANN.
        mean, std: per channel, of the training images, std above 0; both or neither (the pixels go in as they are).
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, num_steps: int, *, mean: PerChannel = None, std: PerChannel = None) -> None:
        super().__init__(num_steps)
        for name, rows in zip(("mean", "std"), channel_scales(mean, std), strict=True):
            self.register_buffer(name, rows)

    def normalized(self, images: Tensor) -> Tensor:
        """Check images ``[B, C, H, W]`` with pixels in [0, 1], and normalise each channel to mean 0, deviation 1."""
        check_values(images, "pixels", unit="scale them, and leave the normalisation to the encoder's mean= and std=")
        if images.ndim != 4 or (self.mean is not None and len(self.mean) != images.shape[1]):
            also = "" if self.mean is None else f" with the {len(self.mean)} channels of mean and std"
            raise ValueError(f"images must be [B, C, H, W]{also}, got shape {list(images.shape)}")
        return images if self.mean is None or self.std is None else (images - self.mean) / self.std


@ENCODERS("direct")
class DirectEncoder(PixelEncoder):
    """Direct coding: the same analog image drives the first layer at every step, without a copy. Gradients pass.

    >>> DirectEncoder(num_steps=4)(torch.zeros(2, 1, 8, 8)).shape
    torch.Size([4, 2, 1, 8, 8])
    """

    facts = EncoderFacts(constant=True)

    def spikes(self, x: Tensor, *, steps: range | None = None, **call: Any) -> Tensor:
        """Return normalised values unchanged at these steps, ``[S, B, ...]``, every step the same memory."""
        check_values(x, "pixels")
        return x.expand(len(steps_of(steps, self.num_steps)), *x.shape)


@ENCODERS("expected")
class ExpectedEncoder(PixelEncoder):
    """Send the expected spikes of :class:`~bntt.nn.PoissonEncoder`, the same at every step, without a copy.

    See :func:`~bntt.ops.poisson.expectation`. Gradients pass.

    Args:
        signed: as the Poisson encoder's.

    >>> ExpectedEncoder(1, mean=[0.5], std=[0.25])(torch.tensor([[[[0.5, 0.75, 1.0]]]])).flatten()
    tensor([0.0000, 0.5000, 1.0000])
    """

    facts = EncoderFacts(constant=True)

    def __init__(self, num_steps: int, *, signed: bool = True, mean: PerChannel = None, std: PerChannel = None) -> None:
        super().__init__(num_steps, mean=mean, std=std)
        self.signed = signed

    def spikes(self, x: Tensor, *, steps: range | None = None, **call: Any) -> Tensor:
        """Return the expected spikes for normalised values at these steps, every step the same memory."""
        check_values(x, "pixels", unit="" if self.signed else UNSIGNED)
        return expectation(x, self.signed).expand(len(steps_of(steps, self.num_steps)), *x.shape)

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, signed={self.signed}"


ENCODERS("expected-unsigned")(lambda num_steps: ExpectedEncoder(num_steps, signed=False))


class TimedEncoder(_Encoder):
    """Base class of encoders of samples that have a time axis: their shape is checked, and time comes first."""

    facts: EncoderFacts
    ranks: range
    """Numbers of axes that samples may have."""
    form: str

    def spikes(self, x: Tensor, *, steps: range | None = None, **call: Any) -> Tensor:
        """Return all steps, or some, of the checked samples, time first."""
        wanted, what = steps_of(steps, self.num_steps), self.facts.takes
        check_tensor(x, "the encoder", f"{what} [B, T, ...]")
        if x.ndim not in self.ranks or x.shape[1] != self.num_steps:
            raise ValueError(
                f"{what} must be {self.form} with the encoder's T = {self.num_steps} steps, got shape {list(x.shape)}"
            )
        x = x[:, wanted.start : wanted.stop]  # only these steps are checked: a call may take a few of many
        return self.drive(x).transpose(0, 1)

    def drive(self, x: Tensor) -> Tensor:
        """Return the first layer's input for samples in some steps, batch first."""
        check_values(x, self.facts.takes)
        return x


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
        return (x - self.mean) / self.std


class NoisyEncoder(nn.Module):
    """Encode ``x + σ n`` instead of every image x, n standard normal; the encoder's own randomness stays.

    The n of a pixel depends only on (seed, draw, index) of the image: it is the same at all time steps and for every
    encoder, network, batch and σ. The draw is the call's; the seed is an argument, as the call's differs between runs.
    Clean images must be in [0, 1]. Gradients pass where nothing was clipped. With σ = 0 the bits are the encoder's.

    Args:
        encoder: the encoder of the noisy image, any encoder of pixels.
        sigma: σ, finite, 0 or more.
        where: the unit of σ: "pixels", in [0, 1], or "normalized", the encoder's ``std`` of each channel.
        clip: cut the noisy image to [0, 1].
        seed: seed of the noise, 0 to 2**63 - 1.

    Raises:
        TypeError: if it is not an encoder of images.
        ValueError: on an invalid σ, where or seed, deviations that the encoder lacks, or the unsigned code unclipped.

    >>> from bntt.nn import PoissonEncoder
    >>> encoder = NoisyEncoder(PoissonEncoder(num_steps=4, mean=[0.3], std=[0.2]), sigma=0.1)
    >>> encoder(torch.zeros(2, 1, 8, 8), draw=3).shape
    torch.Size([4, 2, 1, 8, 8])
    """

    def __init__(
        self, encoder: Encoder, sigma: float, *, where: str = "pixels", clip: bool = True, seed: int = 0
    ) -> None:
        super().__init__()
        if not isinstance(encoder, PixelEncoder):
            raise TypeError(f"noise is for images: it needs an encoder of pixels, got {type(encoder).__name__}")
        if not math.isfinite(sigma) or sigma < 0:
            raise ValueError(f"sigma must be a finite number, 0 or more, got {sigma}")
        if where not in ("pixels", "normalized") or (where == "normalized" and encoder.std is None):
            raise ValueError(f"where must be pixels, or normalized if the encoder has mean and std, got {where!r}")
        if not clip and not getattr(encoder, "signed", True):
            raise ValueError("unsigned rate coding takes pixels from 0 to 1, which unclipped noise leaves: clip=True")
        sample_keys(seed, Purpose.NOISE, 0, torch.arange(0))  # refuses an invalid seed
        self.encoder, self.sigma, self.where, self.clip, self.seed = encoder, float(sigma), where, clip, seed

    @property
    def facts(self) -> EncoderFacts:
        """Facts about the inner encoder; random also if σ is above 0."""
        inner = encoder_facts(self.encoder)
        return replace(inner, random=inner.random or self.sigma > 0, estimated=False)

    @property
    def num_steps(self) -> int:
        """T of the inner encoder."""
        return self.encoder.num_steps

    def forward(self, images: Tensor, *, index: Tensor | None = None, draw: int = 0, **call: Any) -> Tensor:
        """Encode clean images; ``seed`` is for the inner encoder's own randomness."""
        x = self.normalized(images, index=index, draw=draw)
        return self.encoder.spikes(x, index=index, draw=draw, **call)

    def normalized(self, images: Tensor, *, index: Tensor | None = None, draw: int = 0) -> Tensor:
        """Return the images with their noise, normalised as the encoder does it; clean ones are checked first."""
        clean, encoder = self.encoder.normalized(images), self.encoder
        if self.sigma == 0:
            return clean
        keys = sample_keys(self.seed, Purpose.NOISE, draw, index_of(index, len(images), images.device))
        noise = self.sigma * normal(keys, *images.shape[1:]).to(images.dtype)
        noisy = images + (noise if self.where == "pixels" or encoder.std is None else encoder.std * noise)
        if self.clip:
            return encoder.normalized(noisy.clamp(0, 1))
        return noisy if encoder.mean is None or encoder.std is None else (noisy - encoder.mean) / encoder.std

    def extra_repr(self) -> str:
        return f"sigma={self.sigma:g}, where={self.where!r}, clip={self.clip}, seed={self.seed}"


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
        check_values(x, "pixels", unit="" if self.signed else UNSIGNED)
        tangent = forward_ad.unpack_dual(x).tangent  # type: ignore[no-untyped-call]
        asked = (x.requires_grad and torch.is_grad_enabled()) or tangent is not None
        if asked and self.gradient is None:
            raise ValueError(
                "the images ask for a gradient, but random spikes have none: choose an estimator, "
                "PoissonEncoder(gradient=bntt.nn.expected), or pass images.detach()"
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


ENCODERS("poisson-unsigned")(lambda num_steps: PoissonEncoder(num_steps, signed=False))
