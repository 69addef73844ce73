"""Trained runs, and recipes for measurements that train, opened for use."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from torch import Tensor

from bntt.analysis.accuracy import EvaluateArguments, EvaluationResult, Retiming
from bntt.analysis.measurement import ArgumentError, Facts, Progress
from bntt.data import DataError, FrameSet, ImageSet, PartLoader, stratified
from bntt.data.prepared import manifest_from
from bntt.data.samples import fair_order, how_chosen, same_images
from bntt.doors import OldName
from bntt.engine.kernels import BackendError
from bntt.io.checkpoint import read_facts
from bntt.nn import SpikingClassifier
from bntt.runs.directory import RunDirectory, find_run, load_best, usable
from bntt.runs.evaluation import evaluate_loaded, recalibrated, retiming_of
from bntt.runs.from_python import load_samples, model_of
from bntt.runs.identity import (
    EXIT,
    RESUMING,
    check_same_data,
    check_same_recipe,
    loaded_digest,
    recipe_to_measure,
    saved_exit,
    trained_on,
    weights_hash,
)
from bntt.runs.parts import check_parts, load_parts
from bntt.runs.recipe.build import (
    RecipeData,
    SampleSet,
    Split,
    build_data,
    build_model,
    evaluation_loader,
    facts_of,
    for_measuring,
    require_device,
    stand_in,
    with_absolute_paths,
)
from bntt.runs.recipe.file import Recipe, RecipeError, load_recipe
from bntt.training.processes import Processes


@dataclass(frozen=True)
class LoadedRun:
    """A trained run, returned by :func:`load_run`."""

    path: Path
    """Run directory."""
    model: SpikingClassifier
    """Model with weights and statistics of the best validated epoch, in evaluation mode."""
    recipe: Recipe
    """Its recipe, with every default filled in."""
    epoch: int
    """Best epoch, counted from 0 as in ``metrics.jsonl``."""
    classes: tuple[str, ...]
    """Names of the K classes."""
    image_shape: tuple[int, ...]
    """``[C, H, W]``, also for frames."""
    checkpoint_facts: Mapping[str, Any]
    """Facts stored with the weights."""
    measured_with: Mapping[str, Any] = field(default_factory=dict)
    """Options of its recipe that were overridden to measure it, each with its new value; without ``data.root``."""
    state_sha256: str = ""
    """Checksum of the model's state, hooks and methods as loaded, if it was."""
    kept = OldName("kept", "checkpoint_facts")

    @property
    def dataset(self) -> str:
        """Name of its data."""
        return self.data.label

    @property
    def seed(self) -> int:
        """Seed of its noise, from the recipe."""
        return self.recipe.seed

    @property
    def draws(self) -> int:
        """Number of repetitions in its recipe, for a random encoder or random image changes."""
        return self.recipe.evaluate.draws

    @property
    def facts(self) -> Facts:
        """Facts about the run that do not need its weights."""
        return facts_of(self.recipe, self.model)

    @property
    def data_sha256(self) -> dict[str, str]:
        """Checksums of its training data, by part."""
        found: dict[str, str] = trained_on(self.path)["sha256"]
        return found

    @property
    def weights_sha256(self) -> str:
        """Checksum of its best epoch's weights."""
        return weights_hash(RunDirectory(self.path))

    @cached_property
    def data(self) -> RecipeData:
        """Data of the run, opened on first use; it must be what the run was trained on."""
        if not self.recipe.data.name:
            return load_samples(self.path, _stand_in(self.path, self.recipe), self.model.encoder)
        try:
            data = build_data(self.recipe)
        except DataError as error:
            if (root := self.recipe.data.root) and not Path(root).exists():
                error.add_note("if its data are elsewhere: -s data.root=FOLDER (in Python, overrides= of load_run)")
            raise
        check_same_data(self.path, data.manifest)
        return data

    def pictures(self, split: Split) -> ImageSet:
        """Return a whole split of a run that was trained on images; refuse one trained on frames or sequences."""
        found = self.data.of(split)
        if not isinstance(found, ImageSet):
            what = "frames" if isinstance(found, FrameSet) else "sequences"
            raise RecipeError(f"{self.path} was trained on {what} ({self.data.label}): this is measured on images")
        return found

    def part(self, split: Split, images: int, seed: int) -> tuple[PartLoader, str]:
        """Return batches of ``images`` images, stratified by class and chosen by a seed, and their description."""
        every = self.pictures(split)
        loader = PartLoader(every, stratified(every, images, seed), self.recipe.evaluate.batch_size, self._device)
        return loader, how_chosen(every, images, seed)

    def has_same_images(self, other: LoadedRun, split: Split, places: Tensor) -> bool:
        """Return True if another run's split has the same size, and the same images and labels at these places."""
        return same_images(self.pictures(split), other.pictures(split), places)

    def balanced_places(self, split: Split, count: int) -> tuple[Tensor, str]:
        """Choose ``count`` places of a split, class-balanced in every prefix, and describe the choice."""
        every = self.data.of(split)
        if count > len(every):
            raise ArgumentError(f"--images {count}: the {split} split of {self.path} has {len(every)}")
        return fair_order(every, self.seed)[:count], how_chosen(every, count, self.seed)

    def samples(self, split: Split) -> SampleSet:
        """Return the whole split as a set of labelled samples."""
        return self.data.of(split)

    def evaluate(self, arguments: EvaluateArguments, progress: Progress) -> EvaluationResult:
        """Evaluate it over all steps, fewer, or another number of steps than it was trained with."""
        recipe, run = self.recipe, RunDirectory(self.path)
        steps: int | Retiming | None = None
        model, seen = self.model, None
        if self.facts.is_ann and (arguments.exit or arguments.num_steps is not None):
            raise ArgumentError(
                f"{self.path} is an ANN: its one step is all there is, leave out --exit and --num-steps"
            )
        if arguments.images is not None:
            if arguments.split != "test" and arguments.images > (most := len(self.data.of(arguments.split))):
                raise ArgumentError(f"--images {arguments.images}: there are {most} {arguments.split} images")
            recipe = replace(recipe, evaluate=replace(recipe.evaluate, images=arguments.images))
        if arguments.exit:
            steps = saved_exit(run, recipe.network.num_steps)
        elif arguments.num_steps is not None:
            steps = retiming_of(recipe, arguments.num_steps, arguments.longer)
        if arguments.recalibrate:
            model, seen = recalibrated(model, recipe, self.data)
        found = evaluate_loaded(
            (model, self.checkpoint_facts, run.kept_rows()),
            recipe,
            self.data,
            split=arguments.split,
            draws=arguments.draws,
            processes=Processes(self._device),
            steps=steps,
            progress=progress,
        )
        told = {"recalibrated_on": seen} if seen else {}
        return found.model_copy(update={"arguments": arguments, **told})

    def exit_steps(self) -> int | None:
        """Return the number of steps after which the exit in ``exit.json`` stops; None without that file."""
        there = (self.path / EXIT).exists()
        return saved_exit(RunDirectory(self.path), self.recipe.network.num_steps) if there else None

    def loader(self, split: Split, at_most: int = 0) -> PartLoader:
        """Load the images of a split that the recipe measures, at most so many (0: no bound), on the model's device."""
        return evaluation_loader(self.recipe, self.data, split, self._device, at_most=at_most)

    @property
    def _device(self) -> str:
        return str(next(self.model.parameters()).device)


def load_run(
    path: str | Path,
    *,
    device: str = "cpu",
    parts: str | Path | Sequence[str | Path] = (),
    model: SpikingClassifier | None = None,
    overrides: Sequence[str] = (),
) -> LoadedRun:
    """Load the model, recipe and data of a run directory.

    The model can be loaded without the run's data: sizes and class names are in ``environment.json``, the mean and
    standard deviation of the pixels in the checkpoint.

    Args:
        path: the run directory, ``runs/NAME``.
        device: "cpu" or "cuda".
        parts: files and packages with your own parts, as ``bntt --with`` takes them.
        model: only for a run of :func:`bntt.fit` whose network or encoder came from no registered builder: the same
            model, rebuilt; it receives the run's weights. Not needed if :func:`bntt.register.model` has registered the
            run's name.
        overrides: options that replace the recipe's, each ``table.key=value``: where its data are (``data.root``), and
            how it is measured (``compute``, and ``draws``, ``batch_size`` and ``images`` of ``evaluate``).

    Returns:
        The run, its model in evaluation mode with the weights of the best epoch.

    Raises:
        CheckpointError: if this is not a run, a file of it is missing or damaged, parts it was trained with are not
            loaded, or the recipe was changed after training in more than measurement options.
        RecipeError: if the recipe cannot be used, or an override changes more than a measurement may, or ``compute`` of
            a model of your own, whose ``network.compute`` you set.
        DeviceError: if the device is not available.
        BackendError: if a block cannot be evaluated as the recipe's ``compute`` asks.

    >>> import tempfile
    >>> from bntt.runs.directory import new_run_directory
    >>> from bntt.runs.recipe.file import load_recipe
    >>> from bntt.runs.training.train import train_run
    >>> small = ["network.width=0.125", "network.num_steps=2", "train.epochs=1", "data.images=500"]
    >>> recipe, place = load_recipe("demo", small), new_run_directory("demo", Path(tempfile.mkdtemp()))
    >>> for record in train_run(recipe, build_data(recipe), place):
    ...     pass
    >>> import torch
    >>> run = load_run(place.path)
    >>> run.model(run.data.test.batch(torch.arange(3)), seed=0).shape, run.classes[0]
    (torch.Size([3, 10]), 'T-shirt/top')
    """
    require_device(device)
    load_parts(parts)
    run = find_run(Path(path))
    check_parts(run.path)
    (recipe, changed), best = recipe_to_measure(run.recipe, overrides), run.best
    check_same_recipe(recipe, read_facts(best), best, RESUMING)
    like = _stand_in(run.path, recipe)
    own = model is not None or not (recipe.network.name and recipe.encoder.name)
    if own and any(key.startswith("compute.") for key in changed):
        raise RecipeError(f"-s compute: {run.path} has a model of your own: set its model.network.compute in Python")
    measured = for_measuring(recipe)
    try:
        if not recipe.data.name:
            model = model_of(run.path, measured, read_facts(best), device, model)
        elif model is None:
            model = build_model(measured, like, device)
    except BackendError as error:
        if "bfloat16" in str(error):
            error.add_note("in float32: -s compute.precision=fp32 (in Python, overrides= of load_run)")
        raise
    facts = load_best(run, recipe, model.to(device), needs=("epoch",))
    shape, state = tuple(like.manifest.shape[-3:]), loaded_digest(model)
    return LoadedRun(run.path, model.eval(), recipe, facts["epoch"], like.test.classes, shape, facts, changed, state)


def _stand_in(run: Path, recipe: Recipe) -> RecipeData:
    """Return blank samples like those of the run."""
    facts = trained_on(run)
    with usable(run / "environment.json", "only it says what the images are like; put it back, or train again"):
        return stand_in(recipe, manifest_from(facts))


@dataclass(frozen=True)
class OpenedRecipe:
    """A recipe, and the folder of its results."""

    recipe: Recipe
    path: Path
    """The folder of the results."""
    device: str = "cpu"

    @property
    def facts(self) -> Facts:
        """Facts about the recipe that need no training."""
        return facts_of(self.recipe)


def open_recipe(name: str, overrides: Sequence[str] = (), *, folder: Path, device: str = "cpu") -> OpenedRecipe:
    """Open a recipe by name or file."""
    require_device(device)
    return OpenedRecipe(with_absolute_paths(load_recipe(name, overrides)), folder, device)
