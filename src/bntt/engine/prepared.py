"""Weights as passes without gradients took them, kept from step to step: to pack them anew is most of what one step of
one sample costs."""

from __future__ import annotations

import weakref
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook

from bntt.engine.compute import Precision
from bntt.engine.synapse import Geometry, Synapse

_changes = 0
"""How often anybody's weights may have changed without their version counters knowing."""


def weights_changed() -> None:
    """Say that values of weights were changed where PyTorch does not see it: through ``.data``, NumPy or a pointer.

    A state of :meth:`~bntt.nn.network.SpikingNetwork.advance` carries weights in the kernels' layout. They are taken
    anew when a parameter is replaced, changed in place, or after any optimizer's step; a write past PyTorch's version
    counters is the one change that must be told.

    >>> import bntt, torch
    >>> net, x = bntt.models.mlp(in_features=4, hidden=(8,), num_steps=4).eval(), torch.ones(2, 1, 4)
    >>> _, state = net.advance(x)
    >>> net.blocks["fc1"].synapse.weight.data.mul_(2.0).shape
    torch.Size([8, 4])
    >>> bntt.weights_changed()
    >>> logits, state = net.advance(x, state)
    """
    global _changes
    _changes += 1


register_optimizer_step_post_hook(lambda *_: weights_changed())  # fused optimizers move no version counter


class _Held(NamedTuple):
    weight: weakref.ref[Tensor]
    bias: weakref.ref[Tensor] | None
    version: tuple[object, ...]
    synapse: Synapse

    def is_of(self, weight: Tensor, bias: Tensor | None) -> bool:
        """Whether it was made of these very tensors; an address may be another's by now."""
        return self.weight() is weight and (None if self.bias is None else self.bias()) is bias

    @property
    def lives(self) -> bool:
        return self.weight() is not None and (self.bias is None or self.bias() is not None)


class Prepared:
    """Synapses by their weight and bias, each as long as neither is changed or replaced.

    Threads that advance from one state share it: what is in it is finished.

    >>> import torch
    >>> weight, kept = nn.Parameter(torch.ones(2, 4)), Prepared()
    >>> first = kept.synapse(weight, None, Geometry(), "fp32")
    >>> kept.synapse(weight, None, Geometry(), "fp32") is first
    True
    """

    def __reduce__(self) -> tuple[type[Prepared], tuple[()]]:
        """A copy, or what is read from a file, begins without any."""
        return Prepared, ()

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], _Held] = {}

    def synapse(self, weight: Tensor, bias: Tensor | None, geometry: Geometry, precision: Precision) -> Synapse:
        """The weights of one layer, as they are now."""
        if not (_has_versions(weight) and (bias is None or _has_versions(bias))):
            return Synapse(weight, bias, geometry, precision)
        key, version = (id(weight), id(bias)), (_changes, *_version(weight), *_version(bias), geometry, precision)
        held = self._held.get(key)
        if held is None or held.version != version or not held.is_of(weight, bias):
            refs = weakref.ref(weight), None if bias is None else weakref.ref(bias)
            held = _Held(*refs, version, Synapse(weight, bias, geometry, precision))
            self._held = {k: other for k, other in self._held.items() if other.lives} | {key: held}
        return held.synapse


def _has_versions(tensor: Tensor) -> bool:
    """Whether it is a module's own; others are of one pass, and those of inference mode count no versions."""
    return isinstance(tensor, nn.Parameter) and not tensor.is_inference()


def _version(tensor: Tensor | None) -> tuple[Any, ...]:
    return () if tensor is None else (tensor._version, tensor.data_ptr(), tensor.shape, tensor.stride())
