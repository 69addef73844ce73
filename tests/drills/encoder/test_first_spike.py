"""An encoder of one's own takes three files, and works wherever an encoder is named."""

from pathlib import Path

import pytest
import torch

from bntt.analysis.exit.gamma import gamma_profile
from bntt.models import mlp
from bntt.nn import ENCODERS, SpikingClassifier
from tests.drills import everywhere


@pytest.fixture(autouse=True)
def FirstSpike():
    """The class, as its module registers it; nobody else sees it."""
    from tests.drills.encoder.first_spike import FirstSpike

    if "first-spike" not in ENCODERS:  # a module registers once, when it is imported first
        ENCODERS("first-spike")(FirstSpike)
    yield FirstSpike
    ENCODERS.remove("first-spike")


def test_it_takes_three_files():
    assert everywhere.has_only(Path(__file__).parent, {"first_spike.py", "README.md", "test_first_spike.py"})


def test_it_is_trained_by_name_and_measured(tmp_path, capsys, FirstSpike):
    run = everywhere.trained_with(tmp_path, encoder={"name": "first-spike"})
    assert isinstance(run.model.encoder, FirstSpike)
    assert (run.facts.is_random, run.facts.draws) == (False, 1)
    assert gamma_profile(run.model.network).magnitude
    images = torch.rand(4, 1, 28, 28, generator=torch.Generator().manual_seed(0))
    assert run.model.trace(images).spikes
    assert "first-spike" in everywhere.listed("encoders", capsys)


def test_every_pixel_fires_once_however_the_steps_are_cut(rng, FirstSpike):
    x = torch.rand(2, 1, 3, 3, generator=rng)
    whole = FirstSpike(5)(x)
    assert torch.equal(whole.sum(0), torch.ones_like(x))
    assert torch.equal(torch.cat([FirstSpike(5)(x, steps=range(t, t + 1)) for t in range(5)]), whole)
    model = SpikingClassifier(FirstSpike(5), mlp(in_features=9, hidden=(4,), num_steps=5)).eval()
    _, state = model.advance(x, steps=2)
    assert torch.allclose(model.advance(x, state, steps=3)[0][-1], model(x), atol=1e-6)
