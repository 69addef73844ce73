"""The normalisation module: one class for every method that uses batch statistics (:mod:`bntt.nn.norms`).

The equations are in :mod:`bntt.ops.norm`. A norm is a stage, ``y, state = norm(x [S, B, C, *space], call, state)``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from bntt.nn.call import ALL_STEPS, Call, check_call, evaluating
from bntt.nn.kinds import NORMS, NormFacts
from bntt.nn.tensor_checks import check_tensor, time_first
from bntt.ops.norm import Moments, add_up, normalize, step_moments, update_running
from bntt.ops.pooling import AllSteps, Pooling, Window


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
        raise ValueError(f"{name} pools over {back + 1} steps, a step and {back} before it, but has only {num_steps}")


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
        if self.training:
            own = step_moments(x)
            batch, state = self.method.pooling.extend(state, own if call.reduce is None else add_up(own, call.reduce))
            self.take_in(batch, running, call.first)
            y = normalize(x, batch.mean, batch.var, gamma, beta, self.eps)
        else:
            y = normalize(x, self.running_mean[running], self.running_var[running], gamma, beta, self.eps)
        return Returned((y, state)) if call is ALL_STEPS else (y, state)

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

        >>> from bntt.nn.norms import BNTT
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
                f"{self._label} takes all of its {self.num_steps} time steps, [T, B, C, ...], got {list(x.shape)}"
                f"{time_first(x, self.num_steps)}; some of the steps: norm(x, Call(first=0), state)"
            )
        last = call.first + len(x) - 1
        if x.numel() == 0:
            raise ValueError(f"{self._label} got an empty batch, of shape {list(x.shape[1:])}")
        if last >= self.num_steps:
            raise ValueError(
                f"{self._label} has {self.num_steps} time steps (0-{self.num_steps - 1}), got t={last}: build the "
                f"network with num_steps={last + 1}, or stop earlier"
            )
        if self.training and self.method.pooling.looks_ahead and not call.whole:
            raise ValueError(
                f"{self._label} takes its training statistics over all time steps, but this call has only some (steps "
                f"{call.first}-{last})"
            )
        self.check_past(call.first, state)
        return x.to(torch.promote_types(x.dtype, torch.float32))

    def check_past(self, first: int, state: Moments | None) -> None:
        """Refuse a training call at step ``first`` whose state lacks the earlier steps, if the norm pools them."""
        if self.training and first > 0 and state is None and self.method.pooling != Window(0):
            raise ValueError(
                f"{self._label} takes its training statistics over earlier steps as well, of which this call at "
                f"t={first} has none"
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

    def split_statistics(self) -> None:
        """Give every step its own running statistics, copies of the shared ones, if its own batch normalised it."""
        if self.method.shared_running and self.method.pooling == Window(0):
            self.method = replace(self.method, shared_running=False)
            self.running_mean, self.running_var = (
                table.repeat(self.num_steps, 1) for table in (self.running_mean, self.running_var)
            )

    @torch.no_grad()
    def take_in(self, batch: Moments, running: slice = slice(None), first: int = 0) -> None:
        """Move the running statistics (``running`` rows) towards a batch's, or hold them inside ``hold_statistics``."""
        if 1 in batch.count:
            raise ValueError(
                f"{self._label} cannot take statistics over a single value in training "
                f"(step t={first + batch.count.index(1)}): use batches of two or more images, drop_last=True, or eval()"
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
        lacks = "; without a time axis it is one step: norm[t](x)" if x.ndim > 1 and x.shape[1] == channels else ""
        raise ValueError(
            f"{name} takes [S, B, C, ...], steps first, and has {channels} channels, got {list(x.shape)}{lacks}"
        )


class Returned(tuple[Tensor, Any]):
    """``(y, state)`` of a norm that was called as an ordinary layer; what takes it for a tensor is told the way out."""

    WAY_OUT = "a norm returns (y, state): as a layer, in nn.Sequential, it is bntt.interop.as_layer(norm)"

    @classmethod
    def __torch_function__(cls, *_: Any, **__: Any) -> Any:
        raise TypeError(cls.WAY_OUT)

    def __getattr__(self, name: str) -> Any:
        raise AttributeError(f"{name!r}: {self.WAY_OUT}")


class PublishedNorm(TemporalNorm):
    """A norm of a paper: its method is its class's."""

    METHOD: ClassVar[NormMethod]

    def __init__(self, channels: int, num_steps: int, *, eps: float = 1e-4, momentum: float = 0.1) -> None:
        super().__init__(channels, num_steps, self.METHOD, eps=eps, momentum=momentum)


class _Scaled(TemporalNorm):
    """A norm whose γ is scaled by α θ.

    Args:
        alpha: α.
        threshold: θ of the neurons.
    """

    METHOD: ClassVar[NormMethod]

    def __init__(
        self,
        channels: int,
        num_steps: int,
        *,
        alpha: float = 1.0,
        threshold: float = 1.0,
        eps: float = 1e-4,
        momentum: float = 0.1,
    ) -> None:
        super().__init__(channels, num_steps, self.METHOD, scale=alpha * threshold, eps=eps, momentum=momentum)


@NORMS("bntt")
class BNTT(PublishedNorm):
    """Batch Normalization Through Time (Kim & Panda 2021, Eq. 9): own statistics and own γ at every step, no β.

    >>> import torch
    >>> norm = BNTT(8, num_steps=5)
    >>> y, _ = norm(torch.randn(5, 2, 8, 4, 4))
    >>> y.shape, norm.gamma.shape
    (torch.Size([5, 2, 8, 4, 4]), torch.Size([5, 8]))
    """

    METHOD = NormMethod("BNTT")


@NORMS("bntt-scaled")
class ScaledBNTT(_Scaled):
    """BNTT whose normalised input is scaled by α θ, as tdBN does, so that the drive has the threshold's size.

    >>> ScaledBNTT(8, num_steps=5, alpha=0.5, threshold=2.0).scale
    1.0
    """

    METHOD = NormMethod("ScaledBNTT")


@NORMS("tdbn")
class TDBN(_Scaled):
    """tdBN (Zheng et al. 2021): statistics over batch, space and time, ``y = γ · αθ x̂ + β``, all shared over time.

    >>> TDBN(8, num_steps=5).running_mean.shape
    torch.Size([1, 8])
    """

    METHOD = NormMethod("tdBN", pooling=AllSteps(), shared_running=True, shared_gamma=True, beta=True)


@NORMS("tebn")
class TEBN(PublishedNorm):
    """TEBN (Duan et al. 2022): statistics over time as well, ``y_t = p_t (γ x̂_t + β)`` with a learned scalar p_t.

    >>> TEBN(8, num_steps=5).step_scale.shape
    torch.Size([5])
    """

    METHOD = NormMethod("TEBN", pooling=AllSteps(), shared_running=True, shared_gamma=True, beta=True, step_power=1)


@NORMS("tab")
class TAB(PublishedNorm):
    """TAB (Jiang et al. 2024): statistics over steps 0..t, ``y_t = p_t² (γ_t x̂_t + β_t)``.

    p enters squared, as in the authors' code.

    >>> TAB(8, num_steps=5).beta.shape
    torch.Size([5, 8])
    """

    METHOD = NormMethod("TAB", pooling=Window(None), beta=True, step_power=2)


@NORMS("bntt-beta")
class BetaBNTT(PublishedNorm):
    """BNTT with the shift β that the paper omits, one per step like γ.

    >>> BetaBNTT(8, num_steps=5).beta.shape
    torch.Size([5, 8])
    """

    METHOD = NormMethod("BetaBNTT", beta=True)


@NORMS("bn")
class SharedBN(PublishedNorm):
    """Standard BN called at every step, the paper's "Baseline + standard BN".

    Each step is normalised by its own batch. One γ, one β and one pair of running statistics serve all steps; the
    running statistics are updated T times per update of the weights.

    >>> SharedBN(8, num_steps=5).gamma.shape
    torch.Size([1, 8])
    """

    METHOD = NormMethod("SharedBN", shared_running=True, shared_gamma=True, beta=True)


@NORMS("bn-pooled")
class PooledBN(PublishedNorm):
    """Pooled BN: batch normalisation (Ioffe & Szegedy 2015) with time folded into the batch, one mean for all steps.

    Running statistics are updated once per update of the weights.

    >>> PooledBN(8, num_steps=5).running_var.shape
    torch.Size([1, 8])
    """

    METHOD = NormMethod("PooledBN", pooling=AllSteps(), shared_running=True, shared_gamma=True, beta=True)


@NORMS("bntt-shared-gamma")
class SharedGammaBNTT(PublishedNorm):
    """BNTT with one γ for all steps; each step keeps its own statistics.

    >>> norm = SharedGammaBNTT(8, num_steps=5)
    >>> norm.gamma.shape, norm.running_mean.shape
    (torch.Size([1, 8]), torch.Size([5, 8]))
    """

    METHOD = NormMethod("SharedGammaBNTT", shared_gamma=True)


@NORMS("bntt-shared-statistics")
class SharedStatisticsBNTT(PublishedNorm):
    """BNTT with one pair of statistics, taken over all steps; each step keeps its own γ.

    >>> norm = SharedStatisticsBNTT(8, num_steps=5)
    >>> norm.gamma.shape, norm.running_mean.shape
    (torch.Size([5, 8]), torch.Size([1, 8]))
    """

    METHOD = NormMethod("SharedStatisticsBNTT", pooling=AllSteps(), shared_running=True)


@NORMS("bntt-shared-both")
class SharedBothBNTT(PublishedNorm):
    """BNTT with one γ and one pair of statistics, taken over all steps: pooled BN without β.

    >>> norm = SharedBothBNTT(8, num_steps=5)
    >>> norm.gamma.shape, norm.running_mean.shape
    (torch.Size([1, 8]), torch.Size([1, 8]))
    """

    METHOD = NormMethod("SharedBothBNTT", pooling=AllSteps(), shared_running=True, shared_gamma=True)


FAMILY = (
    *(TemporalNorm, BNTT, ScaledBNTT, TDBN, TEBN, TAB, BetaBNTT, SharedBN, PooledBN),
    *(SharedGammaBNTT, SharedStatisticsBNTT, SharedBothBNTT),
)
"""The classes that compute as :class:`~bntt.nn.TemporalNorm` does, and differ only in their method."""


@NORMS("layer")
class LayerNorm(nn.Module):
    """Layer normalisation (Ba et al. 2016; the paper's Table 5): statistics over C and space of one sample and step.

    The paper does not say what is learned: here one γ per channel, ``[1, C]``, shared over time, and no β. It computes
    the same in training and evaluation, and takes any number of steps.

    Args:
        channels: C.
        eps: ε, added to the variance.

    >>> y, _ = LayerNorm(8)(torch.randn(5, 2, 8, 4, 4))
    >>> y.shape
    torch.Size([5, 2, 8, 4, 4])
    """

    facts = NormFacts(operations=(2, 3))

    def __init__(self, channels: int, *, eps: float = 1e-4) -> None:
        super().__init__()
        self.channels, self.eps = channels, eps
        self.gamma = nn.Parameter(torch.ones(1, channels))

    def forward(
        self, x: Float[Tensor, "S B C *space"], call: Call = ALL_STEPS, state: None = None
    ) -> tuple[Float[Tensor, "S B C *space"], None]:
        """Return ``(y, None)``, y of x's shape ``[S, B, C, ...]``."""
        check_current("LayerNorm", self.channels, x)
        check_call(call)
        dims = tuple(range(2, x.ndim))
        centred = x - x.mean(dims, keepdim=True)
        inverse = (centred.square().mean(dims, keepdim=True) + self.eps).rsqrt()
        return centred * inverse * self.gamma.reshape(1, 1, -1, *[1] * (x.ndim - 3)), None


@NORMS("none")
class NoNorm(nn.Module):
    """No normalisation: Eq. 4 as it stands.

    >>> y, _ = NoNorm()(torch.ones(5, 2, 8))
    >>> y.shape
    torch.Size([5, 2, 8])
    """

    facts = NormFacts(operations=(0, 0), identity=True)

    def forward(
        self, x: Float[Tensor, "S B *shape"], call: Call = Call(), state: None = None
    ) -> tuple[Float[Tensor, "S B *shape"], None]:
        """Return ``(x, None)``."""
        check_call(call)
        return x, None


Buffers = dict[tuple[nn.Module, str], Tensor]
"""Buffers by part and name."""


class HeldStatistics:
    """Statistics of the training passes inside :func:`hold_statistics`; returned by :func:`hold_statistics`.

    Args:
        before, own: what passes do outside the block, put back after it.
    """

    def __init__(self, before: dict[TemporalNorm, PutOff], own: Buffers) -> None:
        self.before, self.own = before, own
        self.ended: Buffers = {}
        """Buffers of foreign parts at the end of the block, until they are taken in."""
        self._held: list[tuple[TemporalNorm, Moments, slice]] = []

    def put_off(self, norm: TemporalNorm, batch: Moments, running: slice) -> None:
        """Hold a batch's moments for these rows of a norm's running statistics."""
        self._held.append((norm, Moments(batch.mean.detach(), batch.var.detach(), batch.count), running))

    @property
    def moments(self) -> list[tuple[str, Moments]]:
        """Held moments, in the order of the passes, each under its norm's name."""
        return [(norm.path or norm.method.name, batch) for norm, batch, _ in self._held]

    @property
    def moved(self) -> Buffers:
        """Buffers of foreign parts as the passes have left them."""
        now = {place: getattr(*place) for place in self.own}
        return self.ended or {place: value.detach() for place, value in now.items() if value is not None}

    @torch.no_grad()
    def take_in(self) -> None:
        """Update the running statistics by what is held, in the order of the passes; afterwards nothing is held.

        This works inside the block too; a surrounding ``hold_statistics`` block then holds them.
        """
        for place, value in self.moved.items():
            if not torch.equal(own := self.own[place], value.to(own)):
                own.resize_(value.shape).copy_(value)
        now, self._held, self.ended = self._held, [], {}
        with _set({(norm, "put_off"): taker for norm, taker in self.before.items()}):
            for norm, batch, running in now:
                norm.take_in(batch, running)

    def put_averages(self) -> None:
        """Replace the running statistics by averages over all that is held; afterwards nothing is held.

        Each row becomes the mean of its batches' means, and of their unbiased variances.
        """
        now, self._held = self._held, []
        found: dict[TemporalNorm, tuple[Tensor, Tensor, Tensor]] = {}
        for norm, batch, running in now:
            if norm not in found:
                zeros = torch.zeros_like(norm.running_mean, dtype=torch.float64)
                found[norm] = zeros, zeros.clone(), zeros[:, :1].clone()
            mean, var, count = (table[running] for table in found[norm])
            unbiased = batch.var * batch.var.new_tensor([n / (n - 1) for n in batch.count])[:, None]
            for sums, rows in ((mean, batch.mean), (var, unbiased), (count, torch.ones_like(unbiased[:, :1]))):
                sums += rows if len(sums) > 1 else rows.sum(0)  # one running row may serve many steps
        for norm, (mean, var, count) in found.items():
            seen = count[:, 0] > 0
            norm.running_mean[seen] = (mean / count)[seen].to(norm.running_mean)
            norm.running_var[seen] = (var / count)[seen].to(norm.running_var)


@contextmanager
def hold_statistics(module: nn.Module, after: HeldStatistics | None = None) -> Iterator[HeldStatistics]:
    """Leave running statistics and the buffers of foreign parts unchanged inside the block, and hold how they move.

    Apply them with ``take_in()``, together with the optimiser's step; or never, after a pass that only measures.

    Args:
        module: a network, or any other module.
        after: statistics held before and not taken in yet, from which foreign parts go on.

    Yields:
        The held statistics.

    >>> from bntt.nn.norms import BNTT
    >>> import torch
    >>> norm = BNTT(1, num_steps=2)
    >>> with hold_statistics(norm) as held:
    ...     _ = norm(torch.full((2, 4, 1), 3.0))
    >>> norm.running_mean.flatten()
    tensor([0., 0.])
    >>> held.take_in()
    >>> norm.running_mean.flatten()
    tensor([0.3000, 0.3000])
    """
    parts = [*module.modules()]
    norms = {norm: norm.put_off for norm in parts if isinstance(norm, TemporalNorm)}
    held = HeldStatistics(norms, _foreign_buffers(parts))
    start = held.own if after is None else held.own | after.moved
    copies = {own: start[place].detach().clone() for place, own in held.own.items()}  # one of a buffer with two names
    own_copies = {place: copies[own] for place, own in held.own.items()}
    with _set({(norm, "put_off"): held.put_off for norm in norms} | own_copies):
        try:
            yield held
        finally:
            held.ended = held.moved


@contextmanager
def batch_statistics(module: nn.Module) -> Iterator[HeldStatistics]:
    """Set evaluation mode inside the block, except for the norms: they use the batch's statistics, and hold them."""
    with evaluating(module), hold_statistics(module) as held:
        for norm in held.before:
            norm.training = True
        yield held


def _foreign_buffers(parts: Sequence[nn.Module]) -> Buffers:
    """Return the buffers of all parts that are not of this library; running statistics are held as moments."""
    return {
        (part, name): value
        for part in parts
        if not type(part).__module__.startswith("bntt.")
        for name, value in vars(part)["_buffers"].items()
        if value is not None and value.layout is torch.strided and not is_lazy(value)
        if not (isinstance(part, TemporalNorm) and name in ("running_mean", "running_var"))
    }


@contextmanager
def _set(values: Mapping[tuple[nn.Module, str], Any]) -> Iterator[None]:
    """Set attributes of modules inside the block."""
    before = {place: getattr(*place) for place in values}
    try:
        for place, value in values.items():
            setattr(*place, value)
        yield
    finally:
        for place, value in before.items():
            setattr(*place, value)
