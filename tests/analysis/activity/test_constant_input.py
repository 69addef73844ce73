"""Steps whose input never varies, and samples that differ there."""

import pytest
import torch

from bntt.analysis import surprises, unvarying
from bntt.models import mlp
from bntt.nn import SequenceEncoder, SpikingClassifier

T = 5


def sequences(rng, count=8):
    """Steps 0 and 3 are the same for all; step 2 in one of its two features alone."""
    x = torch.rand(count, T, 2, generator=rng)
    x[:, 0], x[:, 3], x[:, 2, 1] = torch.tensor([0.0, 0.25]), 1.0, 0.5
    return x


def labelled(x):
    return [(part, torch.zeros(len(part), dtype=torch.int64)) for part in x.split(3)]


def test_a_step_varies_where_any_feature_of_any_sample_does_and_samples_that_differ_are_counted(rng):
    encoder, x = SequenceEncoder(T, mean=0.5, std=0.25), sequences(rng)
    still = unvarying(encoder, labelled(x))
    assert (still.which, still.samples) == ((0, 3), 8)
    assert torch.allclose(still.usual[3], torch.full((2,), 2.0))
    x[7, 3, 1] = 0.99
    assert unvarying(encoder, labelled(x)).which == (0,)
    with pytest.raises(ValueError, match="no samples"):
        unvarying(encoder, [])
    model, held_out = SpikingClassifier(encoder, mlp(in_features=2, num_steps=T)), sequences(rng, 7)
    assert surprises(model, still, labelled(held_out)).differ == 0
    held_out[4, 3, 0], held_out[6, 0, 1], held_out[5, 1] = 0.9, 0.3, 0.0
    found = surprises(model, still, labelled(held_out))
    assert (found.steps, found.training_samples, found.samples, found.differ) == ((0, 3), 8, 7, 2)
