"""One process alone answers what a training asks of many; real ones are in test_distributed.py."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

from bntt import fit
from bntt.analysis import evaluate
from bntt.data import SampleLoader
from bntt.engine.compute import Compute
from bntt.io.checkpoint import CheckpointError
from bntt.models import mlp
from bntt.nn import DirectEncoder
from bntt.training import Method, Session, balance, convert, recalibrate, updates
from bntt.training.processes import Processes, _is_of_the_connection, _Sum
from tests.rows import each_row
from tests.training.test_fit import build, data


class OneOfTwo(Processes):
    """Whose other process has the same numbers."""

    count = 2

    def all_reduce_sum(self, values):
        return 2 * values


class Unheard(Processes):
    """One of two that hears nothing of the other."""

    count = 2


class WithoutSamples(OneOfTwo):
    def all_reduce_sum(self, values):
        return values + torch.tensor([5.0, 1.0], dtype=torch.float64)


def test_alone_there_is_nobody_to_ask():
    alone, layer = Processes(), nn.Identity()
    assert (alone.is_rank0, alone.device, alone.reduce) == (True, "cpu", None)
    assert alone.wrap_ddp(layer, all_learn=True) is layer
    with alone.no_sync(layer):
        pass
    with pytest.raises(ValueError, match="why"):
        alone.on_rank0(lambda: int("why"))


def test_numbers_are_those_of_all():
    loader = SampleLoader(data(), 10, shuffle=True, share=(0, 2))
    (record,) = [
        told for told, _ in zip(updates(build(), loader, epochs=1, processes=OneOfTwo()), range(1), strict=False)
    ]
    alone = next(updates(build(), loader, epochs=1, processes=Unheard()))
    assert (record.samples, record.correct) == (2 * alone.samples, 2 * alone.correct)
    assert record.loss == pytest.approx(alone.loss)


def test_copies_of_a_network_share_its_processes_and_a_pickled_one_is_alone():
    model = build()
    model.network.compute = Compute(reduce=_Sum({}))
    assert deepcopy(model).network.compute.reduce is model.network.compute.reduce
    assert pickle.loads(pickle.dumps(model)).network.compute.reduce is None


@each_row("share", [(0, 1), (1, 2)])
def test_a_loader_that_does_not_share_is_refused(share):
    loader = SampleLoader(data(), 10, share=share)
    with pytest.raises(ValueError, match=r"process 0 of 2 needs a loader of its part of every batch"):
        Session(build(), loader, epochs=1, processes=OneOfTwo())


def test_one_process_needs_a_loader_of_all_samples(tmp_path):
    half, whole = (SampleLoader(data(), 10, share=share) for share in ((0, 2), (0, 1)))
    for train, held_out, test in ((half, whole, None), (whole, half, None), (whole, whole, half)):
        with pytest.raises(ValueError, match=r"process 0 of 1 needs a loader .* its share is \(0, 2\)"):
            fit(build(), train, epochs=1, validation=held_out, test=test, directory=tmp_path / "run")
    encoder, ann = DirectEncoder(4), convert(mlp(in_features=16, num_steps=1, norm="none", neuron="relu"))
    for refused in (lambda: recalibrate(build(), half), lambda: balance(ann, encoder, half)):
        with pytest.raises(ValueError, match=r"its share is \(0, 2\)"):
            refused()
    with pytest.raises(ValueError, match=r"only the share \(0, 2\) of its samples"):
        evaluate(build(), half)
    assert evaluate(build(), half, draws=1, part=True).accuracy.samples == 15
    model = build()
    model.network.compute = Compute(reduce=lambda sums: 2 * sums)
    assert recalibrate(model, half) == 15
    assert not list(tmp_path.iterdir())


def test_a_process_without_a_sample_ends_all():
    loader = SampleLoader(data(), 10, share=(0, 2))
    session = Session(build(), loader, epochs=1, method=Method(), processes=WithoutSamples())
    with pytest.raises(ValueError, match="a batch has no sample for 1 of 2 processes: take larger ones"):
        next(session.records())


def test_a_training_that_is_told_of_no_others_says_so(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.warns(UserWarning, match="there are 2 processes, but this training was given none"):
        Session(build(), SampleLoader(data(), 10), epochs=1)
    Session(build(), SampleLoader(data(), 10, share=(0, 2)), epochs=1, processes=OneOfTwo())


def test_an_error_that_names_an_igloo_is_not_of_the_connection():
    assert _is_of_the_connection(RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"))
    assert _is_of_the_connection(torch.distributed.DistError("timed out"))
    assert not _is_of_the_connection(CheckpointError("runs/igloo is not a run directory"))
