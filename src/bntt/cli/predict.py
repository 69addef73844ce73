"""``bntt predict``: a trained network's answers on the user's own images and recordings."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from bntt.analysis.measurement import MOST_DRAWS
from bntt.cli import console
from bntt.cli.train import Overrides

if TYPE_CHECKING:
    from bntt.analysis import Prediction
    from bntt.runs.predictors import Predictor, Shown

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
    overrides: Overrides = (),
    draws: int = 1,
    seed: int = 0,
    invert: bool = False,
    json: bool = False,
    picture: Path | None = None,
) -> None:
    """Classify files: print the class, the confidence after each step, and the step from which the class stays.

    The default network comes with the package and knows the ten kinds of clothes of Fashion-MNIST, as 28x28 grey
    images, light on dark. An image is converted to the network's mode and size: cropped or padded as the run's images
    were (data.fit, if it has a data.size), otherwise scaled as a whole. Its EXIF orientation is applied. The output
    lists these changes.

    A run trained on recordings of events takes recordings in its format (data.frames), and makes frames as in training.

    Example: bntt predict shoe.png bag.jpg --invert

    Args:
        images: image files (JPEG, PNG, BMP, WebP, PPM, TIFF, GIF); or recordings, for a run trained on some.
        run: a run directory, to use its best epoch.
        pretrained: or a network of `bntt list pretrained`, by name.
        bundle: or a bundle written by `bntt export`, run by bntt.deploy.Runtime.
        overrides: another value of the run's compute: `-s compute.precision=fp32`.
        draws: number of times an image is shown, each with fresh noise; the confidence is the mean.
        seed: seed of the noise.
        invert: show the negative: for dark-on-light images and a network that learned light on dark.
        json: print all classes and exact numbers as JSON.
        picture: also draw the images next to their confidence over time, as .png, .pdf or .svg. Of a recording it draws
            the number of events of each cell.
    """
    from bntt.analysis.prediction import prediction_figure
    from bntt.charts.files import save_figure
    from bntt.runs.predictors import predictor_of

    console.refuse(
        (not images, "name one image or more: bntt predict IMAGE..."),
        (not 1 <= draws <= MOST_DRAWS, f"--draws must be from 1 to {MOST_DRAWS}, got {draws}"),
        (not 0 <= seed < 1 << 63, f"--seed must be from 0 to 2**63 - 1, got {seed}"),
        (sum(map(bool, (run, pretrained, bundle))) > 1, "--run, --pretrained and --bundle: choose one"),
        (overrides and not run, "-s changes the recipe of a run: name one, --run"),
    )
    if picture:
        check_picture(picture)
        console.refuse(
            (len(images) > MOST_ROWS, f"--picture shows at most {MOST_ROWS} images, got {len(images)}"),
            (
                picture.resolve() in map(Path.resolve, images),
                f"--picture {picture} is an image to predict: name another",
            ),
        )
    if not (run or bundle):
        check_pretrained(pretrained or DEFAULT)
    of = predictor_of(run, pretrained or DEFAULT, bundle, draws, overrides)
    shown = [of.read(path, invert) for path in images]
    pairs = []
    with console.aside(json), console.progress("predicting") as report:
        for one in shown:
            pairs.append((one, of.predict(one.sample, seed, draws)))
            report(len(pairs), len(shown))
    if json:
        _print_json(pairs, of, seed, draws)
    else:
        console.line(f"network: {of.title}")
        if not (run or pretrained or bundle):
            console.line("it knows ten kinds of clothes and nothing else: --run RUN takes a network of your own")
        for one, found in pairs:
            _show(one, found)
    if picture is not None:
        rows = [(one.path.name, one.pixels, found) for one, found in pairs]
        save_figure(prediction_figure(rows, LEADING), picture)
        if not json:
            console.line(f"written: {picture}")


def check_pretrained(name: str) -> None:
    """Refuse a name unless a network of this name comes with the package."""
    from bntt.models import PRETRAINED

    known = ", ".join(PRETRAINED)
    console.refuse((name not in PRETRAINED, f"--pretrained: no network {name!r}, choose one of {known}"))


def check_picture(path: Path) -> None:
    """Refuse a ``--picture`` in a format that cannot be drawn."""
    why = f"--picture {path}: the name must end in {', '.join(PICTURES)}"
    console.refuse((path.suffix.lower() not in PICTURES, why))


def _print_json(pairs: Sequence[tuple[Shown, Prediction]], of: Predictor, seed: int, draws: int) -> None:
    header = {"network": of.name, "classes": of.classes, "seed": seed, "draws": draws}
    header |= {"measured_with": dict(of.measured_with)} if of.measured_with else {}
    entries = [
        {"file": str(shown.path), "changes": shown.changes, "label": found.label, "stable_from": found.stable_from,
         "confidence": found.confidence.tolist()}
        for shown, found in pairs
    ]  # fmt: skip
    console.as_json(header | {"images": entries})


def _show(shown: Shown, found: Prediction) -> None:
    """Print a line and a table for one file."""
    from bntt.analysis.prediction import distinct_name

    changes = f" ({', '.join(shown.changes)})" if shown.changes else ""
    steps, final = len(found.confidence), float(found.confidence[-1].max())
    console.line(f"\n{shown.path}{changes}")
    console.line(f"{found.label}, {final:.1%}; the same from step {found.stable_from} of {steps} on")
    rows = {}
    for number in found.leading(LEADING):
        name = distinct_name(found.classes[number], number, WIDEST, WIDEST - 8)
        rows[name] = [f"{share:.1%}" for share in found.confidence[:, number].tolist()]
    console.table("confidence after step", steps, rows)
