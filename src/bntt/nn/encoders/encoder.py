"""The encoder protocol, and encoders of images with pixels in [0, 1]."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor, nn

from bntt.engine.private import is_mapped
from bntt.nn.tensor_checks import check_tensor


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


def whole_steps(num_steps: int) -> int:
    """Return an encoder's number of steps, after checking it."""
    if num_steps != int(num_steps) or num_steps < 1:
        raise ValueError(f"num_steps must be a whole number, 1 or more, got {num_steps}")
    return int(num_steps)


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
        raise TypeError(
            f"the encoder takes floating point {what}, got {x.dtype}{' with no values' * x.is_meta}: convert whole "
            f"numbers with .float(), and divide by 255 where pixels are bytes"
        )
    if x.numel() == 0:
        raise ValueError(f"the encoder got an empty batch, of shape {list(x.shape)}")
    if is_mapped(x):
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


def normalized(images: Tensor, mean: Tensor | None, std: Tensor | None) -> Tensor:
    """Return ``(images - mean) / std`` per channel, after checking the images; unchanged if mean and std are None."""
    check_values(images, "pixels", unit="scale them, and leave the normalisation to the encoder's mean= and std=")
    if images.ndim != 4 or (mean is not None and len(mean) != images.shape[1]):
        also = "" if mean is None else f" with the {len(mean)} channels of mean and std"
        raise ValueError(f"images must be [B, C, H, W]{also}, got shape {list(images.shape)}")
    return images if mean is None or std is None else (images - mean) / std


UNSIGNED = "unsigned rate coding takes pixels from 0 to 1: leave out mean and std, or take signed=True"


def check_rates(x: Tensor, signed: bool) -> None:
    """Refuse values that rate coding does not take: not finite, or, if it is unsigned, not from 0 to 1."""
    check_values(x, "pixels", unit="" if signed else UNSIGNED)


class PixelEncoder(nn.Module, ABC):
    """Base class of image encoders: a call normalises the images; a subclass encodes them by ``spikes(x, ...)``.

    Args:
        num_steps: T; 1 for an ANN.
        mean, std: per channel, of the training images, std above 0; both or neither (the pixels go in as they are).
    """

    mean: Tensor | None
    std: Tensor | None

    def __init__(self, num_steps: int, *, mean: PerChannel = None, std: PerChannel = None) -> None:
        super().__init__()
        self.num_steps = whole_steps(num_steps)
        for name, rows in zip(("mean", "std"), channel_scales(mean, std), strict=True):
            self.register_buffer(name, rows)

    def forward(self, images: Tensor, **call: Any) -> Tensor:
        """Encode images ``[B, C, H, W]`` with pixels in [0, 1] into the network's input, ``[S, B, C, H, W]``."""
        return self.spikes(self.normalized(images), **call)

    def normalized(self, images: Tensor) -> Tensor:
        """Check the images and normalise each channel to mean 0 and deviation 1: the first half of a call."""
        return normalized(images, self.mean, self.std)

    @abstractmethod
    def spikes(
        self, x: Tensor, *, seed: int, index: Tensor | None, draw: int, steps: range | None, compact: bool
    ) -> Tensor:
        """Encode normalised images: the second half of a call, so that noise can come between the two."""

    def extra_repr(self) -> str:
        return f"num_steps={self.num_steps}"
