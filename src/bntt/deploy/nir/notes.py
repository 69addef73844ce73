"""What a NIR graph says about a network besides its nodes: metadata, and numbers in the form that nodes hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from bntt.deploy.description import Description, Encoder, Pictures
from bntt.deploy.errors import DeployError
from bntt.deploy.layers import Array
from bntt.deploy.tree import fields_of, from_tree, to_tree

DT = 1e-4
"""Seconds of a time step, by the convention of SpikingJelly's and snnTorch's files."""
LEAST = 2.0**-53
"""Smallest 1 - λ of a neuron that leaks: among neurons that leak, one with λ = 1 has a time constant of dt 2⁵³."""
FACTS = "bntt"
"""Metadata of the graph: :class:`Facts` as JSON."""
LAYER, PART = "layer", "part"
"""Metadata of a node: the name of its layer, and which part of the layer it is if its type does not say."""

for _kind in (Encoder, Pictures):
    fields_of(_kind)  # here, so that reading a file evaluates nothing


class Facts(NamedTuple):
    """The parts of a description other than its nodes."""

    encoder: Encoder
    classes: tuple[str, ...]
    pictures: Pictures | None = None
    provenance: Mapping[str, str] = {}


def facts_of(made: Description) -> str:
    """Return these parts of a description as JSON.

    >>> import bntt
    >>> from bntt.deploy import describe
    >>> made = describe(bntt.models.pretrained())
    >>> facts_from(facts_of(made)).encoder == made.encoder
    True
    """
    facts = Facts(made.encoder, made.classes, made.pictures, made.provenance)
    return json.dumps(
        {name: to_tree(fact, {}) for name, fact in facts._asdict().items()}, ensure_ascii=False, allow_nan=False
    )


def facts_from(text: str) -> Facts:
    """Return the facts that :func:`facts_of` wrote."""
    kinds = {"encoder": Encoder, "classes": tuple[str, ...], "pictures": Pictures | None, "provenance": dict[str, str]}
    try:
        tree = json.loads(text)
        if tree.keys() != kinds.keys():
            raise DeployError(f"it has {', '.join(tree) or 'nothing'}, expected {', '.join(kinds)}")
        return Facts(**{name: from_tree(kind, tree[name], {}, name) for name, kind in kinds.items()})
    except (ValueError, AttributeError, RecursionError) as error:
        raise DeployError(f"its metadata {FACTS!r} describes no network: {error}") from None


def time_constant(leak: Array) -> Array:
    """Return τ in seconds, from ``λ = 1 - dt / τ``.

    >>> time_constant(np.array([0.95, 0.0])).round(9).tolist()
    [0.002, 0.0001]
    """
    constants: Array = DT / np.maximum(1 - leak, LEAST)
    return constants


def stand_in(table: Array) -> Array:
    """Return what replaces a table ``[T, C]`` where only one number per channel is possible: its median over steps."""
    middle: Array = np.median(table, 0)
    return middle
