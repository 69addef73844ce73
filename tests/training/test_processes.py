"""One process alone answers what a training asks of many; real ones are in test_distributed.py."""

import pickle
from copy import deepcopy

import pytest
import torch
from torch import nn

from bntt.data import SampleLoader
from bntt.engine.compute import Compute
from bntt.io.checkpoint import CheckpointError
from bntt.training import Method, Session, updates
from bntt.training.processes import Processes, _is_of_the_connection, _Sum
from tests.rows import each_row
from tests.training.test_fit import build, data


class OneOfTwo(Processes):
    """Whose other process has the same numbers."""

    count = 2

    def total(self, values):
        return 2 * values


class WithoutSamples(OneOfTwo):
    def total(self, values):
        return values + torch.tensor([5.0, 1.0], dtype=torch.float64)


def test_alone_there_is_nobody_to_ask():
    alone, layer = Processes(), nn.Identity()
    assert (alone.first, alone.device, alone.reduce) == (True, "cpu", None)
    assert alone.averaging(layer, all_learn=True) is layer
    with alone.waiting(layer):
        pass
    with pytest.raises(ValueError, match="why"):
        alone.decided(lambda: int("why"))


def test_numbers_are_those_of_all():
    loader = SampleLoader(data(), 10, shuffle=True, share=(0, 2))
    (record,) = [
        told for told, _ in zip(updates(build(), loader, epochs=1, processes=OneOfTwo()), range(1), strict=False)
    ]
    alone = next(updates(build(), SampleLoader(data(), 10, shuffle=True, share=(0, 2)), epochs=1))
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


def test_a_process_without_a_sample_ends_all():
    loader = SampleLoader(data(), 10, share=(0, 2))
    session = Session(build(), loader, epochs=1, method=Method(), processes=WithoutSamples())
    with pytest.raises(ValueError, match="a batch has no sample for 1 of 2 processes: take larger ones"):
        next(session.records())


def test_a_training_that_is_told_of_no_others_says_so(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.warns(UserWarning, match="there are 2 processes, but this training was given none"):
        Session(build(), SampleLoader(data(), 10, share=(0, 2)), epochs=1)
    Session(build(), SampleLoader(data(), 10, share=(0, 2)), epochs=1, processes=OneOfTwo())


def test_an_error_that_names_an_igloo_is_not_of_the_connection():
    assert _is_of_the_connection(RuntimeError("[../gloo/transport/tcp/pair.cc:534] Connection closed by peer"))
    assert _is_of_the_connection(torch.distributed.DistError("timed out"))
    assert not _is_of_the_connection(CheckpointError("runs/igloo is not a run directory"))
