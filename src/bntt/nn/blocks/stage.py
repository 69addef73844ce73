"""Stages, the parts of a network, and their weights. A stage takes some steps at a time and carries its state.

``y, state = stage(x, call, state)``: x is ``[S, B, ...]``, S consecutive steps of B samples; ``call`` says which steps
they are (:class:`~bntt.nn.Call`), and ``state`` is what the last call returned, None at rest. A norm, a neuron, a
block and a readout are all stages: a part is written once, and works however a sequence is cut into calls.
"""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from bntt.nn.network.call import Call
from bntt.nn.tensor_checks import check_steps, check_tensor


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
    takes: inspect.Signature | str = "nothing: it cannot be called"
    if callable(module):
        takes = inspect.signature(module.forward if isinstance(module, nn.Module) else module)
        try:
            takes.bind(None, None, None)
            return
        except TypeError:
            takes = f"({', '.join(takes.parameters)})"
    raise TypeError(
        f"{name} must take (x [S, B, ...], call, state) and return ({returns}, state); "
        f"{type(module).__name__} takes {takes}"
    )


def check_layers(block: nn.Module, name: str) -> None:
    """Refuse a block that does not list its layers, lists something else, or lists two layers with the same name."""
    layers: Any = block.layers if inspect.getattr_static(block, "layers", None) is not None else None
    listed = isinstance(layers, tuple) and all(isinstance(layer, SpikingLayer) for layer in layers)
    if not listed or len({layer.name for layer in layers}) < len(layers):
        raise TypeError(
            f"{name} must list the layers that spike in it: give {type(block).__name__} a property layers, a tuple of "
            f"SpikingLayer, each with a name of its own (layer.under('a') for layer in self.a.layers), got {layers!r}"
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


def settle(blocks: nn.ModuleDict, readout: nn.Module | None = None) -> int | None:
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


def weigh(name: str, synapse: nn.Module, x: Tensor) -> Tensor:
    """Apply weights or a pool to all steps at once, ``[S, B, ...]``; the result is never narrower than float32."""
    try:
        weighed = fold_time(synapse, x)
        return weighed.to(torch.promote_types(weighed.dtype, torch.float32))
    except (RuntimeError, TypeError) as error:
        small = f"{list(x.shape[2:])} of a sample is too small: give larger images, or build it with fewer poolings"
        if not (reason := _misfit(synapse) or _unflattened(synapse, x) or small * ("too small" in str(error))):
            raise
        raise ValueError(
            f"{name} cannot apply its {type(synapse).__name__}: {reason}. PyTorch says: {error}"
        ) from error


def first_weights(synapse: nn.Module) -> nn.Conv2d | nn.Linear | None:
    """Return the first of a synapse's modules that declares its input and output sizes; None if none does."""
    return next((layer for layer in synapse.modules() if isinstance(layer, nn.Conv2d | nn.Linear)), None)


def _misfit(synapse: nn.Module) -> str:
    """Describe a parameter of the first weights that has a wrong size or type; "" if there is none."""
    layer = first_weights(synapse)
    if layer is None:
        return ""
    if isinstance(layer, nn.Linear):
        shape: tuple[int, ...] = (layer.out_features, layer.in_features)
    else:
        shape = (layer.out_channels, layer.in_channels // max(1, layer.groups), *layer.weight.shape[2:])
    kind, dtype = type(layer).__name__, layer.weight.dtype
    for part, value, wanted in (("weight", layer.weight, shape), ("bias", layer.bias, shape[:1])):
        if value is not None and (value.shape != wanted or value.dtype != dtype):
            return f"the {part} of its {kind} is {value.dtype} {list(value.shape)}, expected {dtype} {list(wanted)}"
    return ""


def _unflattened(synapse: nn.Module, x: Tensor) -> str:
    """Describe an input that does not fit a fully connected layer, such as an unflattened one; "" if it fits."""
    layer, features = first_weights(synapse), math.prod(x.shape[2:])
    flattens = any(isinstance(part, nn.Flatten) for part in synapse.modules())
    if not isinstance(layer, nn.Linear) or not _meets(synapse, layer):
        return ""
    if (features if flattens else x.shape[-1]) == layer.in_features:
        return ""
    way = ": put nn.Flatten() before it" * (not flattens and features == layer.in_features)
    return f"its Linear takes {layer.in_features} features, and the input is [S, B, ...] = {list(x.shape)}{way}"


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
    layer = first_weights(synapse)
    if layer is None:
        return
    if not _meets(synapse, layer):  # other modules come before it, or beside it
        fits, wanted = True, "..."
    elif isinstance(layer, nn.Conv2d):
        fits, wanted = x.ndim == 5 and x.shape[2] == layer.in_channels, f"{layer.in_channels}, H, W"
    else:
        fits, wanted = math.prod(x.shape[2:]) == layer.in_features, f"{layer.in_features}"
    dtype = layer.weight.dtype
    if dtype.itemsize < 4:
        raise TypeError(
            f"{name} has weights of {dtype}: statistics and membranes need float32 at least, so weights are float32 or "
            f"float64; for lower precision use precision='bf16-grad' or 'bf16', or torch.autocast"
        )
    if not fits or x.dtype != dtype:
        also = f", or the network with .to({x.dtype})" if x.dtype in (torch.float32, torch.float64) else ""
        reason = (
            "time comes first, and channels and image size are those that the network was built for"
            if not fits
            else f"convert the input{also}"
        )
        raise ValueError(f"{name} takes {dtype} [S, B, {wanted}], got {x.dtype} {list(x.shape)}: {reason}")
