"""Spikes that a pass is asked to count, in training as in evaluation, fused or plain."""

import pytest
import torch

from bntt.nn import Measure, PoissonEncoder, SpikingClassifier, classifier
from tests.kernels import choose, needs_kernels
from tests.nn.networks import small, spikes_of


@needs_kernels
@pytest.mark.parametrize("training", [True, False])
def test_fused_and_plain_count_the_same_before_the_pool(training, rng):
    x, found = spikes_of(4, 3, rng), []
    for backend in ("cpu", "reference"):
        net = small(4).train(training)
        choose(net, backend=backend)
        _, state = net.advance(x, measure=Measure(spikes=True))
        found.append(state.measured)
    assert found[0].neurons == found[1].neurons == {"conv1": 21 * 121, "conv2": 40 * 25, "conv3": 18 * 4, "fc1": 33}
    for name, counts in found[1].spikes.items():
        assert counts.dtype == torch.float64
        assert torch.equal(found[0].spikes[name], counts)
        assert counts.sum() > 0 or name == "fc1"


def test_nothing_is_measured_unless_it_is_asked_for(rng):
    _, state = small(4).advance(spikes_of(4, 3, rng))
    assert state.measured is None
    _, state = small(4).eval().advance(spikes_of(4, 3, rng)[:1], measure=Measure(spikes=True))
    assert all(len(counts) == 1 for counts in state.measured.spikes.values())


@needs_kernels
def test_a_long_trace_draws_its_spikes_in_parts(rng, monkeypatch):
    """Never more than so many steps at a time, and the same spikes as all at once."""
    model = SpikingClassifier(PoissonEncoder(7, mean=[0.5, 0.4], std=[0.2, 0.2]), small(7))
    images, drawn, real = torch.rand(3, 2, 11, 11, generator=rng), [], PoissonEncoder.spikes
    whole = model.trace(images, seed=5)

    def watched(self, x, **options):
        drawn.append(options["steps"])
        return real(self, x, **options)

    monkeypatch.setattr(classifier, "STEPS_AT_ONCE", 3)
    monkeypatch.setattr(PoissonEncoder, "spikes", watched)
    parts = model.trace(images, seed=5)
    assert drawn == [range(1), range(3), range(3, 6), range(6, 7)]
    assert torch.allclose(parts.logits, whole.logits, atol=1e-6)
    assert all(torch.equal(parts.spikes[name], whole.spikes[name]) for name in whole.spikes)
