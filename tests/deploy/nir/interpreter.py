"""Runs a graph of NIR in NumPy by its own definitions, in Euler steps: it imports nothing of the library.

A loop is a step late, as in every simulator of steps. Tables ``scale`` and ``shift`` in the metadata of a node that is
an affine map are read, if asked for: they are all that time changes.
"""

from __future__ import annotations

from graphlib import TopologicalSorter
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view


def run(graph: Any, x: np.ndarray, dt: float = 1e-4, tables: bool = True) -> dict[str, np.ndarray]:
    """What every node gives in every step, ``[T, B, ...]``, for the input ``[T, B, ...]`` from rest."""
    loops = {(s, d) for s, d in graph.edges if s.endswith("_reset")}
    before = {name: [s for s, d in graph.edges if d == name and (s, d) not in loops] for name in graph.nodes}
    late = {name: [s for s, d in loops if d == name] for name in graph.nodes}
    order = list(TopologicalSorter(before).static_order())
    kinds = {name: type(node).__name__ for name, node in graph.nodes.items()}
    state: dict[str, Any] = {}
    past: dict[str, np.ndarray] = {}
    given: dict[str, list[np.ndarray]] = {name: [] for name in order}
    for t in range(len(x)):
        now: dict[str, np.ndarray] = {}
        for name in order:
            read = [now[s] for s in before[name]] + [past[s] for s in late[name] if s in past]
            value = sum(read[1:], read[0]) if read else x[t]
            now[name] = step(graph.nodes[name], kinds[name], value, state, name, dt, t if tables else None)
            given[name].append(now[name])
        past = now
    return {name: np.stack(values) for name, values in given.items()}


def step(node: Any, kind: str, x: np.ndarray, state: dict[str, Any], name: str, dt: float, t: int | None) -> np.ndarray:
    if t is not None and "scale" in node.metadata:
        a, b = (node.metadata[what][t].reshape(-1, *[1] * (x.ndim - 2)) for what in ("scale", "shift"))
        return a * x + b
    match kind:
        case "Input" | "Output":
            return x
        case "Scale":
            return x * node.scale
        case "Linear" | "Affine":
            return x @ node.weight.T.astype(np.float64) + getattr(node, "bias", 0)
        case "Conv2d":
            return convolved(x, node)
        case "Flatten":
            return x.reshape(len(x), -1)
        case "AvgPool2d" | "SumPool2d":
            high, wide = (int(size) for size in node.kernel_size)
            windows = sliding_window_view(x, (high, wide), (2, 3))[:, :, ::high, ::wide].sum((-1, -2))
            return windows / (high * wide if kind == "AvgPool2d" else 1)
        case "Threshold":
            return (x > node.threshold).astype(np.float64)
        case "Delay":
            assert (node.delay == dt).all()
            kept = state.get(name, np.zeros_like(x))
            state[name] = x
            return kept
    v = state.get(name, np.zeros_like(x))
    if kind in ("LI", "LIF"):
        v = v + dt / node.tau * (node.v_leak - v + node.r * x)
    elif kind in ("I", "IF"):
        v = v + dt * node.r * x
    else:
        raise NotImplementedError(kind)
    if kind in ("LI", "I"):
        state[name] = v
        return v
    fired = v > node.v_threshold
    state[name] = np.where(fired, node.v_reset, v)
    return fired.astype(np.float64)


def convolved(x: np.ndarray, node: Any) -> np.ndarray:
    (down, across), dilation = node.stride, node.dilation
    words = {"same": [(size - 1) // 2 for size in node.weight.shape[2:]], "valid": (0, 0)}  # where nothing is dilated
    high, wide = words[node.padding] if isinstance(node.padding, str) else node.padding
    x = np.pad(x, ((0, 0), (0, 0), (high, high), (wide, wide)))
    reach = [d * (k - 1) + 1 for d, k in zip(dilation, node.weight.shape[2:], strict=True)]
    windows = sliding_window_view(x, reach, (2, 3))[:, :, ::down, ::across, :: dilation[0], :: dilation[1]]
    y = np.einsum("bchwij,ocij->bohw", windows, node.weight.astype(np.float64), optimize=True)
    return y + node.bias[:, None, None]
