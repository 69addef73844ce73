"""One sample of a recipe's data as its network receives it, step by step, and its figure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.charts.files import thinned
from bntt.charts.records import STEPS, Axis, Chart, Figure, Image, Line, Lines, map_over_steps
from bntt.data import FrameSet
from bntt.data.samples import DATASETS
from bntt.nn.kinds import encoder_facts_by_name
from bntt.runs.recipe import recipe_names
from bntt.runs.recipe.build import build_encoder
from bntt.runs.recipe.datasets import RecipeData, Split
from bntt.runs.recipe.file import Recipe, RecipeError, load_recipe, parse_recipe


@dataclass(frozen=True)
class Sample:
    """A sample and its encoding, as returned by :func:`sample_of`."""

    dataset: str
    split: Split
    index: int
    label: str
    encoder: str
    given: Tensor
    """Sample from the dataset: an image ``[C, H, W]`` with pixels in [0, 1], frames, or a sequence."""
    drive: Tensor
    """Input of the first layer: ``[T, C, H, W]``, or ``[T, F]`` for a sequence."""

    @property
    def is_image(self) -> bool:
        """True if the sample has no time dimension of its own."""
        return self.given.ndim == 3 and self.drive.ndim == 4

    @property
    def has_polarities(self) -> bool:
        """True if the two channels are darker and brighter events."""
        return not self.is_image and self.drive.shape[1] == 2 and not bool((self.drive < 0).any())


def sample_of(recipe: Recipe, data: RecipeData, split: Split, index: int) -> Sample:
    """Encode a sample of a split as in the first draw of an evaluation."""
    samples = data.of(split)
    if not 0 <= index < len(samples):
        raise RecipeError(f"--index {index}: the {split} samples are numbered 0 to {len(samples) - 1}")
    place = torch.tensor([index])
    given, label = samples.batch(place), samples.classes[int(samples.labels[index])]
    steps = samples.num_steps if isinstance(samples, FrameSet) else None  # a set of your own has its own
    drive = build_encoder(recipe, data, steps)(given, seed=recipe.seed, index=place, draw=FIRST_DRAW)[:, 0]
    return Sample(data.label, split, index, label, recipe.encoder.name, given[0], drive)


def recipe_for(name: str, overrides: Sequence[str] = ()) -> Recipe:
    """Return the recipe of that name or file; for a bare dataset, signed Poisson spikes of 8 steps, or 8 frames."""
    if name in recipe_names() or name not in DATASETS:
        return load_recipe(name, overrides)
    dataset = DATASETS[name]
    frames = {"frames": {"size": dataset.frame_size}} if dataset.formats else {}
    values: dict[str, Any] = {
        "data": {"name": name, **frames},
        "encoder": {"name": "poisson" if dataset.kind == "images" else "frames"},
        "network": {"name": "vgg6", "num_steps": 8},
        "train": {"epochs": 1, "batch_size": 1},
    }
    return parse_recipe(values, overrides)


MORE, LESS = (0.85, 0.37, 0.0), (0.0, 0.27, 0.70)
"""Orange for brighter or positive, blue for darker or negative: colour-blind safe; both together are dark."""
MOST_STEPS = 40
"""Maximum number of frames drawn; from more, this many evenly spaced ones."""


def sample_figure(sample: Sample) -> Figure:
    """Draw the image next to its spikes, the frames with both polarities, or the values of a sequence."""
    code = "" if encoder_facts_by_name(sample.encoder).takes != "images" else f", {sample.encoder} code"
    title = f"{sample.dataset}, {sample.split} {sample.index}: {sample.label}{code}"
    if sample.drive.ndim == 2:
        return Figure(title, [_sequence(sample.drive)])
    return Figure(f"{title}\n{_key(sample)}", _frames(sample))


def _frames(sample: Sample) -> list[Chart]:
    """Return charts of the steps; an image and the mean of its steps come first."""
    drive, charts = sample.drive, list[Chart]()
    if sample.is_image:
        given = sample.given.permute(1, 2, 0)
        charts.append(Image("image", (given if given.shape[2] == 3 else given[..., 0]).tolist()))
        charts.append(Image(f"mean of {len(drive)} steps", _coloured(sample, drive.mean(0))))
    for t in thinned(len(drive), MOST_STEPS):
        count = "" if sample.is_image else f"\n{int(drive[t].sum()):,} events"
        charts.append(Image(f"step {t + 1}{count}", _coloured(sample, drive[t])))
    return charts


def _largest(sample: Sample) -> float:
    return max(1.0, float(sample.drive.abs().max()))


def _coloured(sample: Sample, drive: Tensor) -> Any:
    """Colour the drive: white for zero, darker for larger values, on a square-root scale."""
    by_sign = (drive.clamp(min=0).mean(0), drive.clamp(max=0).neg().mean(0))
    planes = (drive[1], drive[0]) if sample.has_polarities else by_sign
    pixels = torch.ones(*planes[0].shape, 3)
    for plane, colour in zip(planes, (MORE, LESS), strict=True):
        pixels *= 1 - (plane / _largest(sample)).sqrt().clamp(0, 1)[..., None] * (1 - torch.tensor(colour))
    return pixels.tolist()


def _key(sample: Sample) -> str:
    """Describe the colours, and the size of what is shown."""
    more, less = ("brighter (polarity 1)", "darker (polarity 0)") if sample.has_polarities else ("above 0", "below 0")
    full = f"{_largest(sample):.3g} {'events in a cell' if sample.has_polarities else 'in every channel'}"
    size = "x".join(map(str, sample.drive.shape[-2:]))
    return f"orange: {more}, blue: {less}; full colour: {full}; {size}, T = {len(sample.drive)}"


def _sequence(values: Tensor) -> Chart:
    """Draw a sequence: a line for one feature, a heat map for more, steps across, features down."""
    if values.shape[1] == 1:
        return Lines("", STEPS, Axis("value"), [Line("value", range(1, len(values) + 1), values[:, 0].tolist())])
    return map_over_steps("features by step", {str(i): row for i, row in enumerate(values.T.tolist())}, Axis("value"))
