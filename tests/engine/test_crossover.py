"""Event-driven or dense: what decides, and that a measurement is made once."""

from __future__ import annotations

import pytest
import torch

from bntt.engine import synapse as module
from bntt.engine.compute import Compute
from bntt.engine.synapse import Geometry, Spikes, Synapse, crossover, goes_by_events
from tests.kernels import needs_kernels

pytestmark = needs_kernels


def test_what_has_no_event_driven_way_goes_dense():
    x = Spikes(torch.zeros(1, 1, 8, 8, 64, dtype=torch.uint8), 1.0, 1, 0.0)
    weight = torch.zeros(64, 64, 3, 3)
    for geometry in (Geometry(dilation=(2, 2)), Geometry(groups=2)):
        synapse = Synapse(weight[:, : 64 // geometry.groups], None, geometry)
        assert goes_by_events(synapse, x, Compute(events="measured")) == (False, False)
    floats = Spikes(torch.zeros(1, 1, 8, 8, 64))
    assert goes_by_events(Synapse(weight, None, Geometry()), floats, Compute(events="fixed")) == (False, False)


SHAPES = [  # kernel, stride, padding
    ((3, 3), (2, 2), (1, 1)),
    ((1, 1), (1, 1), (1, 1)),
    ((2, 3), (3, 1), (0, 2)),
]


@pytest.mark.parametrize(("kernel", "stride", "padding"), SHAPES)
def test_strides_and_kernels_of_any_size_are_measured_like_all_others(kernel, stride, padding, monkeypatch):
    torch.use_deterministic_algorithms(False)
    monkeypatch.setattr(module, "_MEASURED", {})
    synapse = Synapse(torch.zeros(64, 64, *kernel), None, Geometry(stride, padding))
    x = Spikes(torch.zeros(1, 1, 8, 7, 64, dtype=torch.uint8), 1.0, 1, 0.1)
    assert goes_by_events(synapse, x, Compute(events="fixed")) == (True, True)
    assert min(crossover(synapse, x)) >= 0
    assert len(module._MEASURED) == 2
    module._MEASURED |= dict.fromkeys(module._MEASURED, 0.2)
    assert goes_by_events(synapse, x, Compute(events="measured")) == (True, True)


@pytest.mark.slow
def test_as_many_images_are_timed_as_the_output_is_work(monkeypatch):
    """Not as the input is: a stride of 4 leaves a sixteenth of it."""
    timed = []
    monkeypatch.setattr(module, "_seconds", lambda work: timed.append(work().shape[0]) or 1.0)
    for stride in (1, 4):
        synapse = Synapse(torch.zeros(64, 64, 1, 1), None, Geometry((stride, stride)))
        module._measure(synapse, (64, 64, 64), 1, 1.0, backward=False)
    assert timed == [16] * 3 + [256] * 3


def test_the_fixed_rule_and_what_deterministic_algorithms_ask_for():
    same = Geometry(padding=(1, 1))
    large, small = (Synapse(torch.zeros(c, c, 3, 3), None, same) for c in (64, 8))
    linear = Synapse(torch.zeros(64, 64), None, Geometry())

    def rows(synapse: Synapse, density: float) -> tuple[bool, bool]:
        channels = synapse.weight.shape[1]
        x = Spikes(torch.zeros(1, 1, 8, 8, channels, dtype=torch.uint8), 1.0, 1, density)
        return goes_by_events(synapse, x, Compute(events="fixed"))

    torch.use_deterministic_algorithms(True)
    assert [rows(large, 0.1), rows(large, 0.9), rows(small, 0.1)] == [(True, True), (False, True), (False, True)]
    torch.use_deterministic_algorithms(False)
    assert [rows(large, 0.1), rows(large, 0.9), rows(small, 0.1)] == [(True, True), (False, False), (False, False)]
    assert rows(linear, 0.1) == (True, False)


def test_the_crossover_is_measured_once_and_decides(monkeypatch):
    torch.use_deterministic_algorithms(False)
    monkeypatch.setattr(module, "_MEASURED", {})
    synapse = Synapse(torch.zeros(16, 16, 3, 3), None, Geometry(padding=(1, 1)))
    x = Spikes(torch.zeros(1, 1, 8, 8, 16, dtype=torch.uint8), 1.0, 1, 0.2)
    found = crossover(synapse, x)
    assert found[0] >= 0
    assert crossover(synapse, x) == found
    forward, weight_grad = module._MEASURED
    for measured, decision in (((0.3, 0.1), (True, False)), ((0.1, 0.3), (False, True))):
        module._MEASURED |= {forward: measured[0], weight_grad: measured[1]}
        assert goes_by_events(synapse, x, Compute(events="measured")) == decision
    assert goes_by_events(synapse, x, Compute(events="never")) == (False, False)


def test_precisions_with_one_forward_pass_share_its_crossover(monkeypatch):
    torch.use_deterministic_algorithms(False)
    monkeypatch.setattr(module, "_MEASURED", {})
    x = Spikes(torch.zeros(1, 1, 8, 8, 16, dtype=torch.uint8), 1.0, 1, 0.2)
    fp32, low = (
        crossover(Synapse(torch.zeros(16, 16, 3, 3), None, Geometry(padding=(1, 1)), precision), x)
        for precision in ("fp32", "bf16-grad")
    )
    assert fp32[0] == low[0]
    assert len(module._MEASURED) == 3
