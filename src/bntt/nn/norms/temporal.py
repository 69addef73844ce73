"""The normalisation module: one class for every method that uses batch statistics (:mod:`bntt.nn.norms.methods`).

The equations are in :mod:`bntt.ops.norm`. A norm is a stage, ``y, state = norm(x [S, B, C, *space], call, state)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.kinds import NormFacts
from bntt.nn.network.call import ALL_STEPS, Call, check_call
from bntt.nn.tensor_checks import check_tensor
from bntt.ops.norm import Moments, add_up, normalize, step_moments, update_running
from bntt.ops.pooling import Pooling, Window


@dataclass(frozen=True)
class NormMethod:
    """Definition of one method of the family.

    >>> NormMethod("BetaBNTT", beta=True).shared_gamma
    False
    """

    name: str
    """Name, for messages."""
    pooling: Pooling = Window(0)
    """Pooling of batch statistics over several steps; by default every step has its own."""
    shared_running: bool = False
    """One running mean and variance for all steps, instead of one for each."""
    shared_gamma: bool = False
    """One γ for all steps, instead of one for each."""
    beta: bool = False
    """True if there is a shift β, shared over time exactly as γ is."""
    step_power: int = 0
    """Power of the learned scalar p_t that multiplies the output of step t; 0: there is no p."""


def check_window(name: str, pooling: Pooling, num_steps: int) -> None:
    """Refuse a window over time that is longer than the number of steps."""
    back = pooling.back if isinstance(pooling, Window) else None
    if back is not None and back >= num_steps:
        raise ValueError(
            f"{name} pools over {back + 1} steps, a step and {back} before it, but has only {num_steps}: "
            f"take a shorter window, or Window(None) for all steps so far"
        )


class TemporalNorm(nn.Module):
    """Normalisation of ``[T, B, C, *space]`` with statistics, scale and shift that may depend on the time step.

    ``y_t = p_tᵏ (scale · γ_t (x_t - μ_t) / √(σ²_t + ε) + β_t)``; the method decides which of them exist. In training μ
    and σ² are the batch's, pooled over time as the method says; in evaluation they are the running ones.

    Args:
        channels, num_steps: C and T.
        method: statistics and affine, a :class:`NormMethod`.
        scale: constant factor of γ: α θ in some methods.
        eps, momentum: ε above 0, added to the variance; weight of a batch in the running statistics, from 0 to 1.

    Attributes:
        gamma: ``[T, C]``, or ``[1, C]`` if shared; starts at 1.
        beta: ``[T, C]`` or ``[1, C]``, starts at 0; None if the method has none.
        step_scale: p, ``[T]``, starts at 1; None if the method has none.
        running_mean, running_var: ``[T, C]``, or ``[1, C]`` if shared.

    Raises:
        ValueError: on wrong steps or channels, an empty batch, or, in training, statistics of a single value.

    >>> norm = TemporalNorm(8, 5, NormMethod("BetaBNTT", beta=True))
    >>> norm(torch.randn(5, 2, 8))[0].shape, norm.beta.shape
    (torch.Size([5, 2, 8]), torch.Size([5, 8]))
    """

    gamma: nn.Parameter
    beta: nn.Parameter | None
    step_scale: nn.Parameter | None
    running_mean: Tensor
    running_var: Tensor
    settles = "path"

    def __init__(
        self,
        channels: int,
        num_steps: int,
        method: NormMethod,
        *,
        scale: float = 1.0,
        eps: float = 1e-4,
        momentum: float = 0.1,
    ) -> None:
        super().__init__()
        if not all(hasattr(count, "__index__") and count >= 1 for count in (channels, num_steps)):
            raise ValueError(f"{method.name} needs channels and num_steps, integers >= 1, got {channels}, {num_steps}")
        if not 0 < eps < math.inf or not 0 <= momentum <= 1 or not math.isfinite(scale):
            raise ValueError(
                f"{method.name} needs eps > 0, momentum from 0 to 1 and a finite scale (alpha threshold), got {eps}, "
                f"{momentum} and {scale}"
            )
        check_window(method.name, method.pooling, num_steps)
        self.channels, self.num_steps, self.method = channels, num_steps, method
        self.scale, self.eps, self.momentum, self.path = scale, eps, momentum, ""
        self.put_off: PutOff = None  # set by hold_statistics
        affine_rows, running_rows = (1 if one else num_steps for one in (method.shared_gamma, method.shared_running))
        self.gamma = nn.Parameter(torch.ones(affine_rows, channels))
        self.beta = nn.Parameter(torch.zeros(affine_rows, channels)) if method.beta else None
        self.step_scale = nn.Parameter(torch.ones(num_steps)) if method.step_power else None
        self.register_buffer("running_mean", torch.zeros(running_rows, channels))
        self.register_buffer("running_var", torch.ones(running_rows, channels))

    def forward(
        self, x: Float[Tensor, "S B C *space"], call: Call = ALL_STEPS, state: Moments | None = None
    ) -> tuple[Float[Tensor, "S B C *space"], Moments | None]:
        """Return ``(y, state)`` for the steps of a call, ``x [S, B, C, ...]``; without a call, x must hold all T steps.

        In training, ``state`` holds the moments of earlier steps that the pooling needs; None at rest.
        """
        x = self._check(x, check_call(call), state)
        steps = call.steps(x)
        running = slice(None) if self.method.shared_running else steps
        gamma, beta = self.scale_and_shift(steps)
        if not self.training:
            return normalize(x, self.running_mean[running], self.running_var[running], gamma, beta, self.eps), state
        own = step_moments(x)
        batch, state = self.method.pooling.extend(state, own if call.reduce is None else add_up(own, call.reduce))
        self.take_in(batch, running, call.first)
        return normalize(x, batch.mean, batch.var, gamma, beta, self.eps), state

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without ``put_off``: a copy does not share the original's held statistics."""
        return {**super().__getstate__(), "put_off": None}  # type: ignore[no-untyped-call] # PyTorch's has no types

    def extra_repr(self) -> str:
        name = f"{self.method.name}, " if type(self) is TemporalNorm else ""
        return f"{name}channels={self.channels}, num_steps={self.num_steps}"

    def __len__(self) -> int:
        """Return T."""
        return self.num_steps

    def __getitem__(self, t: int) -> Callable[[Tensor], Tensor]:
        """Return step t by itself, ``norm[t](x [B, C, *space])``, a tensor: for loops that know their step.

        >>> from bntt.nn.norms.methods import BNTT
        >>> bn = BNTT(8, num_steps=5)
        >>> [bn[t](torch.randn(2, 8)).shape for t in range(len(bn))][-1]
        torch.Size([2, 8])
        """
        if not -len(self) <= t < len(self):
            raise IndexError(f"{self._label} has {len(self)} time steps (0-{len(self) - 1}), got t={t}")
        call = Call(t % len(self), whole=len(self) == 1)
        return lambda x: self(x.unsqueeze(0), call)[0].squeeze(0)

    @property
    def facts(self) -> NormFacts:
        """Facts about it."""
        return NormFacts(not self.method.shared_gamma, True, True, self.method.pooling.looks_ahead)

    @property
    def _label(self) -> str:
        return f"{self.method.name} '{self.path}'" if self.path else self.method.name

    def _check(self, x: Tensor, call: Call, state: Moments | None) -> Tensor:
        """Check the input; return it as float32 or wider: statistics and membranes are not kept in half precision."""
        check_current(self._label, self.channels, x)
        if call is ALL_STEPS and len(x) != self.num_steps:
            raise ValueError(
                f"{self._label} takes all of its {self.num_steps} time steps unless a Call says otherwise, "
                f"got [S, B, C, ...] = {list(x.shape)}: pass norm(x, Call(first=0), state), or "
                f"use a network, whose advance(x, state) takes any number"
            )
        check_space(self._label, self.channels, x, call)
        last, why = call.first + len(x) - 1, ""
        if x.numel() == 0:
            why = f"got an empty batch, of shape {list(x.shape[1:])}"
        elif last >= self.num_steps:
            why = (
                f"has {self.num_steps} time steps (0-{self.num_steps - 1}), got t={last}: build the network with "
                f"num_steps={last + 1}, or stop earlier"
            )
        elif self.training and self.method.pooling.looks_ahead and not call.whole:
            why = (
                f"takes its training statistics over all time steps, but this call has only some (steps {call.first}-"
                f"{last}): train on all of them in one call; in eval() any cut works"
            )
        if why:
            raise ValueError(f"{self._label} {why}")
        self.check_past(call.first, state)
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def check_past(self, first: int, state: Moments | None) -> None:
        """Refuse a training call at step ``first`` whose state lacks the earlier steps, if the norm pools them."""
        if self.training and first > 0 and state is None and self.method.pooling != Window(0):
            raise ValueError(
                f"{self._label} takes its training statistics over earlier steps as well, of which this call at "
                f"t={first} has none: in training, begin with state=None at t=0"
            )

    def scale_and_shift(self, steps: slice = slice(None)) -> tuple[Tensor, Tensor | None]:
        """Return scale and shift of x̂, ``[steps, C]`` or ``[1, C]``: ``pᵏ · scale · γ`` and ``pᵏ β``."""
        affine = slice(None) if self.method.shared_gamma else steps
        gamma = self.scale * self.gamma[affine]
        beta = None if self.beta is None else self.beta[affine]
        if self.step_scale is not None:
            power = self.step_scale[steps].unsqueeze(1) ** self.method.step_power
            gamma, beta = power * gamma, None if beta is None else power * beta
        return gamma, beta

    @torch.no_grad()
    def gains(self, steps: slice = slice(None)) -> Tensor:
        """Return the factor of an input deviation in evaluation, ``pᵏ · scale · |γ| / √(σ̄² + ε)``, ``[steps, C]``."""
        running = self.running_var if self.method.shared_running else self.running_var[steps]
        return self.scale_and_shift(steps)[0].abs() * (running + self.eps).rsqrt()

    def step_tables(self) -> Iterator[tuple[str, Tensor]]:
        """Yield the parameters and buffers that have a row for every step, by name."""
        affine, running = self.method.shared_gamma, self.method.shared_running
        names = [("gamma", affine), ("beta", affine), ("step_scale", False)]
        for name, once in (*names, ("running_mean", running), ("running_var", running)):
            if not once and (table := getattr(self, name)) is not None:
                yield name, table

    @torch.no_grad()
    def take_in(self, batch: Moments, running: slice = slice(None), first: int = 0) -> None:
        """Move the running statistics (``running`` rows) towards a batch's, or hold them inside ``hold_statistics``."""
        if 1 in batch.count:
            raise ValueError(
                f"{self._label} cannot take statistics over a single value in training "
                f"(step t={first + batch.count.index(1)}): a variance needs at least two; "
                f"use batches of two or more images (a DataLoader's last one may be smaller: drop_last=True), or eval()"
            )
        if self.put_off is not None:
            self.put_off(self, batch, running)
        else:
            update_running(self.running_mean[running], self.running_var[running], batch, self.momentum)


PutOff = Callable[[TemporalNorm, Moments, slice], None] | None
"""Function that receives a norm's batch statistics and the running rows they are for, in place of the norm; or None."""


def check_current(name: str, channels: int, x: Tensor) -> None:
    """Check that the input of a norm with ``channels`` channels is ``[S, B, C, *space]``."""
    check_tensor(x, name, "a current [S, B, C, ...]")
    if x.ndim < 3 or x.shape[2] != channels:
        raise ValueError(f"{name} takes [S, B, C, ...], steps first, and has {channels} channels, got {list(x.shape)}")


def check_space(name: str, channels: int, x: Tensor, call: Call) -> None:
    """Refuse an input that could be a batch of images without time, unless the call names its steps."""
    if call is ALL_STEPS and x.ndim == 4 and x.shape[1] == channels:
        raise ValueError(
            f"{name} takes [S, B, C, ...], steps first, and {list(x.shape)} may as well be images [B, C, H, W]: "
            f"images are [S, B, C, H, W], and norm(x, Call()) says that these are steps of sequences [S, B, C, L]"
        )
