"""What users do to a network: hooks and methods of their own; weights that lie anyhow, of other sizes and classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils._pytree import tree_map

from bntt.nn import LIF, Call, FoldedLIF, Readout, SpikingBlock, SpikingNetwork
from bntt.nn.blocks import BlockState
from tests.fuzz.networks import Dice, Weighted, weighted
from tests.fuzz.uses import Job

Seen = list[Tensor]


class HalvedBlock(SpikingBlock):
    """Takes half of its input."""

    def forward(self, x: Tensor, call: Call = Call(), state: BlockState | None = None) -> tuple[Tensor, BlockState]:
        return super().forward(x * 0.5, call, state)


class ScaledBlock(SpikingBlock):
    """Gives three times its spikes."""

    def forward(self, x: Tensor, call: Call = Call(), state: BlockState | None = None) -> tuple[Tensor, BlockState]:
        spikes, state = super().forward(x, call, state)
        return 3 * spikes, state


class _Strong:
    """Is driven by 1.7 times its current."""

    def forward(self, current: Tensor, call: Call = Call(), membrane: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return super().forward(1.7 * current, call, membrane)  # type: ignore[misc, no-any-return]


class StrongLIF(_Strong, LIF):
    pass


class StrongFoldedLIF(_Strong, FoldedLIF):
    pass


class LeakyReadout(Readout):
    """Forgets half of its voltage at every step."""

    def forward(self, spikes: Tensor, call: Call = Call(), voltage: Tensor | None = None) -> tuple[Tensor, Tensor]:
        logits = []
        for t, one in enumerate(spikes, start=call.first):
            said, voltage = super().forward(one[None], Call(t), None if voltage is None else voltage * 0.5)
            logits.append(said)
        assert voltage is not None
        return torch.cat(logits), voltage


def _tensor(out: Any) -> Tensor:
    """What a module gives; a stage has a state beside it."""
    return out[0] if isinstance(out, tuple) else out


def _scaled(out: Any, factor: float | Tensor) -> Any:
    return (out[0] * factor, out[1]) if isinstance(out, tuple) else out * factor


def _become(module: nn.Module, kind: type) -> None:
    module.__class__ = kind


def _block(dice: Dice, net: SpikingNetwork) -> SpikingBlock:
    return dice.pick([block for block in net.blocks.values() if isinstance(block, SpikingBlock)])


def _part(dice: Dice, net: SpikingNetwork) -> nn.Module:
    """Any module that is called with all steps."""
    block = _block(dice, net)
    return dice.pick([block, block.synapse, block.norm, block.lif, block.pool, net.readout])


def own_block(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _become(_block(dice, net), dice.pick((HalvedBlock, ScaledBlock)))


def own_lif(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    lif = _block(dice, net).lif
    _become(lif, StrongFoldedLIF if isinstance(lif, FoldedLIF) else StrongLIF)


def own_readout(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _become(net.readout, LeakyReadout)


def patched_methods(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    """The forward of an instance, as its class does it with half the input."""
    block = _block(dice, net)
    target = dice.pick((block, block.lif, net.readout))
    forward = target.forward
    target.forward = lambda x, *rest: forward(x * 0.5, *rest)  # type: ignore[method-assign]


def patched_forward(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    target = _part(dice, net)
    forward = target.forward
    target.forward = lambda *args: _scaled(forward(*args), 0.5)  # type: ignore[method-assign]


def watching_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    part = net.readout.synapse if dice.chance(0.2) else _part(dice, net)
    part.register_forward_hook(lambda module, args, out: seen.extend(_tensor(out).detach().clone()))


def changing_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    def weighted(module: nn.Module, args: Any, out: Any) -> Any:
        last = _tensor(out).shape[-1]
        return _scaled(out, torch.linspace(0.5, 1.5, last, dtype=_tensor(out).dtype))

    _part(dice, net).register_forward_hook(weighted)


def changing_pre_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _part(dice, net).register_forward_pre_hook(lambda module, args: (args[0] * 0.75, *args[1:]))


def backward_hook(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    _part(dice, net).register_full_backward_hook(
        lambda module, taken, given: tuple(None if g is None else g * 2 for g in taken)
    )


def parametrized(dice: Dice, net: SpikingNetwork, seen: Seen) -> None:
    block = _block(dice, net)
    layer = next(m for m in block.synapse.modules() if isinstance(m, nn.Conv2d | nn.Linear))
    nn.utils.parametrizations.weight_norm(layer)


INTRUSIONS: tuple[Callable[[Dice, SpikingNetwork, Seen], None], ...] = (
    own_block,
    own_lif,
    own_readout,
    patched_methods,
    parametrized,
    patched_forward,
    watching_hook,
    changing_hook,
    changing_pre_hook,
    backward_hook,
)
"""None of them depends on how time is cut."""


@contextmanager
def global_hook(dice: Dice, seen: Seen) -> Iterator[None]:
    """On every module that there is: of one class it changes, or sees, what comes out."""
    kind = dice.pick((LIF, FoldedLIF, Readout, SpikingBlock, nn.Conv2d, nn.Linear, nn.AvgPool2d))
    changes = dice.chance(0.5)

    def hook(module: nn.Module, args: Any, out: Any) -> Any:
        if not isinstance(module, kind):
            return None
        seen.extend(_tensor(out).detach().clone())
        return _scaled(out, 0.5) if changes else None

    handle = nn.modules.module.register_module_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


WEIGHED = (functional.linear, torch.conv2d)


class Doubled(Tensor):
    """Weights that count twice, as ``__torch_function__`` has it."""

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        with torch._C.DisableTorchFunctionSubclass():
            out = func(*args, **(kwargs or {}))
        if func is Tensor.detach:
            return out.as_subclass(cls)
        return 2 * out if func in WEIGHED else out


class Packed(Tensor):
    """Numbers that are made of others when an operation asks for them: bytes and a scale, or floats. No memory."""

    inner: Tensor
    scale: float

    @staticmethod
    def __new__(cls, inner: Tensor, scale: float, dtype: torch.dtype) -> Packed:
        made: Packed = torch.Tensor._make_wrapper_subclass(cls, inner.shape, dtype=dtype, device=inner.device)
        made.inner, made.scale = inner, scale
        return made

    def __repr__(self, **options: Any) -> str:
        return f"Packed({list(self.shape)})"

    def numbers(self) -> Tensor:
        return self.inner.to(self.dtype) * self.scale

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in (torch.ops.aten.detach.default, torch.ops.aten.alias.default):
            return Packed(args[0].inner, args[0].scale, args[0].dtype)
        made = tree_map(lambda one: one.numbers() if isinstance(one, Packed) else one, (args, kwargs or {}))
        return func(*made[0], **made[1])


def packed(values: Tensor, *, in_bytes: bool) -> Packed:
    """The same numbers, or their nearest multiples of 1/64."""
    if not in_bytes:
        return Packed(values.clone(), 1.0, values.dtype)
    return Packed((values * 64).round().clamp(-127, 127).to(torch.int8), 1 / 64, values.dtype)


def negated(values: Tensor) -> Tensor:
    """The same numbers as a view whose memory has the other sign."""
    return torch.complex(torch.zeros_like(values), -values).conj().imag


def laid(values: Tensor, dice: Dice) -> tuple[str, Tensor]:
    """The same numbers, or fewer of them over and over, lying in memory in another way."""
    ways = {
        "strided": lambda: values.repeat_interleave(2, -1)[..., ::2],
        "offset": lambda: torch.cat([values.new_zeros(1), values.flatten()])[1:].view(values.shape),
        "negated": lambda: negated(values),
        "expanded": lambda: values[:1].clone().expand(values.shape),
        "columns": lambda: values.transpose(0, -1).contiguous().transpose(0, -1),
        "channels last": lambda: values.contiguous(memory_format=torch.channels_last),
    }
    way = dice.pick(list(ways)[: 6 if values.ndim == 4 else 5])
    return way, ways[way]()


OTHERS = (torch.float64, torch.bfloat16, torch.float16, torch.int8)


def on_some(change: Callable[[Job, Dice, Weighted], str]) -> Around:
    """A change of one layer, or of several."""

    @contextmanager
    def around(job: Job, dice: Dice) -> Iterator[None]:
        layers = weighted(job.net)
        chosen = [name for name in layers if dice.chance(0.4)] or [dice.pick(list(layers))]
        for name in chosen:
            job.notes.append(f"{name}: {change(job, dice, layers[name])}")
        yield

    return around


def put(job: Job, layer: Weighted, name: str, value: Tensor, *, parameter: bool) -> None:
    """In place of what the layer has; plain tensors are watched, too, where they learn."""
    if parameter:
        setattr(layer, name, nn.Parameter(value, requires_grad=value.is_floating_point()))
        return
    layer._parameters.pop(name, None)
    value = value.detach()
    if value.is_floating_point() and job.dice.chance(0.6):
        job.leaves.append(value.requires_grad_())
    setattr(layer, name, value)


def another_bias(job: Job, dice: Dice, layer: Weighted) -> str:
    """Of the right length but lying otherwise, or of another length."""
    size, like = len(layer.weight), layer.weight
    forms: dict[str, Callable[[Tensor], Tensor]] = {
        "column": lambda value: value[: 2 * size].view(size, 2)[:, dice.integer(0, 1)],
        "expanded": lambda value: value[:1].expand(size),
        "negated": lambda value: negated(value[:size]),
        "offset": lambda value: value[3 : 3 + size],
        "one": lambda value: value[:1].clone(),
        "shorter": lambda value: value[: max(1, size // 4)].clone(),
        "longer": lambda value: value[: size + 8].clone(),
        "matrix": lambda value: value[:size].view(1, size),
    }
    form = dice.pick(list(forms), (3, 2, 1, 1, 1, 1, 1, 1))
    put(job, layer, "bias", forms[form](dice.like(like, 2 * size + 8)), parameter=dice.chance(0.8))
    return f"bias {form}"


def another_layout(job: Job, dice: Dice, layer: Weighted) -> str:
    """Weights that lie otherwise."""
    way, value = laid(layer.weight.detach(), dice)
    put(job, layer, "weight", value, parameter=dice.chance(0.7))
    return f"weight {way}"


def plain_tensor(job: Job, dice: Dice, layer: Weighted) -> str:
    """No Parameter, of the network's type or another."""
    name = dice.pick(("weight", "bias"))
    like = layer.weight.detach()
    value = like.clone() if name == "weight" else dice.like(like, len(like))
    dtype = dice.pick((value.dtype, *OTHERS), (4, 1, 1, 1, 1))
    parameter = dtype != value.dtype and dtype.is_floating_point and dice.chance(0.3)
    put(job, layer, name, value.to(dtype), parameter=parameter)
    return f"{'Parameter' if parameter else 'tensor'} {name} of {dtype}"


def another_class(job: Job, dice: Dice, layer: Weighted) -> str:
    """Of a class that has a word in what is done with it."""
    name = "weight" if layer.bias is None or dice.chance(0.7) else "bias"
    value: Tensor = getattr(layer, name).detach().clone()
    kind, parameter = dice.pick(("function", "floats", "bytes")), dice.chance(0.7)
    value = value.as_subclass(Doubled) if kind == "function" else packed(value, in_bytes=kind == "bytes")
    if parameter:
        setattr(layer, name, nn.Parameter(value, requires_grad=kind != "bytes"))
    else:
        layer._parameters.pop(name, None)
        setattr(layer, name, value)
    return f"{'Parameter' if parameter else 'tensor'} {name} of {type(value).__name__}, {kind}"


@contextmanager
def geometry(job: Job, dice: Dice) -> Iterator[None]:
    """Of one layer, mostly a convolution."""
    layers = weighted(job.net)
    convolutions = [name for name, layer in layers.items() if isinstance(layer, nn.Conv2d)]
    name = dice.pick(convolutions if dice.chance(0.85) else list(layers))
    job.notes.append(f"{name}: {_another_geometry(dice, layers[name])}")
    yield


def _another_geometry(dice: Dice, layer: Weighted) -> str:
    """Integers where the constructor makes pairs, and weights of another size than it was told."""
    out, into, *kernel = layer.weight.shape
    form = dice.pick(("numbers", "kernel", "out", "into"), (4, 4, 1, 1)) if kernel else dice.pick(("out", "into"))
    if form == "numbers":
        layer.stride, layer.padding, layer.dilation = layer.stride[0], layer.padding[0], layer.dilation[0]  # type: ignore[assignment]
        name = dice.pick(("none", "stride", "padding", "dilation"), (6, 1, 1, 1))
        if name != "none" and kernel != [1, 1]:  # PyTorch itself crashes on some of these
            setattr(layer, name, dice.integer(1, 2))
        return f"stride {layer.stride}, padding {layer.padding}, dilation {layer.dilation}"
    if form == "kernel":
        size = dice.pick((1, 2, 3, 5))
        if dice.chance(0.8):
            layer.padding = dice.pick((size // 2, (size // 2, size // 2)))
        shape = [out, into, size, size]
    else:
        more = dice.pick((-1, 1, 8))
        shape = [max(1, out + more), into, *kernel] if form == "out" else [out, max(1, into + more), *kernel]
    layer.weight = nn.Parameter(dice.like(layer.weight, *shape))
    return f"weight {form} {shape}, was {[out, into, *kernel]}, padding {getattr(layer, 'padding', None)}"


@contextmanager
def another_input(job: Job, dice: Dice) -> Iterator[None]:
    """What is given is a view with another sign in memory, of another class, or of another type."""
    form, given = dice.pick(("negated", "function", "packed", "float64", "bool", "uint8")), job.given

    def changed(batch: int | None = None) -> Tensor:
        x = given(batch)
        floats = x.to(torch.float64 if job.double else torch.float32)
        if form == "negated":
            return negated(floats)
        if form == "function":
            return x.as_subclass(Doubled)
        if form == "packed":
            return packed(floats.detach(), in_bytes=False)
        return x.to({"float64": torch.float64, "bool": torch.bool, "uint8": torch.uint8}[form])

    job.notes.append(f"input {form}")
    job.given = changed  # type: ignore[method-assign]
    yield


@contextmanager
def tied(job: Job, dice: Dice) -> Iterator[None]:
    """Layers that share one Parameter, each with a bias of its own."""
    first, *others = [one for name, one in weighted(job.net).items() if name.startswith("blocks")]
    for other in others:
        other.weight = first.weight
    yield
