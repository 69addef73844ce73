"""Event-driven or dense: what decides, and that a measurement is made once."""

from __future__ import annotations

import pytest
import torch

from bntt.engine import synapse as module
from bntt.engine.compute import Compute
from bntt.engine.synapse import Geometry, Spikes, Synapse, crossover, goes_by_events
from tests.kernels import needs_kernels
from tests.rows import each_row

pytestmark = needs_kernels
PLACE = Geometry(padding=(1, 1))


def test_what_has_no_event_driven_way_goes_dense():
    x = Spikes(torch.zeros(1, 1, 8, 8, 64, dtype=torch.uint8), 1.0, 1, 0.0)
    weight = torch.zeros(64, 64, 3, 3)
    for geometry in (Geometry(dilation=(2, 2)), Geometry(groups=2)):
        synapse = Synapse(weight[:, : 64 // geometry.groups], None, geometry)
        assert goes_by_events(synapse, x, Compute(events="measured")) == (False, False)
    floats = Spikes(torch.zeros(1, 1, 8, 8, 64))
    assert goes_by_events(Synapse(weight, None, Geometry()), floats, Compute(events="fixed")) == (False, False)


@pytest.mark.slow
def test_as_many_images_are_timed_as_the_output_is_work(monkeypatch):
    """Not as the input is: a stride of 4 leaves a sixteenth of it."""
    timed = []
    monkeypatch.setattr(module, "_seconds", lambda work: timed.append(work().shape[0]) or 1.0)
    for stride in (1, 4):
        synapse = Synapse(torch.zeros(64, 64, 1, 1), None, Geometry((stride, stride)))
        module._measure(synapse, (64, 64, 64), 1, 1.0, backward=False)
    assert timed == [16] * 3 + [256] * 3


@each_row("deterministic, below", [(True, (0.5, 2.0)), (False, (0.5, 0.5))])
def test_the_fixed_rule_and_what_deterministic_algorithms_ask_for(deterministic, below):
    """Half of an event a place, forward and for the weight gradient; deterministic gradients always go by events."""
    torch.use_deterministic_algorithms(deterministic)

    def ways(channels: int, density: float, *kernel: int) -> tuple[bool, bool]:
        synapse = Synapse(torch.zeros(channels, channels, *kernel), None, PLACE if kernel else Geometry())
        x = Spikes(torch.zeros(1, 1, 8, 8, channels, dtype=torch.uint8), 1.0, 1, density)
        return goes_by_events(synapse, x, Compute(events="fixed"))

    for density in (0.1, 0.9):
        assert ways(64, density, 3, 3) == (density < below[0], density < below[1])
        assert ways(8, density, 3, 3) == (False, deterministic), "too small"
    assert ways(64, 0.1) == (True, deterministic), "a fully connected layer's weight gradient goes dense"


@each_row(
    "kernel, stride, padding",
    [((3, 3), (1, 1), (1, 1)), ((3, 3), (2, 2), (1, 1)), ((1, 1), (1, 1), (1, 1)), ((2, 3), (3, 1), (0, 2))],
)
def test_the_crossover_is_measured_once_and_decides(kernel, stride, padding, monkeypatch):
    torch.use_deterministic_algorithms(False)
    monkeypatch.setattr(module, "_MEASURED", {})
    synapse = Synapse(torch.zeros(16, 16, *kernel), None, Geometry(stride, padding))
    x = Spikes(torch.zeros(1, 1, 8, 7, 16, dtype=torch.uint8), 1.0, 1, 0.2)
    found = crossover(synapse, x)
    assert min(found) >= 0
    assert crossover(synapse, x) == found
    forward, weight_grad = module._MEASURED
    for measured, decision in (((0.3, 0.1), (True, False)), ((0.1, 0.3), (False, True))):
        module._MEASURED |= {forward: measured[0], weight_grad: measured[1]}
        assert goes_by_events(synapse, x, Compute(events="measured")) == decision
    assert goes_by_events(synapse, x, Compute(events="never")) == (False, False)
    low = Synapse(synapse.weight, None, synapse.geometry, "bf16-grad")
    assert crossover(low, x)[0] == 0.1, "precisions with one forward pass share its crossover"
    assert len(module._MEASURED) == 3
