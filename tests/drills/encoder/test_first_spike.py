"""An encoder of one's own takes three files, and works wherever an encoder is named."""

from pathlib import Path

import pytest
import torch

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
    ENCODERS.pop("first-spike")


def test_it_takes_three_files():
    everywhere.takes(Path(__file__).parent, "first-spike", {"first_spike.py", "README.md", "test_first_spike.py"})


def test_it_is_trained_by_name_and_measured(tmp_path, capsys, FirstSpike):
    run = everywhere.trained_with(tmp_path, encoder={"name": "first-spike"})
    assert isinstance(run.model.encoder, FirstSpike)
    assert (run.facts.is_random, run.facts.draws) == (False, 1)
    everywhere.measured_by_name(run, "encoders", "first-spike", capsys)


def test_every_pixel_fires_once_however_the_steps_are_cut(rng, FirstSpike):
    x = torch.rand(2, 1, 3, 3, generator=rng)
    whole = FirstSpike(5)(x)
    assert torch.equal(whole.sum(0), torch.ones_like(x))
    assert torch.equal(torch.cat([FirstSpike(5)(x, steps=range(t, t + 1)) for t in range(5)]), whole)
    model = SpikingClassifier(FirstSpike(5), mlp(in_features=9, hidden=(4,), num_steps=5)).eval()
    _, state = model.advance(x, steps=2)
    assert torch.allclose(model.advance(x, state, steps=3)[0][-1], model(x), atol=1e-6)
