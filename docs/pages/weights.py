"""The two files of a trained network that comes with the package, made out of a run directory.

    python -c "import bntt; print(bntt.models.pretrained_facts().recipe)" > mine.toml     # as the last one was trained
    bntt train mine.toml
    bntt evaluate runs/mine --split validation
    python docs/make.py --weights runs/mine fashion-mnist-vgg6

Every number is from the run's own files, but for those that are measured here: how many of the package's test images
are right in float64 and plain PyTorch.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from pathlib import Path

import safetensors.torch
import torch

from bntt.analysis import evaluate
from bntt.data import fashion_mnist_bundled
from bntt.engine.compute import Compute
from bntt.models import MODELS, PRETRAINED, PretrainedFacts
from bntt.models.pretrained import read_pretrained
from bntt.nn import SpikingClassifier
from bntt.runs.open_run import LoadedRun, load_run
from bntt.runs.recipe.build import builder_options
from bntt.runs.recipe.file import dump_recipe

WEIGHTS = Path(__file__).parents[2] / "src" / "bntt" / "models" / "weights"
LICENCES = dict.fromkeys(("fashion-mnist", "fashion-mnist-bundled"), "MIT, Copyright (c) 2017 Zalando SE")
MEASURED = (
    "images",
    "draws",
    "accuracy",
    "accuracy_sd_over_draws",
    "accuracy_wilson_95",
    "accuracy_over_time",
    "spikes_per_image",
)
COUNTED = (100, 1000)
RAN_ON = ("commit", "bntt", "torch", "python", "processor", "device", "threads", "started")


def make(run: Path, name: str, folder: Path = WEIGHTS) -> PretrainedFacts:
    """Write ``<name>.safetensors`` and ``<name>.json``, and read them again."""
    loaded = load_run(run)
    recipe = loaded.recipe
    if recipe.encoder.name != "poisson" or MODELS[recipe.network.name] is not PRETRAINED[name]:
        raise SystemExit(f"{name} is {PRETRAINED[name].__name__} on signed Poisson spikes, {run} is another network")
    payload = safetensors.torch.save(loaded.model.state_dict())
    facts = facts_of(loaded, hashlib.sha256(payload).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(payload)
    written = folder / f"{name}.json"
    written.write_text(json.dumps(dataclasses.asdict(facts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    model = read_pretrained(name, folder)
    hits = {f"right_of_{count}": bundled_hits(model, recipe.seed, count) for count in COUNTED}
    facts = dataclasses.replace(facts, bundled_test={"seed": recipe.seed, **hits})
    written.write_text(json.dumps(dataclasses.asdict(facts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    return facts


def facts_of(loaded: LoadedRun, sha256: str) -> PretrainedFacts:
    """What the run's files say."""
    recipe, encoder = loaded.recipe, loaded.model.encoder
    environment = json.loads((loaded.path / "environment.json").read_text("utf-8"))
    epochs = [json.loads(line) for line in (loaded.path / "metrics.jsonl").read_text("utf-8").splitlines()]
    test, validation = (
        json.loads((loaded.path / f"evaluation{part}.json").read_text("utf-8")) for part in ("", "-validation")
    )
    for part in (test, validation):
        if part["epoch"] != loaded.epoch:
            raise SystemExit(f"{loaded.path} was evaluated at epoch {part['epoch']}, its best is {loaded.epoch}")
    channels, size, _ = loaded.image_shape
    options = {"num_classes": len(loaded.classes), "in_channels": channels, "image_size": size}
    return PretrainedFacts(
        dataset=test["dataset"],
        classes=loaded.classes,
        image_shape=loaded.image_shape,
        network={**builder_options(recipe), **options},
        encoder={
            "num_steps": recipe.network.num_steps,
            "mean": encoder.mean.flatten().tolist(),
            "std": encoder.std.flatten().tolist(),
        },
        seed=recipe.seed,
        epoch=loaded.epoch + 1,
        validation={key: validation[key] for key in MEASURED},
        test={key: test[key] for key in MEASURED},
        bundled_test={},
        recipe=dump_recipe(recipe),
        run={**{key: environment[key] for key in RAN_ON}, "seconds": round(epochs[-1]["seconds"])},
        data_sha256=environment["data"]["sha256"],
        licence=LICENCES[recipe.data.name],
        sha256=sha256,
    )


def bundled_hits(model: SpikingClassifier, seed: int, count: int) -> int:
    """How many of the first test images of the package are right, in float64 and plain PyTorch."""
    model = copy.deepcopy(model).double()
    model.network.compute = Compute("reference")
    test = fashion_mnist_bundled().test.select(torch.arange(count))
    batches = zip((test.images.double() / 255).split(100), test.labels.split(100), strict=True)
    return evaluate(model, list(batches), seed=seed, draws=1).accuracy.correct[0][-1]
