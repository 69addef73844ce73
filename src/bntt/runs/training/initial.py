"""What a training starts from: its session, the weights of a trained network, or an ANN with balanced thresholds."""

from __future__ import annotations

import time
import tomllib
import warnings
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bntt.analysis import evaluate
from bntt.analysis.accuracy import Ann, Conversion
from bntt.data import SampleLoader
from bntt.data.samples import some_of
from bntt.io.checkpoint import CheckpointError, misfits, write_checkpoint
from bntt.io.files import write_json_lines, write_whole
from bntt.io.lock import hold_run
from bntt.models.pretrained import pretrained, pretrained_facts
from bntt.models.spiking import FIRE_RULES, RESETS
from bntt.nn import SpikingClassifier, SpikingNetwork
from bntt.nn.kinds import encoder_facts_by_name
from bntt.nn.network.retime import retime
from bntt.runs.directory import RunDirectory
from bntt.runs.environment import write_environment
from bntt.runs.identity import rules_facts, trained_on
from bntt.runs.open_run import LoadedRun, load_run
from bntt.runs.parts import parts_facts
from bntt.runs.recipe.build import build_encoder, build_model, input_shape, training_loader
from bntt.runs.recipe.datasets import RecipeData, evaluation_loader
from bntt.runs.recipe.file import Recipe, RecipeError, dump_recipe, parse_recipe
from bntt.runs.recipe.schema import named_in_errors
from bntt.runs.training.epoch_log import Notice, firing_rates
from bntt.runs.training.requests import Requests
from bntt.training import balancing, convert, set_thresholds
from bntt.training.objective import Distillation
from bntt.training.processes import Processes
from bntt.training.schedule import DropsWarning
from bntt.training.session import Session


def build_session(recipe: Recipe, data: RecipeData, processes: Processes, device: str = "cpu") -> Session:
    """Create a session for the recipe's own network from its initial weights, before the first update."""
    model, teacher = build_model(recipe, data, device), load_teacher(recipe, data, processes)
    if processes.count == 1:  # else keep everything: free memory differs between processes
        model.network.compute = model.network.settled_compute(input_shape(recipe, data))
    loader = training_loader(recipe, data, device, (processes.rank, processes.count))
    epochs, method = recipe.train.epochs, recipe.train
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DropsWarning)  # bntt train warns of it
        return Session(model, loader, epochs=epochs, method=method, seed=recipe.seed, loss=teacher, processes=processes)


def initialise_session(recipe: Recipe, data: RecipeData, session: Session) -> Generator[Notice, None, dict[str, Any]]:
    """Load the network of ``init`` into a session's model and its average, as :func:`load_initial_weights` does."""
    model, processes = session.model, session.processes
    taken = processes.decided(lambda: load_initial_weights(recipe, model, data.train.classes))
    weights = dict(processes.given(model.state_dict()))
    for other in filter(None, (model, session.average)):
        other.load_state_dict(weights)
    teaches = f"; its answers are {recipe.init.distil:g} of the loss" if recipe.init.distil else ""
    yield Notice(f"weights are those of {recipe.init.source}, epoch {taken['epoch']}{taken['changed']}{teaches}")
    return taken


def load_initial_weights(recipe: Recipe, model: SpikingClassifier, classes: Sequence[str]) -> dict[str, Any]:
    """Give a model the weights, γ and running statistics of the trained network that its recipe's ``init`` names."""
    trained, told, facts, said = _load_source(recipe)
    source = trained.network
    steps, own = recipe.network.num_steps, model.network.state_dict()
    if _is_ann(source) and not _is_ann(model.network):
        weights, left = _of_every_step(source.state_dict(), own)
        said += f"; its γ and statistics are those of every step{', its β is left out' if left else ''}"
    elif source.num_steps in (None, steps):
        weights = source.state_dict()
    else:
        how = "truncate" if steps < (source.num_steps or steps) else recipe.init.longer
        said += f"; T is {steps}, it was {source.num_steps} ({how})"
        try:
            weights = retime(source, steps, how).state_dict()
        except (TypeError, ValueError) as error:  # a part with steps of its own, or a window that is longer than T
            raise RecipeError(f"network.num_steps: {recipe.init.source} cannot take {steps}: {error}") from None
    if tuple(told) != tuple(classes):
        said += f"; the last layer is new, for {len(classes)} other classes"
        last = {name: value for name, value in own.items() if name.startswith("readout.")}
        weights = {name: value for name, value in weights.items() if not name.startswith("readout.")} | last
    if wrong := misfits(weights, own):
        raise RecipeError(
            f"init: {recipe.init.source} is another network than this recipe's ({wrong[0]}): name, width, "
            f"norm and neuron of the network must be the same, and channels and size of the images; an ANN may have "
            f"another norm with batch statistics, but neither TEBN nor TAB"
        )
    model.network.load_state_dict(weights)
    return {**facts, "changed": said}


def load_teacher(recipe: Recipe, data: RecipeData, processes: Processes) -> Distillation | None:
    """Load the network of ``init`` as a teacher, in every process; None if nothing is distilled."""
    if not (share := recipe.init.distil):
        return None
    place = recipe.init.source
    try:
        source, classes, *_ = _load_source(recipe)
    except CheckpointError as error:
        raise CheckpointError(f"init.distil: the teacher cannot be read: {error}") from None
    if tuple(classes) != tuple(data.train.classes):
        raise RecipeError(f"init.distil: {place} has other classes, so that it cannot teach these")
    with named_in_errors(f"init.distil: {place} cannot take these samples: "):
        source.eval()(data.train.batch(torch.tensor([0])))
    teacher = Distillation(source, share=share, temperature=recipe.init.temperature)
    if (first := processes.decided(lambda: repr(teacher))) != repr(teacher):
        raise RecipeError(f"init.distil: process {processes.rank} reads {teacher} from {place}, process 0 {first}")
    return teacher


def _load_source(recipe: Recipe) -> tuple[SpikingClassifier, Sequence[str], dict[str, Any], str]:
    """Load the trained classifier, its classes, and its origin; add a warning if it was trained on another split."""
    if name := recipe.init.pretrained:
        facts = pretrained_facts(name)
        made = tomllib.loads(facts.recipe)
        said = _overlap((made["data"]["name"], recipe.data.root, made["data"]["validation"], made["seed"]), recipe)
        kept = {"pretrained": name, "epoch": facts.epoch, "weights_sha256": facts.sha256}
        return pretrained(name), facts.classes, kept, said + _changed_parts(parse_recipe(made, stored=True), recipe)
    as_here = ("compute.backend=auto", "compute.rectifiers=fused", f"compute.precision={recipe.compute.precision}")
    run = load_run(recipe.init.run, overrides=as_here)
    if run.recipe.convert.ann:
        raise RecipeError(
            f"init.run: {run.path} is a converted network with thresholds of its own: begin with its ANN, convert.ann"
        )
    kept = {"run": str(run.path), "epoch": run.epoch + 1, "weights_sha256": run.weights_sha256}
    its = run.recipe.data
    said = _overlap((its.name, its.root, its.validation, run.recipe.seed), recipe)
    before, cost = run.checkpoint_facts.get("init", {}), RunDirectory(run.path).training_cost()
    whole = {name: None if value is None else value + (before.get(name) or 0) for name, value in cost.items()}
    return run.model, run.classes, kept | whole, said + _changed_parts(run.recipe, recipe)


def _overlap(its: tuple[str, str | None, float, int], recipe: Recipe) -> str:
    """Return a warning if a network of this data, root, share for validation and seed trained on another split."""
    ours = recipe.data.name, recipe.data.root, recipe.data.validation, recipe.seed
    if its[0] != ours[0] and its[0].removesuffix("-bundled") == ours[0].removesuffix("-bundled"):
        return f"; it may have trained on images that validate here: {its[0]} and {ours[0]} share images"
    seen = its[:2] == ours[:2] and its != ours
    return "; it may have trained on images that validate here: seed or data.validation differ" if seen else ""


def _changed_parts(its: Recipe, ours: Recipe) -> str:
    """Describe differences of two networks that weights do not show; "" if an ANN starts a spiking network."""
    before, now = (vars(one.network) for one in (its, ours))
    if its.network.neuron == "relu" != ours.network.neuron:
        return ""
    other = [key for key in now if key != "num_steps" and now[key] != before[key]]
    return "".join(f"; {key} is {now[key]}, it was {before[key]}" for key in other)


def _is_ann(network: SpikingNetwork) -> bool:
    return all(layer.lif is None for layer in network.layers.values())


AS_BUILT = (".beta", ".step_scale", ".leak_logit")
"""Suffixes of parameters that a spiking network learns and its ANN may lack."""


def _of_every_step(ann: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], list[str]]:
    """Return an ANN's state with the row of its norms' tables repeated for every step, and the β that ``own`` lacks."""
    taken = dict(ann)
    for name, value in own.items():
        if name not in ann and name.endswith(AS_BUILT):
            taken[name] = value
        elif ".norm." in name and name in ann and ann[name].shape[:1] == (1,):
            taken[name] = ann[name].expand(len(value), *ann[name].shape[1:])
    left = [name for name in ann if name.endswith(".norm.beta") and name not in own]
    return {name: value for name, value in taken.items() if name not in left}, left


def open_ann(recipe: Recipe, device: str = "cpu") -> LoadedRun:
    """Load the ANN that a recipe converts, after checking that it fits this network."""
    place, network = recipe.convert.ann, recipe.network
    if not RunDirectory(Path(place)).recipe.is_file():
        raise RecipeError(f"convert.ann: {place} is not a run directory: train the ANN first")
    loaded = load_run(place, device=device)
    ann = loaded.recipe
    same: dict[str, tuple[object, object]] = {
        "network.neuron": (ann.network.neuron, "relu"),
        "network.name": (ann.network.name, network.name),
        "network.width": (ann.network.width, network.width),
        "encoder.name": (
            ann.encoder.name,
            encoder_facts_by_name(recipe.encoder.name).mean_code or recipe.encoder.name,
        ),
        "data.name": (ann.data.name, recipe.data.name),
        "data.validation": (ann.data.validation, recipe.data.validation),
        "data.images": (ann.data.images, recipe.data.images),
        "seed": (ann.seed, recipe.seed),
    }
    if wrong := [f"{key} = {its!r}, which must be {ours!r}" for key, (its, ours) in same.items() if its != ours]:
        raise RecipeError(
            f"convert.ann: {place} has {'; '.join(wrong)} for this recipe: an ANN of the same plan, which held out the "
            f"same images"
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
    with named_in_errors("convert: "):
        network = convert(source.model.network, reset=reset, rule=rule)
        network.compute = model.network.compute
        loader = SampleLoader(images, recipe.evaluate.batch_size, device=device)
        shown = SpikingClassifier(build_encoder(recipe, data, wanted.steps), network).to(device)
        for name, threshold in balancing(network, shown.encoder, loader, seed=recipe.seed, progress=after_batch):
            yield Notice(f"layer {name}: the largest weighted input is {threshold:.4g}")
            found[name] = threshold
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
    after_batch, began = (requests or Requests()).stop_conversion, time.monotonic()
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
