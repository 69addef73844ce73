"""How a run works: what depends on whose kernels they are."""

import torch

from bntt.ops import execution
from bntt.ops.event_conv import Geometry, Spikes, Synapse
from bntt.ops.execution import How


def test_a_gpu_goes_dense_takes_all_steps_at_once_and_is_asked_for_no_number(monkeypatch):
    monkeypatch.setattr(execution, "CHUNK_BYTES", 4 * 64 * 2)
    cpu, gpu = How(events="fixed"), How(events="fixed", kernels="triton")
    counts, fired = torch.zeros(6, 1, 1, 1, 64, dtype=torch.uint8), torch.full((6, 64), 2)
    synapse, x = Synapse(torch.zeros(64, 64), None, Geometry()), Spikes(counts, density=0.01)
    assert (cpu.by_events(synapse, x)[0], gpu.by_events(synapse, x)) == (True, (False, False))
    assert (cpu.chunk_steps(counts), gpu.chunk_steps(counts)) == (2, 6)
    assert (cpu.density(fired, counts), gpu.density(fired.to("meta"), counts)) == (2.0, 1.0)
