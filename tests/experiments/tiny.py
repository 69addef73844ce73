"""A whole run at the smallest size."""

import dataclasses

import torch

from bntt.experiments.build import build_data
from bntt.experiments.directory import new_run_directory
from bntt.experiments.recipe import parse_recipe
from bntt.experiments.run import train_run
from bntt.experiments.told import EpochResult
from tests.experiments.test_recipe import changed


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
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)  # as in every test, and not in fixtures of a module
    return run, [told for told in train_run(of, data, run, **options) if isinstance(told, EpochResult)]


def edited(of, **tables):
    """The recipe with other values, each table.key."""
    parts = {name: getattr(of, name).model_copy(update=values) for name, values in tables.items()}
    return of.model_copy(update=parts)
