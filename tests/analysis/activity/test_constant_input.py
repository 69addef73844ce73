"""Steps whose input never varies: which they are, and what a sample that differs there does, held to a loop by hand."""

import pytest
import torch

from bntt.analysis import surprises, unvarying
from bntt.models import mlp
from bntt.nn import SequenceEncoder, SpikingClassifier
from tests.kernels import choose

T = 5
MEAN, STD = 0.5, 0.25


def sequences(rng, count=8):
    """Steps 0 and 3 are the same for all; step 2 in one of its two features alone."""
    x = torch.rand(count, T, 2, generator=rng)
    x[:, 0], x[:, 3], x[:, 2, 1] = torch.tensor([0.0, 0.25]), 1.0, 0.5
    return x


def labelled(x, size=3):
    return [(part, torch.zeros(len(part), dtype=torch.int64)) for part in x.split(size)]


def built(norm="bntt", backend="auto"):
    net = mlp(in_features=2, hidden=(6, 4), num_classes=3, num_steps=T, leak=0.9, norm=norm, seed=1)
    choose(net, backend=backend)
    return SpikingClassifier(SequenceEncoder(T, mean=MEAN, std=STD), net)


def test_a_step_varies_where_any_feature_of_any_sample_does(rng):
    x = sequences(rng)
    found = unvarying(built().encoder, labelled(x))
    assert (found.which, found.samples) == ((0, 3), 8)
    assert torch.allclose(found.usual[3], torch.full((2,), 2.0))
    x[7, 3, 1] = 0.99
    assert unvarying(built().encoder, labelled(x)).which == (0,)


def test_no_samples():
    with pytest.raises(ValueError, match="there are no samples whose input could vary"):
        unvarying(SequenceEncoder(T), [])


@pytest.mark.parametrize("backend", ["auto", "reference"])
def test_the_first_that_differs_by_hand(backend, rng):
    """Sample 4 is the first; it differs at t=3, whose running variance is 0 and γ 2: a gain of 2 / √ε = 200."""
    model = built(backend=backend)
    first = model.network.blocks["fc1"]
    with torch.no_grad():
        first.norm.running_var[3], first.norm.gamma[3, 1] = 0.0, -2.0
    still, held_out = unvarying(model.encoder, labelled(sequences(rng))), sequences(rng, 7)
    held_out[4, 3, 0], held_out[6, 0, 1], held_out[5, 1] = 0.9, 0.3, 0.0
    model.train()
    found = surprises(model, still, labelled(held_out))
    assert all(part.training for part in model.modules())
    assert (found.samples, found.differ) == (7, 2)
    said = found.first
    assert (said.index, said.step) == (4, 3)
    assert said.gain == pytest.approx(200, rel=1e-4)
    model.eval()
    for which, x in enumerate((held_out[4:5], held_out[4:5].clone())):
        if which:
            x[0, 3] = 1.0
        drive = (x.transpose(0, 1) - MEAN) / STD
        current = first.synapse[1](drive)[3, 0] * first.norm.gamma[3] / (first.norm.running_var[3] + 1e-4).sqrt()
        assert said.current[which] == pytest.approx(float(current.detach().max()), rel=1e-4)
        trace = model.trace(x)
        assert said.spikes[which] == sum(float(counts.sum()) for counts in trace.spikes.values())
        assert said.answer[which] == int(trace.logits[-1, 0].argmax())
    assert said.current[0] != pytest.approx(said.current[1])


def test_nothing_differs(rng):
    model = built()
    still = unvarying(model.encoder, labelled(sequences(rng)))
    found = surprises(model, still, labelled(sequences(rng, 5)))
    assert (found.samples, found.differ, found.first) == (5, 0, None)


def test_the_gain_is_that_of_running_statistics(rng):
    for norm, gain in (("layer", None), ("bn", 1.0), ("tab", 1.0)):
        model, held_out = built(norm), sequences(rng)
        held_out[0, 0] = 1.0
        found = surprises(model, unvarying(model.encoder, labelled(sequences(rng))), labelled(held_out))
        assert found.first.gain == (None if gain is None else pytest.approx(gain, rel=1e-3)), norm
