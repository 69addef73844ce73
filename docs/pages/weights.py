"""The two files of a trained network in the package, made from a run directory.

    bntt train fashion-mnist-direct
    bntt evaluate runs/fashion-mnist-direct --split validation
    bntt energy runs/fashion-mnist-direct
    python docs/make.py --weights runs/fashion-mnist-direct fashion-mnist-direct

Every number comes from the run's own files, except two that are measured here: the test accuracy with synaptic weights in
float16 (which are stored if they lose at most ``LOST`` of it, or if float32 is too large), and the number of the package's
test images that are classified correctly in float64 and plain PyTorch.
"""

from __future__ import annotations

import copy
import dataclasses
import hashlib
import json
from pathlib import Path
from typing import Any

import safetensors.torch
import torch

from bntt.analysis import evaluate
from bntt.analysis.accuracy import EvaluateArguments
from bntt.analysis.energy import EnergyResult
from bntt.analysis.measurement import Progress
from bntt.data import fashion_mnist_bundled
from bntt.data.samples import arrange
from bntt.engine.compute import Compute
from bntt.models import PretrainedFacts
from bntt.models.pretrained import read_pretrained
from bntt.nn import SpikingClassifier
from bntt.nn.kinds import encoder_facts
from bntt.runs.open_run import LoadedRun, load_run
from bntt.runs.recipe.file import dump_recipe

WEIGHTS = Path(__file__).parents[2] / "src" / "bntt" / "models" / "weights"
LICENCES = {
    "fashion-mnist": "MIT, Copyright (c) 2017 Zalando SE",
    "cifar10": "none stated by its distributor; Krizhevsky (2009), Learning Multiple Layers of Features from Tiny Images",
}
"""Licence of the training data, as images or in front of the simulated camera."""
LOST = 0.0005
"""Share of the test samples that rounding to float16 may cost."""
MEASURED = (
    "images",
    "draws",
    "accuracy",
    "accuracy_sd_over_draws",
    "accuracy_wilson_95",
    "accuracy_over_time",
    "spikes_per_image",
)
LARGEST = 4_000_000
"""Bytes above which a network is always rounded: the wheel has 8 MB for all of them."""
COUNTED = (100, 1000)
RAN_ON = ("commit", "bntt", "torch", "python", "processor", "device", "threads", "started")


def make(run: Path, name: str, folder: Path = WEIGHTS) -> PretrainedFacts:
    """Write ``<name>.safetensors`` and ``<name>.json``, and read them again."""
    loaded = load_run(run)
    licence_of(loaded)  # before anything is measured
    whole, measured = loaded.model.state_dict(), {"float32": _best(loaded, "evaluation")}
    states = {"float32": whole, "float16": {key: _rounded(key, value) for key, value in whole.items()}}
    states = {dtype: {key: value.clone() for key, value in state.items()} for dtype, state in states.items()}
    loaded.model.load_state_dict(states["float16"])
    asked = EvaluateArguments(draws=measured["float32"]["draws"])
    measured["float16"] = loaded.evaluate(asked, Progress()).to_json()
    accuracy = {dtype: found["accuracy"] for dtype, found in measured.items()}
    payloads = {dtype: safetensors.torch.save(state) for dtype, state in states.items()}
    small = accuracy["float32"] - accuracy["float16"] <= LOST or len(payloads["float32"]) > LARGEST
    dtype = "float16" if small else "float32"
    payload = payloads[dtype]
    stored = {"dtype": dtype, "bytes": len(payload), "accuracy": accuracy}
    facts = facts_of(loaded, measured[dtype], stored, hashlib.sha256(payload).hexdigest())
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.safetensors").write_bytes(payload)
    _write(facts, folder / f"{name}.json")
    model = read_pretrained(name, folder)
    if facts.licence == LICENCES["fashion-mnist"] and encoder_facts(model.encoder).takes != "frames":
        hits = {f"right_of_{count}": bundled_hits(model, facts, count) for count in COUNTED}
        facts = dataclasses.replace(facts, bundled_test={"seed": facts.seed, **hits})
        _write(facts, folder / f"{name}.json")
    return facts


def facts_of(loaded: LoadedRun, test: dict[str, Any], stored: dict[str, Any], sha256: str) -> PretrainedFacts:
    """Return the facts in the run's files, with the measurements of the weights as stored."""
    recipe = loaded.recipe
    if recipe.data.root:  # a folder of the machine that trained it
        recipe = dataclasses.replace(recipe, data=dataclasses.replace(recipe.data, root=Path(recipe.data.root).name))
    scales = dict(loaded.model.encoder.named_buffers())
    environment = json.loads((loaded.path / "environment.json").read_text("utf-8"))
    epochs = [json.loads(line) for line in (loaded.path / "metrics.jsonl").read_text("utf-8").splitlines()]
    validation = _best(loaded, "evaluation-validation")
    energy = EnergyResult.model_validate(_best(loaded, "energy")).by_45nm("snn", 1e6)
    network, options = loaded.model.network.built
    return PretrainedFacts(
        dataset="cifar10, JPEG copy" if recipe.data.name == "images" else test["dataset"],
        classes=loaded.classes,
        image_shape=loaded.image_shape,
        order=recipe.data.order or "",
        network={"name": network, **{key: value for key, value in options.items() if key != "seed"}},
        encoder={
            "name": recipe.encoder.name,
            "num_steps": recipe.network.num_steps,
            **{key: value.flatten().tolist() for key, value in scales.items()},
        },
        seed=recipe.seed,
        epoch=loaded.epoch + 1,
        validation={key: validation[key] for key in MEASURED},
        test={key: test[key] for key in MEASURED},
        energy_uj=energy,
        stored=stored,
        bundled_test={},
        recipe=dump_recipe(recipe),
        run={**{key: environment[key] for key in RAN_ON}, "seconds": round(epochs[-1]["seconds"])},
        data_sha256=environment["data"]["sha256"],
        licence=licence_of(loaded),
        sha256=sha256,
    )


def licence_of(loaded: LoadedRun) -> str:
    """Return the licence of the data that a run was trained on, by the name of the data or of its folder."""
    data = loaded.recipe.data
    trained_on = " ".join((data.name, Path(data.root or "").name))
    found = next((text for name, text in LICENCES.items() if name in trained_on), "")
    if not found:
        raise SystemExit(f"{loaded.path} was trained on {trained_on}: what is its licence?")
    return found


def _best(loaded: LoadedRun, stem: str) -> dict[str, Any]:
    """Read a measurement, and check that it is of the best epoch."""
    found: dict[str, Any] = json.loads((loaded.path / f"{stem}.json").read_text("utf-8"))
    if found["epoch"] != loaded.epoch:
        raise SystemExit(f"{loaded.path} was evaluated at epoch {found['epoch']}, its best is {loaded.epoch}")
    return found


def _rounded(key: str, value: torch.Tensor) -> torch.Tensor:
    """Round synaptic weights to float16; γ, statistics and the encoder's scales are few and stay float32."""
    return value.half() if key.endswith(".weight") else value


def _write(facts: PretrainedFacts, file: Path) -> None:
    file.write_text(json.dumps(dataclasses.asdict(facts), indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


def bundled_hits(model: SpikingClassifier, facts: PretrainedFacts, count: int) -> int:
    """Count the first test images of the package that are classified correctly in float64 and plain PyTorch."""
    model = copy.deepcopy(model).double()
    model.network.compute = Compute("reference")
    test = fashion_mnist_bundled().test.select(torch.arange(count))
    images = arrange(test.images, facts.order) if facts.order else test.images
    batches = zip((images.double() / 255).split(100), test.labels.split(100), strict=True)
    return evaluate(model, list(batches), seed=facts.seed, draws=1).accuracy.correct[0][-1]
