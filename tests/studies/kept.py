"""Runs as a study finds them: directories with the files of a training, made without one."""

import json
from contextlib import contextmanager
from pathlib import Path

import torch
from joblib import Parallel

from bntt.data.prepared import manifest_of
from bntt.data.samples import DATASETS
from bntt.io.checkpoint import write_checkpoint
from bntt.runs.recipe.build import facts_of
from bntt.runs.recipe.file import dump_recipe, load_recipe
from bntt.studies.make_runs import Engine

STUDY = {
    "title": "Two norms",
    "about": "Which is better.",
    "settings": {"small": {"recipe": "demo", "set": ["network.width=0.125", "train.epochs=1"], "seeds": [0, 1]}},
    "runs": [
        {"name": "bntt", "label": "BNTT", "measures": ["activity"]},
        {"name": "none", "set": ["network.norm=none"]},
    ],
    "table": [{"key": "acc", "metric": "accuracy"}, {"key": "spikes", "metric": "spikes"}],
    "figures": [{"kind": "bars", "title": "Accuracy", "alt": "Bars.", "column": "acc"}],
    "claims": [{"says": "BNTT wins", "rule": "better", "of": "acc", "run": "bntt", "than": ["none"]}],
}
"""A small study as a TOML file says it."""


def study(**changed):
    """The study with other tables."""
    return {key: value for key, value in {**json.loads(json.dumps(STUDY)), **changed}.items() if value is not None}


def of_runs(*runs, **changed):
    """The study with these runs, without table, pictures and claims."""
    return study(**{"runs": list(runs), "table": None, "figures": None, "claims": None, **changed})


def evaluation(accuracy=0.8, **more):
    """What an evaluation writes."""
    found = {"dataset": "made", "split": "test", "images": 10, "draws": 1, "accuracy": accuracy}
    found |= {"accuracy_sd_over_draws": None, "accuracy_wilson_95": [0.1, 0.9], "accuracy_per_draw": [accuracy]}
    found |= {"accuracy_over_time": [0.1, accuracy], "spikes_per_image": 10.0, "seconds": 2.0}
    return found | {"gamma_magnitude": {}, "gamma_signed": {}, "firing_rate": {}} | more


class Inline(Engine):
    """The engine in this process."""

    @contextmanager
    def parallel(self):
        yield Parallel(1, return_as="generator_unordered")


def fake_pool(folder: Path):
    """A pool with what :mod:`tests.studies.fake_bntt` makes runs from beside it."""
    checkpoint(folder / "made.safetensors")
    (folder / "made.json").write_text(json.dumps({"sums": bundled_sums(), "evaluation": evaluation(0.5)}))
    (folder / "pool").mkdir(exist_ok=True)
    return folder / "pool"


def checkpoint(path: Path, value=1 / 3):
    """A checkpoint with one weight, one γ, and the folder of the data in its facts."""
    tensors = {"model.network.fc.weight": torch.full((2, 2), value), "model.network.norm.gamma": torch.ones(2, 2) / 3}
    write_checkpoint(path, tensors, {"epoch": 0, "recipe": {"data": {"root": "/home/me/cifar10"}}})


def bundled_sums(name="fashion-mnist-bundled"):
    return manifest_of(DATASETS[name].make()._asdict(), name).sha256


def epochs(place: Path, count, *, of=10):
    """What a training of so many epochs, each of so many updates, wrote of them."""
    rows = [json.dumps({"epoch": epoch, "train_loss": 1.0, "updates": of * (epoch + 1)}) for epoch in range(count)]
    (place / "metrics.jsonl").write_text("".join(f"{row}\n" for row in rows))


def keep(place: Path, recipe, *, accuracy=0.8, sums=None, weights=False, **environment):
    """A complete run in this directory."""
    place.mkdir(parents=True)
    (place / "recipe.toml").write_text(dump_recipe(recipe))
    facts = {"device": "cpu", "commit": "abc", "processor": "P", "data": {"sha256": sums or bundled_sums()}}
    (place / "environment.json").write_text(json.dumps({**facts, **environment}))
    epochs(place, recipe.train.epochs)
    found = evaluation(accuracy, updates=10 * recipe.train.epochs, draws=facts_of(recipe).draws)
    (place / "evaluation.json").write_text(json.dumps(found))
    if weights:
        (place / "checkpoints").mkdir()
        (place / "checkpoints" / "best.safetensors").write_bytes(b"weights")
    return place


def small(*overrides):
    """The recipe of the small study's runs."""
    return load_recipe("demo", ["network.width=0.125", "train.epochs=1", *overrides])
