"""A run outside: what its description computes is what its network does."""

import numpy as np
import pytest
import torch
from torch import nn

import bntt
from bntt.analysis.measurement import ArgumentError
from bntt.data import FrameSet, SampleLoader, SequenceSet
from bntt.deploy import Runtime
from bntt.runs.exported import describe_run
from bntt.runs.measure import measure
from bntt.runs.recipe.build import facts_of
from tests.training.test_fit import data


@torch.random.fork_rng()  # PyTorch's layers draw their start values
def test_networks_put_together_for_sequences_and_features_are_described(tmp_path, rng):
    torch.manual_seed(1)  # a test before this one may have seeded it otherwise, with silent networks
    rows = SequenceSet(data(12), "rows")
    features = FrameSet(torch.rand(12, 4, 5, generator=rng), torch.arange(12) % 3, ("a", "b", "c"))
    count = bntt.nn.SpikeCount(nn.Linear(6, 3), bntt.LIF(threshold=0.1))
    kinds = (rows, bntt.SequenceEncoder(4), bntt.Readout(nn.Linear(6, 3))), (features, bntt.FrameEncoder(4), count)
    for number, (samples, encoder, readout) in enumerate(kinds):
        block = bntt.SpikingBlock(nn.Linear(4 + number, 6), bntt.BNTT(6, num_steps=4), bntt.LIF())
        model = bntt.SpikingClassifier(encoder, bntt.SpikingNetwork({"fc1": block}, readout))
        run, loader = tmp_path / str(number), SampleLoader(samples, 6)
        bntt.fit(model, loader, epochs=1, validation=loader, test=loader, directory=run)
        opened, x = bntt.load_run(run, model=model), samples.batch(torch.arange(12))
        found = Runtime(describe_run(opened), "float64").run(x.double().numpy())
        expected = model.double().eval()(x.double()).detach().numpy()
        assert expected.any()
        assert np.abs(found - expected).max() < 1e-12
    with pytest.raises(ArgumentError, match="SpikeCount"):
        measure("energy", bntt.load_run(run, model=model.float()))
    block.lif = bntt.nn.Rectifier()
    assert facts_of(opened.recipe, model).is_ann
