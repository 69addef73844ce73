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
from bntt.io.files import names_in
from bntt.nn.kinds import encoder_facts_by_name
from bntt.runs.recipe.build import RecipeData, Split, build_encoder
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
    if name in names_in("runs/recipes") or name not in DATASETS:
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
    drive = sample.drive
    code = "" if encoder_facts_by_name(sample.encoder).takes != "images" else f", {sample.encoder} code"
    title = f"{sample.dataset}, {sample.split} {sample.index}: {sample.label}{code}"
    if drive.ndim == 2:
        return Figure(title, [_sequence(drive)])
    polarities = not sample.is_image and drive.shape[1] == 2 and not bool((drive < 0).any())
    largest, charts = max(1.0, float(drive.abs().max())), list[Chart]()

    def coloured(values: Tensor) -> Any:
        """White for zero, darker for larger values, on a square-root scale."""
        by_sign = (values.clamp(min=0).mean(0), values.clamp(max=0).neg().mean(0))
        planes = (values[1], values[0]) if polarities else by_sign
        pixels = torch.ones(*planes[0].shape, 3)
        for plane, colour in zip(planes, (MORE, LESS), strict=True):
            pixels *= 1 - (plane / largest).sqrt().clamp(0, 1)[..., None] * (1 - torch.tensor(colour))
        return pixels.tolist()

    if sample.is_image:
        given = sample.given.permute(1, 2, 0)
        charts.append(Image("image", (given if given.shape[2] == 3 else given[..., 0]).tolist()))
        charts.append(Image(f"mean of {len(drive)} steps", coloured(drive.mean(0))))
    for t in thinned(len(drive), MOST_STEPS):
        events = "" if sample.is_image else f"\n{int(drive[t].sum()):,} events"
        charts.append(Image(f"step {t + 1}{events}", coloured(drive[t])))
    more, less = ("brighter (polarity 1)", "darker (polarity 0)") if polarities else ("above 0", "below 0")
    full = f"{largest:.3g} {'events in a cell' if polarities else 'in every channel'}"
    size = "x".join(map(str, drive.shape[-2:]))
    key = f"orange: {more}, blue: {less}; full colour: {full}; {size}, T = {len(drive)}"
    return Figure(f"{title}\n{key}", charts)


def _sequence(values: Tensor) -> Chart:
    """Draw a sequence: a line for one feature, a heat map for more, steps across, features down."""
    if values.shape[1] == 1:
        return Lines("", STEPS, Axis("value"), [Line("value", range(1, len(values) + 1), values[:, 0].tolist())])
    return map_over_steps("features by step", {str(i): row for i, row in enumerate(values.T.tolist())}, Axis("value"))
