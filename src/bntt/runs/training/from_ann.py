"""Runs that start from an ANN: its weights, balanced thresholds, and one factor for all thresholds."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterator
from pathlib import Path

from bntt.analysis import evaluate
from bntt.analysis.accuracy.measurement import Ann, Conversion
from bntt.data import SampleLoader
from bntt.data.samples import some_of
from bntt.io.checkpoint import write_checkpoint
from bntt.io.files import write_json_lines, write_whole
from bntt.io.lock import hold_run
from bntt.models.spiking import FIRE_RULES, RESETS
from bntt.nn import SpikingClassifier
from bntt.nn.kinds import encoder_facts_by_name
from bntt.runs.directory import RunDirectory
from bntt.runs.environment import write_environment
from bntt.runs.identity import trained_on
from bntt.runs.open_run import LoadedRun, load_run
from bntt.runs.parts import parts_facts
from bntt.runs.recipe.build import build_encoder, build_model, facts_of
from bntt.runs.recipe.datasets import RecipeData, evaluation_loader
from bntt.runs.recipe.file import Recipe, RecipeError, dump_recipe
from bntt.runs.recipe.option_versions import rules_facts
from bntt.runs.training.epoch_log import Notice, firing_rates
from bntt.runs.training.requests import Interrupted, Requests
from bntt.training import balancing, convert, set_thresholds


def open_ann(recipe: Recipe, device: str = "cpu") -> LoadedRun:
    """Load the ANN that a recipe converts, after checking that it fits this network."""
    place = recipe.convert.ann
    if not RunDirectory(Path(place)).recipe.is_file():
        raise RecipeError(
            f"convert.ann: {place} is not a run directory: train the ANN first, such as fashion-mnist-ann"
        )
    loaded = load_run(place, device=device)
    ann, network = loaded.recipe, recipe.network
    if not facts_of(ann).is_ann:
        raise RecipeError(
            f'convert.ann: {place} is not an ANN, its network.neuron is {ann.network.neuron!r}, not "relu"'
        )
    if (ann.network.name, ann.network.width) != (network.name, network.width):
        raise RecipeError(
            f"convert.ann: {place} is {ann.network.name} x{ann.network.width:g}, the network of this recipe is "
            f"{network.name} x{network.width:g}: they must be one plan"
        )
    wanted = encoder_facts_by_name(recipe.encoder.name).mean_code or recipe.encoder.name
    same: dict[str, tuple[object, object]] = {
        "encoder.name": (ann.encoder.name, wanted),
        "data.name": (ann.data.name, recipe.data.name),
        "data.validation": (ann.data.validation, recipe.data.validation),
        "data.images": (ann.data.images, recipe.data.images),
        "seed": (ann.seed, recipe.seed),
    }
    for key, (its, ours) in same.items():
        if its != ours:
            raise RecipeError(
                f"convert.ann: {place} has {key} = {its!r}, which must be {ours!r} for this recipe: the same images "
                f"must be held out, and mean the same"
            )
    return loaded


def convert_ann(
    recipe: Recipe, data: RecipeData, model: SpikingClassifier, after_batch: Callable[[int], None]
) -> Generator[Notice, None, Conversion]:
    """Give the model an ANN's weights and thresholds; yield a notice for every threshold found."""
    began, wanted, device = time.monotonic(), recipe.convert, str(next(model.parameters()).device)
    source = open_ann(recipe, device)
    if trained_on(source.path)["sha256"] != data.manifest.sha256:
        raise RecipeError(f"convert.ann: {wanted.ann} was trained on other files of {recipe.data.name} than these")
    rule, reset = FIRE_RULES.resolve(recipe.network.fire), RESETS.resolve(recipe.network.reset)
    images, found = some_of(data.train, wanted.images, recipe.seed), dict[str, float]()
    yield Notice(f"balancing the thresholds of {wanted.ann} with {len(images):,} training images, {wanted.steps} steps")
    try:
        network = convert(source.model.network, reset=reset, rule=rule)
        network.compute = model.network.compute
        loader = SampleLoader(images, recipe.evaluate.batch_size, device=device)
        shown = SpikingClassifier(build_encoder(recipe, data, wanted.steps), network).to(device)
        for name, threshold in balancing(network, shown.encoder, loader, seed=recipe.seed, progress=after_batch):
            yield Notice(f"layer {name}: the largest weighted input is {threshold:.4g}")
            found[name] = threshold
    except ValueError as error:
        raise RecipeError(f"convert: {error}") from None
    model.network.load_state_dict({**model.network.state_dict(), **network.state_dict()})
    scale, tried, count = wanted.scale, list[tuple[float, float]](), 0
    if isinstance(scale, str):
        some = some_of(data.validation, wanted.grid_images, recipe.seed)
        count, held_out = len(some), SampleLoader(some, recipe.evaluate.batch_size, device=device)
        for candidate in sorted(wanted.grid, reverse=True):
            set_thresholds(model.network, {name: candidate * value for name, value in found.items()})
            accuracy = evaluate(model, held_out, seed=recipe.seed, draws=1, progress=after_batch).accuracy.mean
            tried.append((candidate, accuracy))
            yield Notice(f"scale {candidate:g}: accuracy {accuracy:.1%} on {count:,} validation images")
        scale = max(tried, key=lambda pair: pair[1])[0]  # on a tie the first, the largest scale
    thresholds = {name: scale * value for name, value in found.items()}
    set_thresholds(model.network, thresholds)
    yield Notice(f"thresholds are {scale:g} times the largest weighted input{', as validation chose' if tried else ''}")
    ann = Ann(
        run=str(source.path),
        epoch=source.epoch,
        validation_accuracy=source.checkpoint_facts["validation_accuracy"],
        weights_sha256=source.weights_sha256,
        **RunDirectory(source.path).training_cost(),
    )
    made = {"thresholds": thresholds, "scale": scale, "tried": tried, "tried_images": count, "images": len(images)}
    return Conversion.model_validate({"ann": ann, **made, "steps": wanted.steps, "seconds": time.monotonic() - began})


def run_conversion(
    recipe: Recipe, data: RecipeData, run: RunDirectory, *, device: str = "cpu", requests: Requests | None = None
) -> Iterator[Notice]:
    """Run a conversion without training: thresholds, one validation, and weights saved like a training's best."""
    after_batch, began = stop_on_request(requests or Requests()), time.monotonic()
    with hold_run(run.path):
        write_whole(run.recipe, (written := dump_recipe(recipe)).encode())
        write_environment(run.path, 0, {"device": device, **rules_facts(recipe), **parts_facts(recipe), **data.facts()})
        model = build_model(recipe, data, device)
        conversion = yield from convert_ann(recipe, data, model, after_batch)
        held_out = evaluation_loader(recipe, data, "validation", device)
        evaluation = evaluate(model, held_out, seed=recipe.seed, draws=1, progress=after_batch)
        accuracy = evaluation.accuracy.mean
        facts = {"epoch": 0, "validation_accuracy": accuracy, "averaged": False, "recipe": written}
        tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
        facts |= {**rules_facts(recipe), "conversion": conversion.model_dump(mode="json")}
        write_checkpoint(run.best, tensors, facts)
        row = {
            "epoch": 0,
            "validation_accuracy": accuracy,
            "validation_images": len(held_out.places),
            "updates": 0,
            "seconds": time.monotonic() - began,
            "firing_rate": firing_rates(evaluation),
        }
        write_json_lines(run.metrics, [row])
        yield Notice(f"validation accuracy {accuracy:.1%} on {len(held_out.places):,} images")


def stop_on_request(requests: Requests) -> Callable[[int], None]:
    """Return a callback that stops a conversion between two batches on request."""

    def after_batch(images: int) -> None:
        if requests.stop is not None:
            raise Interrupted(requests.stop, "the conversion has kept nothing yet: begin again")

    return after_batch
