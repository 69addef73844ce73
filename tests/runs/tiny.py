"""A whole run at the smallest size."""

import dataclasses
import json
import signal

import pytest
import torch

from bntt.io.checkpoint import read_checkpoint
from bntt.runs.directory import new_run_directory
from bntt.runs.open_run import load_run
from bntt.runs.recipe.build import build_data
from bntt.runs.recipe.file import parse_recipe
from bntt.runs.training.epoch_log import EpochResult, Notice
from bntt.runs.training.requests import Interrupted, Requests
from bntt.runs.training.train import train_run
from tests.checking import THREADS
from tests.runs.recipe.test_schema import changed
from tests.trained import copied_run


def recipe(**tables):
    smallest = {
        "data": {"validation": 0.01},
        "network": {"width": 0.125, "num_steps": 3},
        "train": {"epochs": 3, "batch_size": 20},
        "evaluate": {"draws": 2},
        "checkpoint": {"every_minutes": 1e6, "last": 3},
    }
    return parse_recipe(
        changed(**{name: {**smallest.get(name, {}), **tables.get(name, {})} for name in smallest | tables})
    )


def parts(of):
    """Sixty images of each split."""
    data, few = build_data(of), torch.arange(60)
    return dataclasses.replace(data, train=data.train.select(few), test=data.test.select(few))


def trained(of, data, folder, **options):
    """A run to the end, and its epochs."""
    run = new_run_directory("tiny", folder)
    torch.set_num_threads(THREADS)
    torch.use_deterministic_algorithms(True)  # as in every test, and not in fixtures of a module
    return run, [told for told in train_run(of, data, run, **options) if isinstance(told, EpochResult)]


def opened_run(folder, **network):
    """A copy of the trained run that tests share, opened again."""
    return load_run(copied_run(folder, **({"network": network} if network else {})).path)


def edited(of, **tables):
    """The recipe with other values, each table.key."""
    parts = {name: dataclasses.replace(getattr(of, name), **values) for name, values in tables.items()}
    return dataclasses.replace(of, **parts)


def untimed(epochs):
    return [{**(epoch if isinstance(epoch, dict) else dataclasses.asdict(epoch)), "seconds": 0} for epoch in epochs]


def lines(run):
    return [json.loads(line) for line in run.metrics.read_text().splitlines()]


def final(run):
    """Everything that the last checkpoint and the best hold, but for the seconds."""
    last, best = run.checkpoints.latest().checkpoint, read_checkpoint(run.best)
    facts = {**last.facts, "seconds": 0, "lines": untimed(last.facts["lines"])}
    return last.tensors, facts, best.tensors, best.facts


def assert_same(one, other):
    for a, b in zip(final(one), final(other), strict=True):
        assert a.keys() == b.keys()
        for key, value in a.items():
            assert torch.equal(value, b[key]) if isinstance(value, torch.Tensor) else value == b[key], key
    assert untimed(lines(one)) == untimed(lines(other))


def stopped(recipe, data, tmp_path, records=5):
    """The directory of a run that stopped after some records: in its second epoch, by default."""
    folder = new_run_directory("stopped", tmp_path)
    until(recipe, data, folder, records=records)
    return folder


def until(recipe, data, folder, *, records, **options):
    """Go on until so many updates and epochs were told, then wish to stop."""
    requests = Requests()

    def wishing():
        number = 0
        for told in train_run(recipe, data, folder, requests=requests, **options):
            number += not isinstance(told, Notice)
            if number == records:
                requests.stop = signal.SIGTERM
            yield told

    with pytest.raises(Interrupted):
        list(wishing())
