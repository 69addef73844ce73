"""The whole spiking network: blocks in order, then the readout. Both spellings, and the measured trace."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from bntt.engine.compute import Compute
from bntt.engine.kernels import require
from bntt.engine.private import has_global_hooks
from bntt.engine.synapse import Prepared
from bntt.nn.block import SpikingBlock, advance_block, observed_step
from bntt.nn.measure import Measure, Measured
from bntt.nn.norm import TemporalNorm
from bntt.nn.plan import Plan, advance_fused, plan_of, run_fused
from bntt.nn.readout import Readout, accumulated
from bntt.nn.state import NetworkState
from bntt.nn.trace import Trace, check_finite_input, evaluating
from bntt.nn.untouched import check_parts, check_spellings, warn_of_hooks, why_touched

Observer = Callable[[str, int, Tensor], None]
"""Called with ``(layer, t, spikes [B, C, *space])`` for every layer and step."""


STEPS_AT_ONCE = 100
"""Of a fused trace: spikes of the last layer and an encoder's are never there for more steps."""


class SpikingNetwork(nn.Module):
    """Blocks in order, then a readout. ``net(spikes [T, B, ...])`` gives logits ``[B, K]``.

    Args:
        blocks: the hidden layers, named by the mapping's keys (a sequence gets ``block1``, ``block2``, ...).
        readout: the output layer.
        compute: what the sequence form and ``trace`` compute with, see :class:`~bntt.engine.compute.Compute`: fused
            kernels for every block that they know by default, and plain PyTorch for the rest. ``step`` is plain
            PyTorch whatever it says.

    Raises:
        BackendError: if this machine does not have what ``compute`` asks for.
        ValueError: if the norms differ in their number of steps.
        TypeError: if a block is no :class:`SpikingBlock`.

    Attributes:
        compute: as above; it may be set at any time.
        num_steps: T, as the norms have it; None if no norm depends on it.

    >>> from bntt.nn import BNTT, LIF
    >>> hidden = SpikingBlock(nn.Linear(6, 8, bias=False), BNTT(8, num_steps=5), LIF())
    >>> net = SpikingNetwork([hidden], Readout(nn.Linear(8, 3, bias=False)))
    >>> net(torch.ones(5, 2, 6)).shape
    torch.Size([2, 3])
    """

    def __init__(
        self,
        blocks: Mapping[str, SpikingBlock] | Sequence[SpikingBlock],
        readout: Readout,
        *,
        compute: Compute = Compute(),
    ) -> None:
        super().__init__()
        self.compute = compute
        if not isinstance(blocks, Mapping):
            blocks = {f"block{i}": block for i, block in enumerate(blocks, start=1)}
        if wrong := [name for name, block in blocks.items() if not isinstance(block, SpikingBlock)]:
            raise TypeError(f"block {wrong[0]!r} must be a SpikingBlock, got {type(blocks[wrong[0]]).__name__}")
        self.blocks, self.readout = nn.ModuleDict(blocks), readout
        self._check_parts()
        lengths = {}
        for name, block in blocks.items():
            block.name = f"block {name!r}"
            if isinstance(block.norm, TemporalNorm):
                block.norm.path = f"{name}.norm"
            if (length := getattr(block.norm, "num_steps", None)) is not None:
                lengths[name] = length
        if len(set(lengths.values())) > 1:
            raise ValueError(f"the norms of a network must have one number of time steps, got {lengths}")
        self.num_steps: int | None = next(iter(lengths.values()), None)

    def forward(self, spikes: Shaped[Tensor, "T B *shape"]) -> Float[Tensor, "B K"]:
        """The sequence form: layer by layer, all steps at once; what training uses.

        ``spikes`` is floating point, or int8: signed spikes in a byte each. ``torch.compile`` leaves it as it is: it
        has its own kernels.

        Raises:
            BackendError: if ``compute`` insists on the kernels and a block is none of those that they know, or if the
                machine does not have its precision.
            ValueError: on no step at all, or a value that is not finite: a NaN membrane would never fire again.
        """
        if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
            out: Tensor = torch.compiler.disable(SpikingNetwork._forward)(self, spikes)  # type: ignore[no-untyped-call]
            return out
        return self._forward(spikes)

    def _forward(self, spikes: Shaped[Tensor, "T B *shape"]) -> Float[Tensor, "B K"]:
        if spikes.shape[0] == 0:
            raise ValueError("a network needs at least one time step, got a sequence of 0")
        check_finite_input(spikes, 0)
        x, names = spikes, list(self.blocks)
        while names:
            run = plan_of({name: self.blocks[name] for name in names}, x, self.compute).fused
            if run:
                mean = len(run) == len(names) and self._plain_readout()
                x = run_fused([self.blocks[name] for name in names], run, x, self.compute, mean=mean)
                names = names[len(run) :]
                if mean:
                    return self.readout.synapse(x)  # type: ignore[no-any-return]
            else:
                x = self.blocks[names.pop(0)](self._real(x))
        return self.readout(self._real(x))  # type: ignore[no-any-return]

    @property
    def compute(self) -> Compute:
        """What the network computes with."""
        return self._compute

    @compute.setter
    def compute(self, choice: Compute) -> None:
        if not isinstance(choice, Compute):
            raise TypeError(f"compute must be a Compute(backend=, events=, recompute=, precision=), got {choice!r}")
        require(choice)
        self._compute = choice

    def plan(self, shape: Sequence[int]) -> Plan:
        """How an input of this shape ``[T, B, ...]`` would run, in the mode that the blocks are in.

        Raises:
            BackendError: as the sequence form does.
        """
        stand_in = torch.zeros(1, device=next(self.parameters()).device).expand(*shape)
        return plan_of(dict(self.blocks.items()), stand_in, self.compute)

    def _plain_readout(self) -> bool:
        """Whether applying the readout's weights to the mean over time is all that it does."""
        return type(self.readout) is Readout and not why_touched(self.readout) and not has_global_hooks()

    def _check_parts(self) -> None:
        check_spellings(self, "this network")
        check_parts(dict(self.blocks.items()), self.readout)

    def _real(self, x: Tensor) -> Tensor:
        """What a module is given: floats."""
        return x.to(next(self.parameters()).dtype) if x.dtype == torch.int8 else x

    def step(
        self,
        x: Float[Tensor, "B *shape"],
        t: int,
        state: NetworkState | None = None,
        *,
        observe: Observer | None = None,
    ) -> tuple[Float[Tensor, "B K"], NetworkState]:
        """The step form, the definition: one step of every layer; early exit and streaming use it.

        Args:
            x: what drives the first layer at step t.
            t: the step, 0-based; it must be the one after ``state``'s last.
            state: None at t = 0, then what the last call returned.
            observe: called with every layer's spikes, before its pool.

        Returns:
            ``(logits, state)``: logits are the voltage so far divided by t + 1.

        Raises:
            ValueError: if t does not follow the state, or lies beyond the norms' steps, or x is not finite.
            TypeError: if a block cannot be observed, because it has a ``step`` but no ``fire_step`` of its own.
        """
        steps = 0 if state is None else state.steps
        if t != steps:
            raise ValueError(f"this state has seen {steps} steps, so t={steps} comes next, got t={t}")
        if state is None:
            self._check_parts()
        check_finite_input(x.unsqueeze(0), t)
        states = []
        for i, (name, block) in enumerate(self.blocks.items()):
            before = None if state is None else state.blocks[i]
            assert isinstance(block, SpikingBlock)
            if observe is None:
                x, block_state = block.step(x, t, before)
            else:
                spikes, x, block_state = observed_step(name, block, x, t, before)
                observe(name, t, spikes)
            states.append(block_state)
        voltage = self.readout.step(x, None if state is None else state.voltage)
        noise = None if state is None else state.noise
        return voltage / (t + 1), NetworkState(t + 1, tuple(states), voltage, noise, self._pools_batches())

    def advance(
        self,
        x: Shaped[Tensor, "S B *shape"],
        state: NetworkState | None = None,
        *,
        measure: Measure = Measure(),
    ) -> tuple[Float[Tensor, "S B K"], NetworkState]:
        """The next S steps from a state, layer by layer: the same numbers however the steps are cut.

        S = 1 is :meth:`step`, all T steps from rest are :meth:`forward`; blocks run fused where they can. Gradients
        flow through the state, and ``state.detach()`` cuts them; ``state.rows(keep)`` lets samples leave the batch.
        In training, running statistics take every call's batches in, and γ of steps that never come gets no gradient,
        though it decays all the same.

        Args:
            x: what drives the first layer, floating point or int8.
            state: None is rest, else what the last call returned.
            measure: what to measure of these steps; it comes back in ``state.measured``.

        Returns:
            ``(logits, state)``: logits after each step, the voltage so far divided by the steps so far.

        Raises:
            ValueError: if the steps lie beyond the norms', a norm looks ahead in training, or x is not finite.
            BackendError: as :meth:`forward`.

        >>> from bntt.models import mlp
        >>> net, x = mlp(in_features=4, hidden=(8,), num_steps=6).eval(), torch.ones(6, 3, 4)
        >>> first, state = net.advance(x[:2])
        >>> rest, state = net.advance(x[2:], state)
        >>> bool(torch.allclose(rest[-1], net(x), atol=1e-6)), state.steps
        (True, 6)
        """
        first = 0 if state is None else state.steps
        if x.shape[0] == 0:
            raise ValueError("a network advances by at least one time step, got 0")
        if state is not None and len(state.voltage) != x.shape[1]:
            raise ValueError(f"the state is of {len(state.voltage)} samples, the input of {x.shape[1]}")
        if state is None:
            self._check_parts()
        check_finite_input(x, first)
        names, before = list(self.blocks), [None] * len(self.blocks) if state is None else list(state.blocks)
        after: list[Any] = []
        prepared = Prepared() if state is None else state.prepared
        counts: dict[str, tuple[Tensor, int]] = {}
        while len(after) < len(names):
            rest = {name: self.blocks[name] for name in names[len(after) :]}
            run, here = plan_of(rest, x, self.compute, first).fused, len(after)
            if run:
                some = before[here : here + len(run)]
                x, states, fired = advance_fused(list(rest.values()), run, x, self.compute, some, first, prepared)
                after += states
                counts |= {n: (f.double(), one.neurons) for n, one, f in zip(rest, run, fired, strict=False)}
            else:
                name, block = next(iter(rest.items()))
                assert isinstance(block, SpikingBlock)
                x, now, count = advance_block(name, block, self._real(x), first, before[here], count=measure.spikes)
                after.append(now)
                counts |= {} if count is None else {name: count}
        voltage = None if state is None else state.voltage
        voltages = accumulated(self.readout, self._real(x), voltage, plain=self._plain_readout())
        steps = torch.arange(first + 1, first + 1 + len(x), dtype=voltages[0].dtype, device=x.device)
        noise = None if state is None else state.noise
        measured = None
        if measure.spikes:
            measured = Measured({n: c for n, (c, _) in counts.items()}, {n: size for n, (_, size) in counts.items()})
        last = NetworkState(
            first + len(x), tuple(after), voltages[-1], noise, self._pools_batches(), measured, prepared
        )
        return voltages / steps[:, None, None], last

    def _pools_batches(self) -> bool:
        return any(isinstance(block.norm, TemporalNorm) and block.norm.training for block in self.blocks.values())

    @torch.no_grad()
    def trace(self, inputs: Shaped[Tensor, "T B *shape"] | Iterable[Shaped[Tensor, "S B *shape"]]) -> Trace:
        """Advance in evaluation mode and record logits and spike counts; beside these, memory does not grow with T.

        The mode that the network was in is restored.

        Args:
            inputs: all steps, or an iterable that yields some of them at a time.

        Raises:
            BackendError: as the sequence form does.
        """
        logits, parts, state = [], [], None
        warn_of_hooks(dict(self.blocks.items()), self.readout)
        with evaluating(self):
            for part in torch.split(inputs, self._at_once(inputs)) if isinstance(inputs, Tensor) else inputs:
                some, state = self.advance(part, state, measure=Measure(spikes=True))
                logits.append(some)
                parts.append(state.measured)
        if state is None or state.measured is None:
            raise ValueError("a trace needs at least one time step, got none")
        spikes = {n: torch.cat([part.spikes[n] for part in parts if part is not None]) for n in self.blocks}
        return Trace(torch.cat(logits), spikes, state.measured.neurons)

    def _at_once(self, x: Tensor) -> int:
        """How many steps of a trace are taken at a time: as they come where all blocks are fused, else one."""
        whole = len(x) and not plan_of(dict(self.blocks.items()), x, self.compute, 0).reason
        return STEPS_AT_ONCE if whole else 1
