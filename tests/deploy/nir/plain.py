"""Graphs as other frameworks write them: without metadata."""

from __future__ import annotations

import itertools
from typing import Any

import nir
import numpy as np

TWO, ONE, NONE = np.array([2, 2]), np.array([1, 1]), np.array([0, 0])


def lif(*shape: int, tau: float = 2e-4, r: float = 1.0, **other: Any) -> nir.LIF:
    full = {"tau": tau, "r": r, "v_leak": 0.0, "v_threshold": 0.3, "v_reset": 0.0} | other
    return nir.LIF(**{name: np.broadcast_to(value, shape).copy() for name, value in full.items()})


def chain(*nodes: nir.NIRNode, shape: tuple[int, ...] = (1, 6, 6), out: int = 2, **named: nir.NIRNode) -> nir.NIRGraph:
    """Nodes one behind another, by number or by name."""
    every = {f"n{number}": node for number, node in enumerate(nodes)} | named
    every = {"in": nir.Input({"input": np.array(shape)}), **every, "out": nir.Output({"output": np.array([out])})}
    names = list(every)
    return nir.NIRGraph(every, list(itertools.pairwise(names)), type_check=False)


def image_net() -> nir.NIRGraph:
    """Convolution, IF, sum pooling, convolution, LIF, average pooling, and an Affine."""
    rng = np.random.default_rng(0)
    first = nir.Conv2d((6, 6), rng.normal(size=(3, 1, 3, 3)), 1, "same", 1, 1, rng.normal(size=3) / 9)
    second = nir.Conv2d((3, 3), rng.normal(size=(4, 3, 2, 2)) / 4, (1, 1), "valid", (1, 1), 1, np.zeros(4))
    fires = nir.IF(np.full((3, 6, 6), 0.7e4), np.full((3, 6, 6), 0.3))
    sums, average = nir.SumPool2d(TWO, TWO, NONE), nir.AvgPool2d(TWO, TWO, NONE)
    slow = lif(4, 2, 2, tau=np.array([2e-4, 4e-4, 8e-4, 1e-3])[:, None, None], v_threshold=0.5)
    flatten, affine = (
        nir.Flatten({"input": np.array([4, 1, 1])}, 0, -1),
        nir.Affine(rng.normal(size=(2, 4)), np.ones(2)),
    )
    return chain(first, fires, sums, second, slow, average, flatten, affine)


def pooled_net() -> nir.NIRGraph:
    """Pooling where no spikes are: of the image before neurons, and of currents, their mean and their sum."""
    rng = np.random.default_rng(3)
    first = nir.Conv2d((4, 4), rng.normal(size=(3, 1, 3, 3)), 1, "same", 1, 1, rng.normal(size=3) / 9)
    second = nir.Conv2d((2, 2), rng.normal(size=(4, 3, 1, 1)), 1, 0, 1, 1, np.zeros(4))
    average, sums = (kind(TWO, TWO, NONE) for kind in (nir.AvgPool2d, nir.SumPool2d))
    flatten, last = nir.Flatten({"input": np.array([4, 1, 1])}, 0, -1), nir.Linear(rng.normal(size=(2, 4)))
    return chain(
        nir.AvgPool2d(TWO, TWO, NONE), lif(1, 4, 4), first, average, lif(3, 2, 2), second, sums, lif(4, 1, 1), flatten,
        last, shape=(1, 8, 8),
    )  # fmt: skip


def loose_net() -> nir.NIRGraph:
    """A Threshold without a membrane, sums of its spikes that are scaled, and neurons behind a Flatten."""
    rng = np.random.default_rng(4)
    first = nir.Conv2d((8, 8), rng.normal(size=(3, 1, 3, 3)), 1, "same", 1, 1, rng.normal(size=3) / 9)
    sums, average = (kind(TWO, TWO, NONE) for kind in (nir.SumPool2d, nir.AvgPool2d))
    scale = nir.Scale(np.broadcast_to(np.array([0.17, 0.31, 0.73])[:, None, None], (3, 2, 2)).copy())
    flatten, last = nir.Flatten({"input": np.array([3, 2, 2])}, 0, -1), nir.Linear(rng.normal(size=(2, 12)))
    fires = nir.Threshold(np.full((3, 8, 8), 0.3))
    return chain(first, fires, average, sums, scale, flatten, lif(12), last, shape=(1, 8, 8))


def residual_net() -> nir.NIRGraph:
    """Three branches of features that meet in neurons, of which one is scaled."""
    rng = np.random.default_rng(1)
    nodes = {
        "in": nir.Input({"input": np.array([5])}),
        "a": nir.Linear(rng.normal(size=(4, 5))),
        "fires": lif(4, r=2.0),
        "b": nir.Linear(rng.normal(size=(4, 4))),
        "c": nir.Affine(rng.normal(size=(4, 4)), np.ones(4) / 4),
        "scaled": nir.Scale(np.array([0.5, 1.0, 2.0, 3.0])),
        "meet": lif(4),
        "last": nir.Linear(rng.normal(size=(2, 4))),
        "out": nir.Output({"output": np.array([2])}),
    }
    edges = [("in", "a"), ("a", "fires"), ("fires", "b"), ("fires", "c"), ("c", "scaled"), ("b", "meet")]
    edges += [("scaled", "meet"), ("fires", "meet"), ("meet", "last"), ("last", "out")]
    return nir.NIRGraph(nodes, edges, type_check=False)


def soft_net(back: float = -0.15, delay: float | None = None, r: float = 2.0) -> nir.NIRGraph:
    """Features, a soft reset, and a readout; r = 2 makes the gain of the membrane 1 at dt = 0.1 ms."""
    full = np.ones(3)
    fires = {"membrane": nir.LI(2e-4 * full, r * full, 0 * full), "fires": nir.Threshold(0.3 * full)}
    late = {} if delay is None else {"late": nir.Delay(delay * full)}
    made = chain(shape=(3,), apply_weights=nir.Linear(np.eye(3)), **fires, **late, last=nir.Linear(np.ones((2, 3))))
    made.nodes["back_reset"] = nir.Scale(back * full)
    made.edges += [("fires", "back_reset"), ("back_reset", "membrane")]
    return made
