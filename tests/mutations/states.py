"""Faults of states, and of batches in parts."""

from __future__ import annotations

from tests.mutations.mutation import ADVANCE, LEASES, Mutation

PROCESSES = [
    Mutation(
        "reduce is forgotten in the backward pass",
        "engine/graph/layer.py",
        "sums[:2] if compute.reduce is None else compute.reduce(sums[:2].clone())",
        "sums[:2]",
        ("tests/engine/test_reduce.py",),
    ),
    Mutation(
        "every process's loss counts alike, however many samples it has",
        "training/session.py",
        "share = len(part[1]) / total",
        "share = 1 / (processes.count * len(parts))",
        ("tests/training/test_session.py", "tests/training/test_distributed.py"),
    ),
    Mutation(
        "statistics of the process's own part",
        "training/session.py",
        "compute, reduce=self.processes.reduce)",
        "compute, reduce=None)",
        ("tests/training/test_distributed.py",),
    ),
]

STATES = [
    Mutation(
        "the membrane of another sample",
        "nn/call.py",
        "    return part[keep]\n",
        "    return part[keep].roll(1, 0)\n",
        ADVANCE,
    ),
    Mutation(
        "γ of the first steps, whatever the state",
        "nn/fuse.py",
        "which = slice(steps.start, steps.stop)",
        "which = slice(0, len(steps))",
        ADVANCE,
    ),
    Mutation(
        "statistics of the first steps take the batch in",
        "nn/network/advance.py",
        "steps = call.steps(x)",
        "steps = slice(0, len(x))",
        ADVANCE,
    ),
    Mutation(
        "the state forgets a step",
        "nn/network/spiking_network.py",
        "steps=before.steps + len(some),",
        "steps=before.steps + len(some) - 1,",
        ADVANCE,
    ),
    Mutation(
        "no gradient comes from the last membranes",
        "engine/graph/stack.py",
        "        if membrane is not None:\n            membrane = membrane.contiguous().clone()\n",
        "        if membrane is not None and not len(membrane):\n"
        "            membrane = membrane.contiguous().clone()\n",
        ADVANCE,
    ),
    Mutation(
        "the membranes that a state holds are the workspace's",
        "engine/graph/stack.py",
        "lambda membrane: lease.keep(membrane).detach()",
        "Tensor.detach",
        LEASES,
    ),
    Mutation(
        "without gradients too",
        "engine/graph/stack.py",
        "tuple(_changed(end, lease.keep, Tensor.detach) for end in starts)",
        "tuple(starts)",
        ADVANCE,
    ),
]
