"""The whole spiking network: blocks in order, then the readout; every way of running it shares one code path."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from jaxtyping import Float, Integer, Shaped
from torch import Tensor, nn

from bntt.engine.compute import Compute
from bntt.engine.graph.node import PassContext
from bntt.engine.kernels import require
from bntt.nn.blocks import (
    SpikingLayer,
    apply_weights,
    bind_modules,
    check_drive,
    check_layers,
    check_stage,
    is_linear,
    number,
    passed,
)
from bntt.nn.call import Call, NetworkState, evaluating, noise_of
from bntt.nn.fuse import Plan, plan_of, settled
from bntt.nn.kinds import norm_facts
from bntt.nn.network.advance import Advanced, PlanCache, advance_blocks, layers_of, real
from bntt.nn.network.measured import Measure, Measured, Trace, check_finite_input, joined
from bntt.nn.tensor_checks import time_first

STEPS_AT_ONCE = 25
"""Most steps of the encoder's and the last layer's spikes in memory, in evaluation without gradients and hooks."""


class SpikingNetwork(nn.Module):
    """Blocks in order, then a readout. ``net(spikes [T, B, ...])`` gives logits ``[B, K]``.

    Args:
        blocks: the hidden layers, named by the mapping's keys (a sequence gets ``block1``, ``block2``, ...):
            :class:`SpikingBlock`, or your own modules that are stages and list their ``layers``.
        readout: the output layer, :class:`Readout` or your own stage.
        compute: backend and precision, which can be set at any time: by default fused kernels for every block that they
            support, and plain PyTorch for the rest.

    Raises:
        BackendError: if this machine does not have what ``compute`` asks for.
        ValueError: if the norms, or folded neurons, differ in their number of steps.
        TypeError: if a block or the readout is not a stage, or a block does not list its layers.

    Attributes:
        num_steps: T of the norms and folded neurons; None if no part depends on it.
        built: the registered builder's name and arguments; None for a network put together by hand.
        input_shape: of a sample in one step, ``[C, H, W]`` or ``[F]``, if the builder was given it; else None.

    >>> from bntt.nn import BNTT, LIF, Readout, SpikingBlock
    >>> hidden = SpikingBlock(nn.Linear(6, 8, bias=False), BNTT(8, num_steps=5), LIF())
    >>> net = SpikingNetwork([hidden], Readout(nn.Linear(8, 3, bias=False)))
    >>> net(torch.ones(5, 2, 6)).shape
    torch.Size([2, 3])
    """

    built: tuple[str, dict[str, Any]] | None = None
    input_shape: tuple[int, ...] | None = None

    def __init__(
        self,
        blocks: Mapping[str, nn.Module] | nn.ModuleDict | Sequence[nn.Module],
        readout: nn.Module,
        *,
        compute: Compute = Compute(),
    ) -> None:
        super().__init__()
        self.compute, self._kept = compute, PlanCache()
        if not isinstance(blocks, Mapping | nn.ModuleDict):
            blocks = {f"block{i}": block for i, block in enumerate(blocks, start=1)}
        for name, block in blocks.items():
            check_stage(block, f"block {name!r}", "y [S, B, ...]")
            check_layers(block, f"block {name!r}")
        check_stage(readout, "the readout", "logits [S, B, K]")
        self.blocks, self.readout = nn.ModuleDict(dict(blocks.items())), readout
        self.num_steps: int | None = bind_modules(self.blocks, self.readout)

    @property
    def compute(self) -> Compute:
        """The network's compute choice."""
        return self._compute

    @compute.setter
    def compute(self, choice: Compute) -> None:
        if not isinstance(choice, Compute):
            raise TypeError(f"compute must be a Compute(backend=, events=, recompute=, precision=), got {choice!r}")
        require(choice)
        self._compute = choice

    @property
    def layers(self) -> dict[str, SpikingLayer]:
        """Every spiking layer by name, in order: ``conv1``, or ``block3.body`` within a block of several."""
        return layers_of(dict(self.blocks.items()))

    def plan(self, shape: Sequence[int], first: int = 0) -> Plan:
        """Return the plan of a pass, in the blocks' mode, over an input of this ``shape`` from step ``first`` on."""
        call = Call(first, self._is_whole(first, shape[0]))
        return plan_of(dict(self.blocks.items()), self._stand_in(shape), self.compute, call)

    def settled_compute(self, shape: Sequence[int]) -> Compute:
        """Return ``compute`` with ``recompute="auto"`` resolved by the memory now free, for this input ``shape``."""
        call = Call(0, self._is_whole(0, shape[0]))
        return settled(dict(self.blocks.items()), self._stand_in(shape), self.compute, call)

    def _stand_in(self, shape: Sequence[int]) -> Tensor:
        """Return an input without contents."""
        like = next(self.parameters(), torch.empty(0, dtype=torch.float32, device="cpu"))
        return torch.zeros(1, dtype=like.dtype, device=like.device).expand(*shape)

    def _is_whole(self, first: int, steps: int) -> bool:
        """Return True if these are all steps and none follow."""
        return first == 0 and steps == (self.num_steps or steps)

    def forward(
        self,
        x: Shaped[Tensor, "T B *shape"],
        *,
        steps: int | None = None,
        seed: int | None = None,
        draw: int | None = None,
        index: Integer[Tensor, " B"] | None = None,
    ) -> Float[Tensor, "B K"]:
        """Return logits ``[B, K]`` after all steps, from rest: use this to train. ``torch.compile`` does not trace it.

        Args:
            x: the input of the first layer, ``[T, B, ...]``: floating point, or int8, signed spikes of one byte each.
            steps: stop after fewer than the norms' T steps; x then has ``steps`` of them. In training, γ of later
                steps gets no gradient, but still decays.
            seed, draw, index: keys of the samples' random numbers, for blocks that draw some.

        Raises:
            BackendError: if ``compute`` requires what kernels or machine do not have.
            ValueError: on a wrong number of steps, or a value that is not finite.
        """
        check_drive(x)
        wanted = steps if steps is not None else self.num_steps
        if wanted not in (None, len(x)):
            raise ValueError(
                f"this network takes spikes [T, B, ...] of {wanted} time steps, got {list(x.shape)}"
                f"{time_first(x, wanted)}; images go through an encoder, SpikingClassifier(encoder, network)(images); "
                f"to stop earlier, pass steps=; advance(x, state) takes any number"
            )
        self._check_steps(x, 0)
        call = Call(0, True, noise_of(None, x.shape[1], seed, draw, index), self.compute.reduce)
        if torch.compiler.is_compiling() and not torch.compiler.is_exporting():
            out: Tensor = torch.compiler.disable(SpikingNetwork._whole)(self, x, call)  # type: ignore[no-untyped-call]
            return out
        return self._whole(x, call)

    def _check_steps(self, x: Tensor, first: int) -> None:
        if self.num_steps is not None and (last := first + len(x) - 1) >= self.num_steps:
            raise ValueError(
                f"this network has {self.num_steps} time steps (0-{self.num_steps - 1}), got t={last}: build the "
                f"network with num_steps={last + 1}, or stop earlier"
            )

    def _whole(self, x: Tensor, call: Call) -> Tensor:
        check_finite_input(x, 0)
        plain = is_linear(self.readout)
        went = self._through(x, call, PassContext(self.compute), [None] * len(self.blocks), mean=plain)
        if went.is_mean:
            return apply_weights("the readout", self.readout.synapse, went.out[None])[0]  # type: ignore[arg-type]
        return passed("the readout", self.readout, real(went.out, self.readout), call, None)[0][-1]

    def advance(
        self,
        x: Shaped[Tensor, "S B *shape"],
        state: NetworkState | None = None,
        *,
        measure: Measure = Measure(),
        in_place: bool = False,
        seed: int | None = None,
        draw: int | None = None,
        index: Integer[Tensor, " B"] | None = None,
    ) -> tuple[Float[Tensor, "S B K"], NetworkState]:
        """Take the next S steps from a state, layer by layer; how the steps are cut into calls changes no result.

        Gradients flow through the state, and ``state.detach()`` cuts them; ``state.rows(keep)`` lets samples leave the
        batch. In training, every call updates the running statistics. Weights are kept in the kernels' layout until
        they change; after writing to them through ``.data`` or NumPy between two steps, call ``weights_changed()``.

        Args:
            x: the input of the first layer, ``[S, B, ...]``, floating point or int8.
            state: the state that the last call returned; None is rest.
            measure: measurements to take in these steps; the results are in ``state.measured``.
            in_place: True if you do not need ``state`` any more: its membranes may be overwritten, not copied.
            seed, draw, index: keys of the samples' random numbers, for the first call; later the state has them.

        Returns:
            ``(logits, state)``: logits after each step, the voltage so far divided by the steps so far.

        >>> from bntt.models import mlp
        >>> net, x = mlp(in_features=4, hidden=(8,), num_steps=6).eval(), torch.ones(6, 3, 4)
        >>> first, state = net.advance(x[:2])
        >>> rest, state = net.advance(x[2:], state)
        >>> bool(torch.allclose(rest[-1], net(x), atol=1e-6)), state.steps
        (True, 6)
        """
        check_drive(x)
        self._check_steps(x, 0 if state is None else state.steps)
        if state is not None and len(state.blocks) != len(self.blocks):
            raise ValueError(f"the state is of a network of {len(state.blocks)} blocks, this has {len(self.blocks)}")
        noise = noise_of(state, x.shape[1], seed, draw, index)
        check_finite_input(x, 0 if state is None else state.steps)
        if measure.membrane is not None and (layer := measure.membrane[0]) not in self.layers:
            raise ValueError(f"there is no layer {layer!r} to measure: it is one of {', '.join(self.layers)}")
        taken, measured = list[Tensor](), list[Measured]()
        for some in (x,) if measure.membrane is None else torch.split(x, 1):  # a membrane is known at the end of a call
            before = (state or NetworkState(0, x.shape[1], (None,) * len(self.blocks), None)).tracked()
            call = Call(before.steps, self._is_whole(before.steps, len(some)), noise, self.compute.reduce)
            how = PassContext(self.compute, measure, goes_on=True, prepared=before.prepared, in_place=in_place)
            went = self._through(some, call, how, before.blocks, mean=False)
            logits, voltage = passed("the readout", self.readout, real(went.out, self.readout), call, before.readout)
            taken.append(logits)
            measured.append(went.measured)
            state = replace(
                before,
                steps=before.steps + len(some),
                blocks=went.states,
                readout=voltage,
                noise=noise,
                pooled=before.pooled or (not went.kept and self._pools_batches()),
                measured=went.measured if measure else None,
            )
        assert state is not None
        return (logits, state) if len(taken) == 1 else (torch.cat(taken), replace(state, measured=joined(measured)))

    def _through(self, x: Tensor, call: Call, how: PassContext, states: Sequence[Any], *, mean: bool) -> Advanced:
        if self.training and not torch.compiler.is_compiling():
            number(self.modules())
        went = self._kept.advance(self.blocks, self.num_steps, x, call, how, states, mean=mean)
        return went or advance_blocks(dict(self.blocks.items()), x, call, how, states, mean=mean)

    def _pools_batches(self) -> bool:
        return any(part.training and norm_facts(part).batch_statistics for part in self.modules())

    @torch.no_grad()
    def trace(
        self,
        inputs: Shaped[Tensor, "T B *shape"] | Iterable[Shaped[Tensor, "S B *shape"]],
        *,
        seed: int | None = None,
        draw: int | None = None,
        index: Integer[Tensor, " B"] | None = None,
    ) -> Trace:
        """Return logits and spike counts at every step, in evaluation mode; the network's own mode is restored.

        Args:
            inputs: all steps, or an iterable that yields some of them at a time.
            seed, draw, index: as :meth:`advance`'s.

        """
        taken, state = list[tuple[Tensor, Measured]](), None
        with evaluating(self):
            if isinstance(inputs, Tensor):  # many steps at a time if all blocks are fused
                fused = len(inputs) and not plan_of(dict(self.blocks.items()), inputs, self.compute).reason
                inputs = torch.split(inputs, STEPS_AT_ONCE if fused else 1)
            for part in inputs:
                noise = {"seed": seed, "draw": draw, "index": index} if state is None else {}
                some, state = self.advance(part, state, measure=Measure(spikes=True), in_place=True, **noise)  # type: ignore[arg-type]
                taken.append((some, state.measured or {}))
        if not taken:
            raise ValueError("a trace needs at least one time step, got none")
        found = joined([part for _, part in taken])
        spikes = {name: layer.spikes for name, layer in found.items() if layer.spikes is not None}
        return Trace(torch.cat([some for some, _ in taken]), spikes, {name: found[name].neurons for name in spikes})
