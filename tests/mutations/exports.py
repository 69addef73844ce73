"""Faults of networks that leave: a bundle's arrays, a graph's neurons, and what is constant in time."""

from __future__ import annotations

from tests.mutations.mutation import Mutation

READING, GRAPH = ("tests/deploy/nir/test_reading.py",), ("tests/deploy/nir/test_graph.py",)

EXPORTS = [
    Mutation(
        "an array in another order of memory is written turned",
        "deploy/bundle.py",
        "name: np.ascontiguousarray(values) for",
        "name: values for",
        ("tests/deploy/test_bundle.py",),
    ),
    Mutation(
        "every batch has the noise of the first",
        "deploy/from_torch.py",
        "np.arange(count, count + len(x))",
        "np.arange(len(x))",
        ("tests/deploy/test_constant.py",),
    ),
    Mutation(
        "a leak is read by another step than dt",
        "deploy/nir/graph.py",
        "np.maximum(0.0, 1 - dt / tau)",
        "np.maximum(0.0, 1 - 1e-4 / tau)",
        READING,
    ),
    Mutation(
        "what fires before integration is reset by λ θ",
        "deploy/nir/graph.py",
        'threshold if neurons.rule == "before" else leak * threshold',
        "leak * threshold",
        GRAPH,
    ),
    Mutation(
        "a sum of spikes counts as their mean",
        "deploy/nir/graph.py",
        "float(math.prod(size)) if sums and not largest else 1.0",
        "1.0",
        READING,
    ),
]
