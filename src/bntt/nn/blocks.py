"""Stages, the parts of a network, and their weights. A stage takes some steps at a time and carries its state.

``y, state = stage(x, call, state)``: x is ``[S, B, ...]``, S consecutive steps of B samples; ``call`` says which steps
they are (:class:`~bntt.nn.Call`), and ``state`` is what the last call returned, None at rest. A norm, a neuron, a
block and a readout are all stages: a part is written once, and works however a sequence is cut into calls.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from bntt.engine.private import has_global_hooks, register_tree
from bntt.engine.workspace import is_plain
from bntt.nn.call import ALL_STEPS, Call, Noise, check_call
from bntt.nn.kinds import BlockFacts, neuron_facts
from bntt.nn.tensor_checks import check_steps, check_tensor
from bntt.nn.untouched import remember, why_touched
from bntt.ops.dropout import dropout_mask


@runtime_checkable
class Stage(Protocol):
    """A norm, a neuron or a readout: any module with this ``forward`` is a stage.

    Its state is private to it: a tensor ``[B, ...]``, a tuple or dict of these, or anything with methods ``rows(keep)``
    and ``detach()``. In training, a norm that needs all steps at once refuses a call that is not ``call.whole``. In
    evaluation a step's output may depend on earlier steps, through the state, but not on later steps, on other samples,
    or on how the steps are cut into calls.

    >>> from bntt.nn import LIF
    >>> isinstance(LIF(), Stage)
    True
    """

    def __call__(self, x: Tensor, call: Call = ..., state: Any = ...) -> tuple[Tensor, Any]: ...


@runtime_checkable
class Block(Stage, Protocol):
    """A stage that lists its spiking layers: the part of a network between two others.

    Residual and recurrent connections are inside it.

    >>> from bntt.nn import BNTT, LIF, SpikingBlock
    >>> isinstance(SpikingBlock(nn.Linear(2, 3, bias=False), BNTT(3, num_steps=5), LIF()), Block)
    True
    """

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """Its spiking layers, in order, for all measurements; () if there are none."""
        ...


class SpikingLayer(NamedTuple):
    """One layer, as a block lists it: weights, norm and neurons.

    It may lack a part. Weights and norm alone give a current, which is added to another one or which the neurons of an
    ANN rectify; neurons alone take such a sum. In every pass each part must be called exactly once for every step, with
    all steps at once or step by step.

    >>> SpikingLayer("body", nn.Identity(), None, None).name
    'body'
    """

    name: str
    """Name within its block; "" if it is the only one."""
    synapse: nn.Module | None
    """The weights."""
    norm: nn.Module | None
    """Norm from the synaptic current ``[S, B, C, ...]`` to the neurons' input, or its part."""
    lif: nn.Module | None
    """Neurons from that input to spikes ``[S, B, C, ...]``."""

    def under(self, name: str) -> SpikingLayer:
        """Return the same layer, named as the block around its own lists it."""
        return self._replace(name=f"{name}.{self.name}".rstrip("."))


def check_stage(module: object, name: str, returns: str) -> None:
    """Refuse an object that cannot be called as a stage."""
    try:
        inspect.signature(module.forward if isinstance(module, nn.Module) else module).bind(None, None, None)  # type: ignore[arg-type]
    except TypeError as error:
        raise TypeError(
            f"{name} must take (x [S, B, ...], call, state) and return ({returns}, state), which "
            f"{type(module).__name__} does not: {error}"
        ) from None


def check_layers(block: nn.Module, name: str) -> None:
    """Refuse a block that does not list its layers, lists something else, or lists two layers with the same name."""
    layers: Any = block.layers if inspect.getattr_static(block, "layers", None) is not None else None
    listed = isinstance(layers, tuple) and all(isinstance(layer, SpikingLayer) for layer in layers)
    if not listed or len({layer.name for layer in layers}) < len(layers):
        raise TypeError(
            f"{name} must list the layers that spike in it: give {type(block).__name__} a property layers, a tuple of "
            f"SpikingLayer, each with a name of its own, got {layers!r}"
        )


def check_drive(x: Tensor) -> None:
    """Refuse an input that cannot drive a network."""
    check_tensor(x, "a network", "its input [S, B, ...]")
    if x.ndim < 3:
        raise ValueError(f"a network takes [S, B, ...], steps first, then samples, got {list(x.shape)}")
    check_steps(x, "a network")


def passed(name: str, stage: Stage, x: Tensor, call: Call, state: Any) -> tuple[Tensor, Any]:
    """Call a stage, and check its return value; what it returns narrower than float32 under autocast is widened."""
    result = stage(x, call, state)
    if not (isinstance(result, tuple) and len(result) == 2 and isinstance(result[0], Tensor)):
        raise TypeError(f"{name} must return (tensor [S, B, ...], state), got {type(result).__name__}")
    if result[0].shape[:2] != x.shape[:2]:
        raise ValueError(f"{name} took {list(x.shape[:2])} steps and samples and returned {list(result[0].shape[:2])}")
    if result[0].dtype in (torch.bfloat16, torch.float16) and torch.is_autocast_enabled(x.device.type):
        return result[0].float(), result[1]
    return result


def fold_time(module: nn.Module, x: Float[Tensor, "S B *in_shape"]) -> Float[Tensor, "S B *out_shape"]:
    """Return what a module without memory makes of all steps at once: ``[S, B, ...]`` → ``[S·B, ...]`` → back.

    Args:
        module: a module that takes and returns a batch, ``[S·B, ...]``.
        x: S steps of B samples.

    >>> import torch
    >>> fold_time(nn.AvgPool2d(2), torch.ones(4, 2, 1, 8, 8)).shape
    torch.Size([4, 2, 1, 4, 4])
    """
    images = x.flatten(0, 1)
    y: Tensor = module(images)
    if y is images and torch.compiler.is_exporting():  # to split it again would fix the number of samples
        return x
    return y.reshape(*x.shape[:2], *y.shape[1:])  # also if y is images, changed in place: they may be a copy of x


def bind_modules(blocks: nn.ModuleDict, readout: nn.Module | None = None) -> int | None:
    """Set ``path`` where a class has ``settles = "path"``, number dropouts, check that all agree on T; return it."""
    lengths, parts = {}, [*blocks.named_modules()]
    parts += [] if readout is None else [*readout.named_modules(prefix="readout")]
    number(module for _, module in parts)
    for path, module in parts:
        if getattr(type(module), "settles", "") == "path":
            module.path = path
        if (length := getattr(module, "num_steps", None)) is not None:
            lengths[path] = length
    if len(set(lengths.values())) > 1:
        raise ValueError(f"norms and folded neurons must have one number of time steps in a network, got {lengths}")
    return next(iter(lengths.values()), None)


def number(modules: Iterable[nn.Module]) -> None:
    """Give the dropouts of a network their numbers, in order.

    Training does it in every call: a part may have come later, or be in another network too.
    """
    numbers = itertools.count()
    found: Iterator[Any] = (module for module in modules if getattr(type(module), "settles", "") == "number")
    for module in found:
        if module.number != (now := next(numbers)):
            module.number = now


def apply_weights(name: str, synapse: nn.Module, x: Tensor) -> Tensor:
    """Apply weights or a pool to all steps at once, ``[S, B, ...]``; the result is never narrower than float32."""
    try:
        weighed = fold_time(synapse, x)
    except (RuntimeError, TypeError) as error:
        error.add_note(f"{name} applied its {type(synapse).__name__} to {x.dtype} [S, B, ...] = {list(x.shape)}")
        raise
    return weighed.to(torch.promote_types(weighed.dtype, torch.float32))


def _meets(synapse: nn.Module, layer: nn.Module) -> bool:
    """Return True if a synapse's input reaches these weights in its original size, or flattened."""
    if type(synapse) is not nn.Sequential:
        return synapse is layer
    for part in synapse:
        if type(part) not in (nn.Flatten, nn.Identity, nn.Dropout):
            return _meets(part, layer)
    return False


def check_input(name: str, synapse: nn.Module, x: Tensor) -> None:
    """Check an input against the first weights that it meets, if these declare their input size."""
    check_tensor(x, name, "an input [S, B, ...]")
    layer = next((part for part in synapse.modules() if isinstance(part, nn.Conv2d | nn.Linear)), None)
    if layer is None:
        return
    if isinstance(layer, nn.Conv2d):
        fits, wanted = x.ndim == 5 and x.shape[2] == layer.in_channels, f"{layer.in_channels}, H, W"
    else:
        fits, wanted = math.prod(x.shape[2:]) == layer.in_features, f"{layer.in_features}"
    if not _meets(synapse, layer):  # other modules come before it, or beside it
        fits, wanted = True, "..."
    dtype = layer.weight.dtype
    if dtype.itemsize < 4:
        raise TypeError(
            f"{name} has weights of {dtype}: statistics and membranes need float32 at least; for lower precision use "
            f"precision='bf16-grad' or 'bf16', or torch.autocast"
        )
    if not fits or x.dtype != dtype:
        raise ValueError(f"{name} takes {dtype} [S, B, {wanted}], time first, got {x.dtype} {list(x.shape)}")


class SpikeDropout(nn.Module):
    """Silence each unit of a sample with probability p at all steps, in training; scale the others by 1/(1-p).

    The mask is a function of the call's seed, draw and sample, the layer and the unit (:mod:`bntt.ops.dropout`): pass
    ``draw=update`` in a training loop, or every update has the same masks.

    Args:
        p: in [0, 1).

    Raises:
        ValueError: on a p outside [0, 1), or a call whose samples have no noise.

    >>> import torch
    >>> from bntt.nn import Call, Noise
    >>> call = Call(noise=Noise(seed=0, draw=0, index=torch.arange(2)))
    >>> y, _ = SpikeDropout(0.5)(torch.ones(3, 2, 4), call)
    >>> bool((y[0] == y[2]).all()), y.unique()
    (True, tensor([0., 2.]))
    """

    settles = "number"

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0 <= p < 1:
            raise ValueError(f"dropout leaves some units: p must be a number from 0 to below 1, got {p}")
        self.p, self.number = float(p), 0

    def forward(
        self, x: Float[Tensor, "S B *shape"], call: Call = Call(), state: None = None
    ) -> tuple[Float[Tensor, "S B *shape"], None]:
        """Return ``(y, None)``, y of x's shape."""
        check_call(call)
        if not self.training or self.p == 0:
            return x, None
        if call.noise is None:
            raise ValueError("dropout draws a mask for every sample: the call must name their noise, Call(noise=...)")
        return x * self.stays(call.noise, tuple(x.shape[2:]), x.device).to(x.dtype) / (1 - self.p), None

    def stays(self, noise: Noise, shape: tuple[int, ...], device: torch.device) -> Bool[Tensor, "B *shape"]:
        """Return the mask of kept units on a device; ``shape`` is that of one sample, channels first."""
        index = noise.index.to(device)
        return dropout_mask(self.p, shape, self.number, seed=noise.seed, draw=noise.draw, index=index)

    def extra_repr(self) -> str:
        return f"p={self.p:g}"


class BlockState(NamedTuple):
    """State that a block carries from one call to the next.

    >>> BlockState(membrane=None, norm=None).membrane is None
    True
    """

    membrane: Any
    """The neurons' state; of :class:`~bntt.nn.LIF` the membrane ``[B, ...]`` after the reset."""
    norm: Any
    """The norm's state; None for most, :class:`~bntt.ops.norm.Moments` for TAB in training."""


register_tree(BlockState, BlockState._fields, lambda state: (), BlockState)


class LayerBlock(nn.Module):
    """One layer: :class:`SpikingBlock`, or a half of it, :class:`CurrentBlock` or :class:`NeuronBlock`.

    Args:
        synapse: weights without memory, for one step's ``[B, ...]``: ``nn.Conv2d``, ``nn.Linear``; None if the neurons
            take the incoming current as it is.
        norm: from :mod:`bntt.nn.norms`, or your own stage; None without weights.
        lif: the neurons, ``LIF``, a ``Rectifier`` or your own stage; None if the block returns a current.
        pool: a module after the spikes, without memory: pooling, flattening. It does not re-spike.
        dropout: a module after the pool, :class:`~bntt.nn.SpikeDropout` or your own stage without a state.

    Raises:
        TypeError: if norm, neurons or dropout are not stages, or weights come without a norm.

    >>> from bntt.nn import LIF
    >>> y, state = LayerBlock(None, None, LIF())(torch.ones(5, 2, 3))
    >>> y.shape
    torch.Size([5, 2, 3])
    """

    facts, settles = BlockFacts("layer"), "path"

    def __init__(
        self,
        synapse: nn.Module | None,
        norm: nn.Module | None,
        lif: nn.Module | None,
        pool: nn.Module | None = None,
        dropout: nn.Module | None = None,
    ) -> None:
        super().__init__()
        for part, what, returns in ((norm, "norm", "y"), (lif, "lif", "spikes"), (dropout, "dropout", "y")):
            if part is not None:
                check_stage(part, f"a block's {what}", f"{returns} [S, B, ...]")
        if (synapse is None) != (norm is None):
            raise TypeError("a block has weights and a norm, or neither: bntt.nn.NoNorm() leaves a current as it is")
        self.synapse, self.norm, self.lif = synapse, norm, lif
        self.pool, self.dropout = nn.Identity() if pool is None and lif is not None else pool, dropout
        self.path = ""

    @property
    def name(self) -> str:
        """Name of the block in messages."""
        return f"block {self.path!r}" if self.path else "this block"

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """Its single layer; neurons that never fire are not part of it."""
        spiking = self.lif if self.lif is not None and neuron_facts(self.lif).spikes else None
        return (SpikingLayer("", self.synapse, self.norm, spiking),)

    def forward(
        self, x: Float[Tensor, "S B *in_shape"], call: Call = ALL_STEPS, state: BlockState | None = None
    ) -> tuple[Float[Tensor, "S B *out_shape"], BlockState]:
        """Return ``(pooled spikes or a current, state)``; layers without memory run with time folded into the batch."""
        check_call(call)
        membrane, norm_state = (None, None) if state is None else state
        if self.synapse is not None:
            check_input(self.name, self.synapse, x)
            x = apply_weights(self.name, self.synapse, x)
        if self.norm is not None:
            x, norm_state = passed(f"the norm of {self.name}", self.norm, x, call, norm_state)
        if self.lif is not None:
            x, membrane = passed(f"the lif of {self.name}", self.lif, x, call, membrane)
        if self.pool is not None:
            x = apply_weights(self.name, self.pool, x)
        if self.dropout is not None:
            x, _ = passed(f"the dropout of {self.name}", self.dropout, x, call, None)
        return x, BlockState(membrane, norm_state)


class SpikingBlock(LayerBlock):
    """A hidden layer, ``[S, B, ...]`` to ``[S, B, ...]``: weights, norm, neurons, pool and dropout, in this order.

    A call returns ``(spikes, state)``, the state a :class:`~bntt.nn.BlockState`. Without a ``Call``, x has all T steps.

    >>> import torch
    >>> from bntt.nn import BNTT, LIF
    >>> block = SpikingBlock(nn.Conv2d(1, 8, 3), BNTT(8, num_steps=4), LIF(), nn.AvgPool2d(2))
    >>> spikes, state = block(torch.ones(4, 2, 1, 8, 8))
    >>> spikes.shape, state.membrane.shape
    (torch.Size([4, 2, 8, 3, 3]), torch.Size([2, 8, 6, 6]))
    """

    synapse: nn.Module
    norm: nn.Module
    lif: nn.Module
    pool: nn.Module


class CurrentBlock(LayerBlock):
    """Weights and norm without neurons: the current is added to another one, or drives the neurons of another block.

    >>> import torch
    >>> from bntt.nn import BNTT
    >>> current, _ = CurrentBlock(nn.Conv2d(1, 8, 1), BNTT(8, num_steps=4))(torch.ones(4, 2, 1, 8, 8))
    >>> current.shape
    torch.Size([4, 2, 8, 8, 8])
    """

    synapse: nn.Module
    norm: nn.Module

    def __init__(self, synapse: nn.Module, norm: nn.Module) -> None:
        super().__init__(synapse, norm, None)


class NeuronBlock(LayerBlock):
    """Neurons without weights, driven by any incoming current.

    >>> import torch
    >>> from bntt.nn import LIF
    >>> spikes, _ = NeuronBlock(LIF(), nn.MaxPool2d(2))(2 * torch.ones(4, 2, 8, 8, 8))
    >>> spikes.shape
    torch.Size([4, 2, 8, 4, 4])
    """

    lif: nn.Module
    pool: nn.Module

    def __init__(self, lif: nn.Module, pool: nn.Module | None = None, dropout: nn.Module | None = None) -> None:
        super().__init__(None, None, lif, pool, dropout)


UNITS = (SpikingBlock, CurrentBlock, NeuronBlock)
"""The library's blocks of one layer; each has a :class:`BlockState`."""


class Residual(nn.Module):
    """``y = after(body(x) + shortcut(x))``.

    - spikes + spikes (SEW-ResNet with ADD, Fang et al. 2021): a body of :class:`~bntt.nn.SpikingBlock`;
    - current + current (MS-ResNet, Hu et al. 2021): a body of :class:`~bntt.nn.NeuronBlock` and
      :class:`~bntt.nn.CurrentBlock` in turn;
    - spikes or a current + current before the neurons (ResNet-19 of Zheng et al. 2021): a body whose last block is a
      ``CurrentBlock``, and a ``NeuronBlock`` after.

    Args:
        body: blocks by name, in order.
        shortcut: blocks by name; none is the input itself. Where the shape changes, a block of the body's last kind.
        after: a block that takes the sum.

    Raises:
        TypeError: if a part is not a block.
        ValueError: if there is no body; and in a call, if the terms of the sum differ in shape.

    >>> import torch
    >>> from bntt.nn import BNTT, LIF, CurrentBlock, NeuronBlock
    >>> body = {"conv": CurrentBlock(nn.Conv2d(8, 8, 3, padding=1), BNTT(8, num_steps=4))}
    >>> block = Residual(body, after=NeuronBlock(LIF()))
    >>> [layer.name for layer in block.layers], block(torch.ones(4, 2, 8, 5, 5))[0].shape
    (['conv', 'after'], torch.Size([4, 2, 8, 5, 5]))
    """

    facts, settles = BlockFacts("sum"), "path"

    def __init__(
        self,
        body: Mapping[str, nn.Module],
        shortcut: Mapping[str, nn.Module] | None = None,
        after: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if not body:
            raise ValueError("a residual block has a body of one block or more")
        self.body, self.shortcut, self.after = nn.ModuleDict(body), nn.ModuleDict(shortcut or {}), after
        self.path = ""
        for name, part in self.parts():
            check_stage(part, f"part {name!r} of a residual block", "y [S, B, ...]")
            check_layers(part, f"part {name!r} of a residual block")

    @property
    def name(self) -> str:
        """Name of the block in messages."""
        return f"block {self.path!r}" if self.path else "this block"

    def parts(self) -> Iterator[tuple[str, nn.Module]]:
        """Yield its blocks by name: those of the body, of the shortcut, and the one after."""
        yield from self.body.items()
        yield from self.shortcut.items()
        if self.after is not None:
            yield "after", self.after

    @property
    def layers(self) -> tuple[SpikingLayer, ...]:
        """The layers of its parts, prefixed with the parts' names."""
        parts: Iterator[tuple[str, Any]] = self.parts()
        return tuple(layer.under(name) for name, part in parts for layer in part.layers)

    def forward(
        self, x: Float[Tensor, "S B *in_shape"], call: Call = ALL_STEPS, state: Sequence[Any] | None = None
    ) -> tuple[Float[Tensor, "S B *out_shape"], tuple[Any, ...]]:
        """Return ``(y, the states of its parts)``."""
        check_call(call)
        before, states = iter(state or [None] * len(list(self.parts()))), []

        def through(parts: Mapping[str, Any], y: Tensor) -> Tensor:
            for name, part in parts.items():
                y, after = passed(f"part {name!r} of {self.name}", part, y, call, next(before))
                states.append(after)
            return y

        y, beside = through(dict(self.body.items()), x), through(dict(self.shortcut.items()), x)
        if y.shape != beside.shape:
            raise ValueError(self.differs(y.shape[2:], beside.shape[2:]))
        y = y + beside
        return through({"after": self.after}, y) if self.after is not None else y, tuple(states)

    def differs(self, body: Sequence[int], shortcut: Sequence[int]) -> str:
        """Return the message for a body and a shortcut of different shapes."""
        last = list(self.body)[-1]
        return (
            f"{self.name} adds up what its body's {last!r} gives, {list(body)}, and {list(shortcut)} of its shortcut "
            f"{list(self.shortcut)}: they must have the same shape"
        )


class Readout(nn.Module):
    """``u_L^t = u_L^{t-1} + W o^t``; the logits are ``u_L^t / t`` (the released code's division; Eq. 5 has u^T).

    Args:
        synapse: the last weight layer, ``[B, F]`` to ``[B, K]``; usually ``nn.Linear(F, K, bias=False)``.

    Its state is the accumulated voltage ``[B, K]``. Your own readout is any stage that returns the network's output
    after each step, ``[S, B, K]``.

    >>> logits, voltage = Readout(nn.Linear(8, 3, bias=False))(torch.ones(5, 2, 8))
    >>> logits.shape, voltage.shape
    (torch.Size([5, 2, 3]), torch.Size([2, 3]))
    """

    facts = BlockFacts("readout")

    def __init__(self, synapse: nn.Module) -> None:
        super().__init__()
        self.synapse = synapse

    def forward(
        self, spikes: Float[Tensor, "S B *features"], call: Call = Call(), voltage: Float[Tensor, "B K"] | None = None
    ) -> tuple[Float[Tensor, "S B K"], Float[Tensor, "B K"]]:
        """Return ``(logits after each step, voltage after the last)``; a voltage of None is 0."""
        check_call(call)
        check_tensor(spikes, "the readout", "spikes [S, B, ...]")
        return _means(apply_weights("the readout", self.synapse, spikes), voltage, call.first)


class SpikeCount(nn.Module):
    """An output layer of neurons: ``c^t = c^{t-1} + o^t`` with the spikes o of Eq. 4; the logits are ``c^t / t``.

    Args:
        synapse: the last weight layer, ``[B, F]`` to ``[B, K]``.
        lif: the neurons.

    Its state is their membrane and their counts, both ``[B, K]``.

    >>> from bntt.nn import LIF
    >>> logits, _ = SpikeCount(nn.Linear(8, 3, bias=False), LIF())(torch.ones(5, 2, 8))
    >>> logits.shape, bool((logits >= 0).all() and (logits <= 1).all())
    (torch.Size([5, 2, 3]), True)
    """

    def __init__(self, synapse: nn.Module, lif: nn.Module) -> None:
        super().__init__()
        self.synapse, self.lif = synapse, lif

    def forward(
        self, spikes: Float[Tensor, "S B *features"], call: Call = Call(), state: tuple[Tensor, Tensor] | None = None
    ) -> tuple[Float[Tensor, "S B K"], tuple[Tensor, Tensor]]:
        """Return ``(logits after each step, (membrane, counts) after the last)``; a state of None is rest."""
        check_call(call)
        check_tensor(spikes, "the readout", "spikes [S, B, ...]")
        current = apply_weights("the readout", self.synapse, spikes)
        fired, membrane = self.lif(current, call, None if state is None else state[0])
        means, counts = _means(fired, None if state is None else state[1], call.first)
        return means, (membrane, counts)


def _means(steps: Tensor, before: Tensor | None, first: int) -> tuple[Tensor, Tensor]:
    """Return the mean of all steps so far after each step from ``first`` on, and the sum after the last."""
    check_steps(steps, "a readout")
    after: list[Tensor] = []
    for step in steps:  # one after another: CUDA's cumulative sum is not deterministic
        last = after[-1] if after else before
        after.append(step if last is None else last + step)
    taken = torch.arange(first + 1, first + 1 + len(after), dtype=after[0].dtype, device=steps.device)
    return torch.stack(after) / taken[:, None, None], after[-1]


LINEAR = (Readout, nn.Sequential, nn.Flatten, nn.Linear, nn.Conv2d, nn.AvgPool2d, nn.AdaptiveAvgPool2d)
"""Modules of a readout that may be applied once, to the mean over time, instead of at every step."""
remember(*LINEAR)


def is_linear(readout: nn.Module) -> bool:
    """Return True if a readout only applies linear weights from this library, so that the mean over time is enough."""
    if type(readout) is not Readout or has_global_hooks() or not all(map(is_plain, readout.parameters())):
        return False
    return all(type(part) in LINEAR and not why_touched(part) for part in readout.modules())
