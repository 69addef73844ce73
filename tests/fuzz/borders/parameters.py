"""Weights and biases as users set them: lying anyhow, of other sizes, types and classes, or no Parameters at all."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from bntt.nn import SpikingNetwork
from tests.fuzz.borders.tensors import Doubled, laid, negated, packed
from tests.fuzz.case import Around
from tests.fuzz.dice import Dice
from tests.fuzz.uses import Job

Weighted = nn.Linear | nn.Conv2d
OTHERS = (torch.float64, torch.bfloat16, torch.float16, torch.int8)


def weighted(net: SpikingNetwork) -> dict[str, Weighted]:
    """All layers with weights, by name."""
    return {name: one for name, one in net.named_modules() if isinstance(one, Weighted)}


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


def numbers(dice: Dice, like: Tensor, *shape: int) -> Tensor:
    """Random ones, of the other's type."""
    return (dice.normal(*shape) * 0.4).to(like.dtype)


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
    put(job, layer, "bias", forms[form](numbers(dice, like, 2 * size + 8)), parameter=dice.chance(0.8))
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
    value = like.clone() if name == "weight" else numbers(dice, like, len(like))
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
    layer.weight = nn.Parameter(numbers(dice, layer.weight, *shape))
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
