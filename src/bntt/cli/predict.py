"""``bntt predict``: a trained network's answers on the user's own images."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from bntt.analysis.measurement import MOST_DRAWS

if TYPE_CHECKING:
    from torch import Tensor

    from bntt.analysis import Prediction
    from bntt.io.pictures import Fit, Picture
    from bntt.nn import SpikingClassifier

Images = Annotated[
    tyro.conf.Positional[tuple[Path, ...]], tyro.conf.arg(metavar="IMAGE [IMAGE ...]", help_behavior_hint="(required)")
]
PICTURES = (".png", ".pdf", ".svg")
MOST_ROWS = 50
"""Most images in one picture."""
LEADING = 3
"""Classes shown for each image; --json has all of them."""
DEFAULT = "fashion-mnist-vgg6"
WIDEST = 24
"""Characters of a class's name in a table; a longer name is cut and followed by its number."""


def predict(
    images: Images,
    run: Path | None = None,
    pretrained: str = "",
    bundle: Path | None = None,
    draws: int = 1,
    seed: int = 0,
    invert: bool = False,
    json: bool = False,
    csv: bool = False,
    picture: Path | None = None,
) -> None:
    """Classify images: print the class, the confidence after each step, and the step from which the class stays.

    The default network comes with the package and knows the ten kinds of clothes of Fashion-MNIST, as 28x28 grey
    images, light on dark. An image is converted to the network's mode and size: cropped or padded as the run's images
    were (data.fit, if it has a data.size), otherwise scaled as a whole. Its EXIF orientation is applied. The output
    lists these changes, except with --csv.

    Example: bntt predict shoe.png bag.jpg --invert

    Args:
        images: image files (JPEG, PNG, BMP, WebP, PPM, TIFF, GIF).
        run: a run directory, to use its best epoch.
        pretrained: or a network of `bntt list pretrained`, by name.
        bundle: or a bundle written by `bntt export`, run by bntt.deploy.Runtime.
        draws: number of times an image is shown, each with fresh noise; the confidence is the mean.
        seed: seed of the noise.
        invert: show the negative: for dark-on-light images and a network that learned light on dark.
        json: print all classes and exact numbers as JSON.
        csv: print them as comma-separated values, a row for each image and step.
        picture: also draw the images next to their confidence over time, as .png, .pdf or .svg.
    """
    import torch

    from bntt.analysis.prediction.prediction import prediction_figure
    from bntt.charts.files import save_figure
    from bntt.cli import console
    from bntt.data.sequences import arrange
    from bntt.io.pictures import read_picture
    from bntt.runs.recipe.file import RecipeError

    wrong = _refusal(images, draws, seed, picture) or ("--json and --csv: choose one" if json and csv else "")
    several = sum(map(bool, (run, pretrained, bundle))) > 1
    if wrong := wrong or ("--run, --pretrained and --bundle: choose one" if several else ""):
        raise RecipeError(wrong)
    check_picture(picture)
    if bundle:
        of = _of_bundle(bundle, draws)
    else:
        of = _of_run(run, draws) if run else _of_package(pretrained or DEFAULT, draws)
    pictures = [read_picture(path, of.shape, fit=of.fit, invert=invert) for path in images]
    pairs = []
    with console.aside(json or csv), console.progress("predicting") as report:
        for one in pictures:
            pixels = torch.from_numpy(one.pixels).unsqueeze(0).float() / 255
            shown = arrange(pixels, of.order) if of.order else pixels
            pairs.append((one, of.predict(shown, seed, draws)))
            report(len(pairs), len(pictures))
    header = {"network": of.name, "classes": of.classes, "seed": seed, "draws": draws}
    _print(pairs, header, of.title, as_json=json, as_csv=csv)
    if picture is not None:
        rows = [(one.path.name, torch.from_numpy(one.pixels), found) for one, found in pairs]
        save_figure(prediction_figure(rows, LEADING), picture)
        if not (json or csv):
            console.line(f"written: {picture}")


@dataclass(frozen=True)
class _Network:
    """The network that predicts, and the form in which it takes a picture."""

    name: str
    title: str
    predict: Callable[[Tensor, int, int], Prediction]
    """``(sample [1, ...], seed, draws)`` → the prediction."""
    classes: Sequence[str]
    shape: Sequence[int]
    order: str = ""
    fit: Fit = "stretch"


def check_pretrained(name: str) -> None:
    """Refuse a name unless a network of this name comes with the package.

    Raises:
        RecipeError: naming the known ones.
    """
    from bntt.models import PRETRAINED
    from bntt.runs.recipe.file import RecipeError

    if name not in PRETRAINED:
        raise RecipeError(f"--pretrained: no network {name!r}, choose one of {', '.join(PRETRAINED)}")


def _of_package(name: str, draws: int) -> _Network:
    """Load a network that comes with the package.

    Raises:
        RecipeError: on an unknown name, or if it takes no pictures.
        ArgumentError: if more than one draw is requested and nothing is random.
    """
    from bntt.analysis.measurement import Facts, draws_of
    from bntt.models import pretrained, pretrained_facts
    from bntt.nn.kinds import encoder_facts_by_name
    from bntt.runs.recipe.file import RecipeError

    check_pretrained(name)
    facts = pretrained_facts(name)
    encoder, network = encoder_facts_by_name(facts.encoder["name"]), facts.network
    if encoder.takes == "frames":
        raise RecipeError(f"{name} was trained on frames ({facts.dataset}) and takes no pictures")
    about = Facts(
        network["name"], network["norm"], facts.encoder["name"], network["num_steps"], False, 1, encoder.random
    )
    draws_of(about, draws)
    title = f"{name}, which comes with the package; test accuracy {facts.test['accuracy']:.1%}"
    pairs = _of_model(pretrained(name), facts.classes)
    return _Network(name, title, pairs, facts.classes, facts.image_shape, facts.order)


def _of_run(run: Path, draws: int) -> _Network:
    """Load the network of a run.

    Raises:
        RecipeError: if it takes no pictures.
        ArgumentError: if more than one draw is requested and nothing is random.
    """
    from bntt.analysis.measurement import draws_of
    from bntt.nn.kinds import encoder_facts
    from bntt.runs.open_run import load_run
    from bntt.runs.recipe.file import RecipeError

    loaded = load_run(run)
    recipe, data = loaded.recipe, loaded.recipe.data
    takes = encoder_facts(loaded.model.encoder).takes
    if takes == "frames" or (takes == "sequences" and not data.order):
        raise RecipeError(
            f"{run} was trained on {takes} ({data.name or 'of your own'}) and takes no pictures: in Python, "
            f"bntt.load_run({str(run)!r}).model takes {takes}"
        )
    draws_of(loaded.facts, draws)
    untrained = "imported" if recipe.imported.file else "converted"
    title = f"{run}, {f'epoch {loaded.epoch + 1}' if recipe.train.epochs else untrained}"
    fit: Fit = data.fit if data.size else "stretch"
    pairs = _of_model(loaded.model, loaded.classes)
    return _Network(str(run), title, pairs, loaded.classes, loaded.image_shape, data.order, fit)


def _of_model(model: SpikingClassifier, classes: Sequence[str]) -> Callable[[Tensor, int, int], Prediction]:
    from bntt.analysis import predict as predictions

    return lambda sample, seed, draws: predictions(model, sample, classes, seed=seed, draws=draws)[0]


def _of_bundle(path: Path, draws: int) -> _Network:
    """Load the network of a bundle.

    Raises:
        BundleError: if the file is not a bundle.
        DeployError: if it takes no pictures.
        ArgumentError: if more than one draw is requested and nothing is random.
    """
    import torch

    from bntt.analysis import Prediction
    from bntt.analysis.accuracy.evaluation import FIRST_DRAW
    from bntt.analysis.measurement import ArgumentError
    from bntt.deploy import Runtime
    from bntt.deploy.runtime.pictures import pictures_of

    runtime = Runtime(path)
    made, kind = runtime.description, runtime.description.encoder.kind
    pictures = pictures_of(made)
    if draws > 1 and not kind.startswith("poisson"):
        raise ArgumentError(f"--draws {draws}: {kind} coding is not random, every pass would be the same: leave it out")

    def predict(sample: Tensor, seed: int, draws: int) -> Prediction:
        logits = [runtime.trace(sample.numpy(), seed=seed, draw=FIRST_DRAW + draw)[:, 0] for draw in range(draws)]
        shares = torch.stack([torch.from_numpy(one).double().softmax(1) for one in logits])
        return Prediction(made.classes, shares.mean(0))

    title = f"{path}, run by {runtime.backend}"
    return _Network(str(path), title, predict, made.classes, pictures.shape, pictures.order, pictures.fit)


def _print(
    pairs: Sequence[tuple[Picture, Prediction]], header: dict[str, Any], answers: str, *, as_json: bool, as_csv: bool
) -> None:
    from bntt.cli import console

    if as_json:
        console.as_json(header | {"images": [_entry(*pair) for pair in pairs]})
    elif as_csv:
        console.as_csv([row for pair in pairs for row in _rows(*pair)])
    else:
        console.line(f"network: {answers}")
        for pair in pairs:
            _show(*pair)


def _refusal(images: Sequence[Path], draws: int, seed: int, picture: Path | None) -> str:
    """Return the fault in the command, or an empty string."""
    if not images:
        return "name one image or more: bntt predict IMAGE..."
    if not 1 <= draws <= MOST_DRAWS:
        return f"--draws must be from 1 to {MOST_DRAWS}, got {draws}"
    if not 0 <= seed < 1 << 63:
        return f"--seed must be from 0 to 2**63 - 1, got {seed}"
    if picture is not None and len(images) > MOST_ROWS:
        return f"--picture shows at most {MOST_ROWS} images, got {len(images)}: name fewer, or leave out --picture"
    if picture is not None and picture.resolve() in {image.resolve() for image in images}:
        return f"--picture {picture} is an image to predict, which the drawing would replace: name another file"
    return ""


def check_picture(path: Path | None) -> None:
    """Refuse a ``--picture`` in a format that cannot be drawn.

    Raises:
        RecipeError: naming the formats.
    """
    from bntt.runs.recipe.file import RecipeError

    if path is not None and path.suffix.lower() not in PICTURES:
        raise RecipeError(f"--picture {path}: the name must end in {', '.join(PICTURES)}")


def _entry(picture: Picture, prediction: Prediction) -> dict[str, Any]:
    return {
        "file": str(picture.path),
        "changes": picture.changes,
        "label": prediction.label,
        "stable_from": prediction.stable_from,
        "confidence": prediction.confidence.tolist(),
    }


def _rows(picture: Picture, prediction: Prediction) -> list[dict[str, object]]:
    """Return a row for each step; columns of confidence are prefixed, since a class may be named "file" or "step"."""
    columns = [f"confidence {name}" for name in prediction.classes]
    return [
        {"file": picture.path, "step": step, **dict(zip(columns, confidence, strict=True))}
        for step, confidence in enumerate(prediction.confidence.tolist(), start=1)
    ]


def _show(picture: Picture, prediction: Prediction) -> None:
    """Print a line and a table for one image."""
    from bntt.cli import console

    changes = f" ({', '.join(picture.changes)})" if picture.changes else ""
    steps, final = len(prediction.confidence), float(prediction.confidence[-1].max())
    console.line("")
    console.line(f"{picture.path}{changes}")
    console.line(f"{prediction.label}, {final:.1%}; the same from step {prediction.stable_from} of {steps} on")
    rows = {}
    for number in prediction.leading(LEADING):
        name = prediction.classes[number]
        shown = name if len(name) <= WIDEST else f"{name[: WIDEST - 8]}… ({number})"
        rows[shown] = [f"{share:.1%}" for share in prediction.confidence[:, number].tolist()]
    console.table("confidence after step", steps, rows)
