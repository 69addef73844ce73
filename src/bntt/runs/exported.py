"""Descriptions of trained runs, with what their recipe and directory say about them, for export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch

from bntt.data.samples import arrange
from bntt.deploy.description import Description, Pictures
from bntt.deploy.from_torch import Constant, choose_constant, describe
from bntt.io.files import find_object
from bntt.models import pretrained, pretrained_facts
from bntt.nn.kinds import encoder_facts
from bntt.nn.network.classifier import SpikingClassifier
from bntt.runs.open_run import LoadedRun
from bntt.runs.recipe.file import dump_recipe

MOST_VALIDATED = 1000
"""Most validation samples to choose a network constant in time on: each candidate runs on all of them."""


def describe_run(run: LoadedRun) -> Description:
    """Describe a run's best epoch, with classes, pictures and provenance."""
    data, shape = run.recipe.data, run.image_shape
    channels, height, width = (1, 1, *shape)[-3:]
    pictures = Pictures((channels, height, width), data.fit if data.size else "stretch", data.order or "")
    return _described(run.model, run.classes, pictures, provenance(run), shape if len(shape) == 3 else shape[-1:])


def provenance(run: LoadedRun) -> dict[str, str]:
    """Return where a run's weights come from, as texts by name."""
    environment = find_object(run.path / "environment.json") or {}
    return {
        "run": run.path.name,
        "recipe": dump_recipe(run.recipe),
        "epoch": str(run.epoch + 1) if run.recipe.train.epochs else "",
        "dataset": run.recipe.data.name,
        "commit": str(environment.get("commit") or ""),
        "weights_sha256": run.weights_sha256,
    }


def constant_of(run: LoadedRun, made: Description) -> Constant:
    """Make a run's description constant in time: the candidate that is most accurate on its validation samples."""
    return choose_constant(made, run.loader("validation", at_most=MOST_VALIDATED), seed=run.seed)


def describe_pretrained(name: str) -> Description:
    """Describe a network that comes with the package.

    >>> describe_pretrained("fashion-mnist-vgg6").classes[:2]
    ('T-shirt/top', 'Trouser')
    """
    facts = pretrained_facts(name)
    told = {"run": name, "recipe": facts.recipe, "epoch": str(facts.epoch), "dataset": facts.dataset}
    told |= {"commit": str(facts.run.get("commit") or ""), "weights_sha256": facts.sha256}
    pictures = Pictures(facts.image_shape, order=facts.order)
    return _described(pretrained(name), facts.classes, pictures, told, facts.image_shape)


def _described(
    model: SpikingClassifier, classes: Sequence[str], pictures: Pictures, run: Mapping[str, str], shape: Sequence[int]
) -> Description:
    takes = encoder_facts(model.encoder).takes
    if takes == "sequences" and pictures.order:
        shape = arrange(torch.empty(1, *pictures.shape, device="cpu"), pictures.order).shape[2:]
    timed = takes == "frames" or (takes == "sequences" and not pictures.order)
    shown = pictures if not timed and pictures.shape[0] in (1, 3) else None
    return describe(model, classes=classes, input_shape=shape, pictures=shown, run=run)
