"""A trained run, described with what its recipe and directory say of it, to be written for use elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from bntt.deploy.description import Description, Pictures
from bntt.deploy.from_torch import describe
from bntt.io.files import find_object
from bntt.models import pretrained, pretrained_facts
from bntt.nn.kinds import encoder_facts
from bntt.nn.network.classifier import SpikingClassifier
from bntt.runs.open_run import LoadedRun
from bntt.runs.recipe.file import dump_recipe


def describe_run(run: LoadedRun) -> Description:
    """Describe a run's best epoch, with classes, pictures and provenance.

    Raises:
        DeployError: if a part of the network cannot be described.
    """
    data, (channels, height, width) = run.recipe.data, (1, 1, *run.image_shape)[-3:]
    pictures = Pictures((channels, height, width), data.fit if data.size else "stretch", data.order)
    return _described(run.model, run.classes, pictures, provenance(run))


def provenance(run: LoadedRun) -> dict[str, str]:
    """Return where a run's weights come from, in words by name."""
    environment = find_object(run.path / "environment.json") or {}
    return {
        "run": run.path.name,
        "recipe": dump_recipe(run.recipe),
        "epoch": str(run.epoch + 1) if run.recipe.train.epochs else "",
        "dataset": run.recipe.data.name,
        "commit": str(environment.get("commit") or ""),
        "weights_sha256": run.weights_sha256,
    }


def describe_pretrained(name: str) -> Description:
    """Describe a network that comes with the package.

    >>> describe_pretrained("fashion-mnist-vgg6").classes[:2]
    ('T-shirt/top', 'Trouser')
    """
    facts = pretrained_facts(name)
    told = {"run": name, "recipe": facts.recipe, "epoch": str(facts.epoch), "dataset": facts.dataset}
    told |= {"commit": str(facts.run.get("commit") or ""), "weights_sha256": facts.sha256}
    return _described(pretrained(name), facts.classes, Pictures(facts.image_shape, order=facts.order), told)


def _described(
    model: SpikingClassifier, classes: Sequence[str], pictures: Pictures, run: Mapping[str, str]
) -> Description:
    takes = encoder_facts(model.encoder).takes
    shape = None if takes == "sequences" else pictures.shape
    shown = pictures if takes != "frames" and pictures.shape[0] in (1, 3) else None
    return describe(model, classes=classes, input_shape=shape, pictures=shown, run=run)
