"""A sample's random numbers depend on its index, not on the type that the index has: every consumer, every type."""

import torch

from bntt.data.augment import AUGMENTATIONS, EVENT_AUGMENTATIONS, pair
from bntt.models import mlp
from bntt.nn import ExpectedEncoder, NoisyEncoder, PoissonEncoder, SpikingClassifier
from bntt.ops.dropout import dropout_mask
from bntt.ops.random import Purpose, sample_keys
from tests.rows import each_row

TYPES = (torch.int32, torch.int16, torch.int8, torch.uint8, torch.uint16, torch.uint32, torch.uint64)
INDEX = torch.tensor([0, 1, 5, 127])
IMAGES = torch.rand(4, 1, 4, 4, generator=torch.Generator().manual_seed(0))
NAMED = {"seed": 1, "draw": 2}


def classifier(dropout=0.0):
    options = {"leak": 0.9, "threshold": 0.1, "dropout": dropout}
    net = mlp(in_features=16, hidden=(12,), num_classes=3, num_steps=3, seed=0, **options)
    return SpikingClassifier(PoissonEncoder(3, mean=[0.5], std=[0.25]), net)


CONSUMERS = {
    "keys": lambda index: sample_keys(1, Purpose.SPIKES, 2, index),
    "dropout mask": lambda index: dropout_mask(0.5, (8,), 0, index=index, **NAMED),
    "poisson": lambda index: PoissonEncoder(3)(IMAGES, index=index, **NAMED),
    "noisy": lambda index: NoisyEncoder(ExpectedEncoder(3), 0.5, seed=3)(IMAGES, index=index, **NAMED),
    "classifier with dropout": lambda index: classifier(dropout=0.5).train()(IMAGES, index=index, **NAMED),
    "advance": lambda index: classifier().eval().advance(IMAGES, steps=2, index=index, **NAMED)[0],
    "trace": lambda index: classifier().trace(IMAGES, index=index, **NAMED).logits,
    **{name: lambda index, of=of: of(IMAGES, index=index, **NAMED) for name, of in AUGMENTATIONS.items()},
    **{
        f"events {name}": lambda index, of=of: of(IMAGES.unsqueeze(1), index=index, **NAMED)
        for name, of in EVENT_AUGMENTATIONS.items()
    },
    "mix": lambda index: pair(count=10, alpha=1.0, index=index, **NAMED).partner,
}


@each_row("dtype", TYPES)
@each_row("consumer", CONSUMERS.values())
def test_the_type_of_an_index_changes_nothing(consumer, dtype):
    assert torch.equal(consumer(INDEX.to(dtype)), consumer(INDEX))
    assert any(not torch.equal(consumer(INDEX + k), consumer(INDEX)) for k in range(1, 9)), "it depends on the index"


@each_row("dtype", TYPES[:4])
def test_a_state_may_be_named_again_in_another_type(dtype):
    model = classifier().eval()
    _, state = model.advance(IMAGES, steps=1, index=INDEX.to(dtype), **NAMED)
    assert state.noise.index.dtype == torch.int64
    model.advance(IMAGES, state, steps=1, index=INDEX)
