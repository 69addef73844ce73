"""Weights packed for passes without gradients, kept from step to step.

Packing them again would be most of the cost of one step of one sample.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.optim.optimizer import register_optimizer_step_post_hook
from torch.serialization import add_safe_globals

from bntt.engine.compute import Precision
from bntt.engine.synapse import Geometry, Synapse

_changes = 0
"""Number of times that weights may have changed unseen by their version counters."""


def weights_changed() -> None:
    """Report that weights were changed where PyTorch does not see it: through ``.data``, NumPy or a pointer.

    :meth:`~bntt.nn.SpikingNetwork.advance` keeps weights and tables in the kernels' layout with the state. They are
    packed again when a parameter or buffer is replaced or changed in place, or after any optimizer's step; only a write
    that bypasses PyTorch's version counters must be reported. Without the report, a sequence under way continues with a
    mixture: what was packed before the write has the old values, what is packed later (such as the form for sparse
    spikes) the new ones. The next sequence from rest compares values, and needs no report.

    >>> import bntt, torch
    >>> net, x = bntt.models.mlp(in_features=4, hidden=(8,), num_steps=4).eval(), torch.ones(2, 1, 4)
    >>> _, state = net.advance(x)
    >>> next(net.parameters()).data.mul_(2.0).shape
    torch.Size([8, 4])
    >>> bntt.weights_changed()
    >>> logits, state = net.advance(x, state)
    """
    global _changes
    _changes += 1


def changes_told() -> int:
    """Return how often :func:`weights_changed` was called, by optimizers too."""
    return _changes


register_optimizer_step_post_hook(lambda *_: weights_changed())  # fused optimizers move no version counter


BIASES = 4
"""Number of biases kept per weight: layers that share it have their own, and a replaced one is dropped."""


class Prepared:
    """A cache of synapses by their weight and bias, each valid as long as neither is changed or replaced."""

    def __reduce__(self) -> tuple[type[Prepared], tuple[()]]:
        """Start empty when copied or read from a file."""
        return Prepared, ()

    def __init__(self) -> None:
        self._held: dict[tuple[int, int], tuple[Tensor, Tensor | None, tuple[object, ...], Synapse]] = {}
        """Weight and bias, held so that no other tensor gets their ids, their version, and the synapse."""

    def synapse(self, weight: Tensor, bias: Tensor | None, geometry: Geometry, precision: Precision) -> Synapse:
        """Return the weights of one layer, as they are now."""
        if not (_has_versions(weight) and (bias is None or _has_versions(bias))):
            return Synapse(weight, bias, geometry, precision)
        key, version = (id(weight), id(bias)), (_changes, *version_of(weight), *version_of(bias), geometry, precision)
        held = self._held.get(key)
        if held is None or held[2] != version:
            held = weight, bias, version, Synapse(weight, bias, geometry, precision)
            same = [other for other in self._held if other[0] == key[0] and other != key]
            stale = {*same[: max(0, len(same) - BIASES + 1)], key}
            self._held = {k: one for k, one in self._held.items() if k not in stale} | {key: held}
        return held[3]


add_safe_globals([Prepared])  # it is read as an empty one, with the state that carries it


def _has_versions(tensor: Tensor) -> bool:
    """Return True for a module's parameter; others live for one pass, and inference mode counts no versions."""
    return isinstance(tensor, nn.Parameter) and not tensor.is_inference()


def version_of(tensor: Tensor | None) -> tuple[Any, ...]:
    """Return a key that changes when a plain tensor's values change, or the memory that they lie in."""
    if tensor is None:
        return ()
    place = tensor.data_ptr(), tensor.shape, tensor.stride(), tensor.dtype, tensor.is_neg()
    return (tensor._version, *place)  # noqa: SLF001
