"""Start of a training: from a command to a recipe and a run directory, or to a resumable run."""

from __future__ import annotations

import math
import time
import tomllib
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from shlex import quote
from typing import Any, NamedTuple

import torch
from torch import Tensor

from bntt.analysis import evaluate
from bntt.analysis.accuracy import Ann, Conversion
from bntt.data import SampleLoader
from bntt.data.samples import some_of
from bntt.engine.kernels import BackendError, find_backend
from bntt.io.checkpoint import CheckpointError, misfits, read_checkpoint, read_facts, write_checkpoint
from bntt.io.errors import DataError
from bntt.io.files import last_name, write_json_lines, write_whole
from bntt.io.lock import hold_run
from bntt.models.pretrained import pretrained, pretrained_facts
from bntt.models.spiking import FIRE_RULES, RESETS
from bntt.nn import SpikingClassifier, SpikingNetwork
from bntt.nn.kinds import encoder_facts_by_name
from bntt.nn.network.fold import retime
from bntt.runs.directory import (
    LatestCheckpoint,
    RunDirectory,
    check_folders,
    find_run,
    new_run_directory,
    open_or_create_run,
)
from bntt.runs.environment import write_environment
from bntt.runs.identity import (
    RESUMING,
    check_same_data,
    check_same_recipe,
    check_same_rules,
    rules_facts,
    trained_on,
    trained_recipe,
)
from bntt.runs.open_run import LoadedRun, load_run
from bntt.runs.parts import LOADED, check_parts, parts_facts
from bntt.runs.recipe.build import (
    RecipeData,
    build_encoder,
    build_model,
    evaluation_loader,
    input_shape,
    training_loader,
    with_absolute_paths,
)
from bntt.runs.recipe.file import Recipe, RecipeError, dump_recipe, load_recipe, parse_recipe
from bntt.runs.recipe.schema import named_in_errors
from bntt.runs.training.epoch_log import Notice, firing_rates
from bntt.runs.training.requests import Requests
from bntt.training import convert, set_thresholds
from bntt.training.conversion import balancing
from bntt.training.objective import Distillation
from bntt.training.processes import Processes
from bntt.training.session import Session

Changed = dict[str, tuple[Any, Any]]
"""Keys of a recipe that differ, each with its old and new value."""


def check_resume(recipe: Recipe, run: RunDirectory, *, forget_best: bool = False) -> tuple[LatestCheckpoint, Changed]:
    """Check that the run can be resumed with this recipe, before the data is read."""
    found = run.checkpoints.latest()
    facts = found.checkpoint.facts
    check_parts(run.path, resuming=True)
    changed = check_same_recipe(recipe, facts, found.path, RESUMING)
    check_same_rules(recipe, facts, found.path, resuming=True)
    begun, wanted = changed.get("train.epochs", (0, 0))
    for key, applies, why in (
        ("train.epochs", wanted < begun, f"epochs can only be added ({facts['epochs_done']} are done)"),
        ("train.epochs", wanted > begun and recipe.train.schedule == "one-cycle", "a one-cycle cannot be extended"),
        ("compute.precision", "bf16" in changed.get("compute.precision", ()), "it has another forward pass"),
    ):
        if applies:
            then, now = changed[key]
            raise RecipeError(f"{key}: {now!r} cannot follow the {then!r} that it began with: {why}; train a new run")
    if facts["best"] is not None and not forget_best:
        try:
            read_checkpoint(run.best)
        except CheckpointError as error:
            way = "--forget-best resumes, and the best is then chosen from later epochs"
            if not recipe.data.name:
                way = "take another directory"
            raise CheckpointError(f"{error}: the best epoch's weights are lost; {way}") from None
    return found, changed


def resume_state(
    recipe: Recipe, data: RecipeData, run: RunDirectory, processes: Processes, *, forget_best: bool
) -> tuple[LatestCheckpoint, Changed, float | None]:
    """Return checkpoint, changed keys and best validation accuracy to resume from; the first process reads them."""

    def look() -> tuple[LatestCheckpoint, Changed, float | None]:
        found, changed = check_resume(recipe, run, forget_best=forget_best)
        check_same_data(run.path, data.manifest)
        facts = found.checkpoint.facts
        best: float | None = facts["best"]
        try:
            ahead = (file := read_facts(run.best))["epoch"] >= facts["epochs_done"]
            if ahead and changed.keys() & {"evaluate.every", "train.epochs"}:
                best = file["validation_accuracy"]
        except CheckpointError:
            best = None if forget_best else best
        return found, changed, best

    return processes.on_rank0(look)


@dataclass(frozen=True)
class TrainCommand:
    """Arguments of ``bntt train``."""

    recipe: str
    """Name or file of a recipe; with ``resume`` a run directory."""
    overrides: tuple[str, ...] = ()
    name: str = ""
    root: str = "runs"
    resume: bool = False
    forget_best: bool = False
    or_resume: bool = False


class TrainingStart(NamedTuple):
    """A recipe, how the first process opens its run directory, and if that resumes from its last checkpoint."""

    recipe: Recipe
    open_directory: Callable[[], RunDirectory]
    resumes: bool


def resume_or_start(command: TrainCommand) -> TrainingStart:
    """Read recipe and run directory, and refuse what cannot be trained or resumed, before any data is read."""
    there, quoted = RunDirectory(Path(command.recipe)), quote(command.recipe)
    for wrong, why in (
        (command.resume and command.name, "--resume continues in the run's own directory: leave out --name"),
        (command.forget_best and not command.resume, "--forget-best is for --resume: a new run has no best epoch yet"),
        (
            not command.resume and there.recipe.is_file(),
            f"{command.recipe} is a run: bntt train {quoted} --resume resumes it, and bntt train "
            f"{quote(str(there.recipe))} --name NAME starts its recipe again",
        ),
    ):
        if wrong:
            raise RecipeError(why)
    if command.resume:
        run = find_run(there.path)
        check_parts(run.path, resuming=True)
        recipe = load_recipe(run.recipe, command.overrides, stored=True)
        with hold_run(run.path):  # another process training there is reported first
            check_resume(with_absolute_paths(recipe), run, forget_best=command.forget_best)
        return TrainingStart(recipe, partial(RunDirectory, run.path), True)
    recipe, root = load_recipe(command.recipe, command.overrides), Path(command.root)
    folder = command.name or Path(command.recipe).stem
    check_name(folder)
    if command.or_resume:
        run = open_or_create_run(folder, root)
        if resumes := resumes_in(run, with_absolute_paths(recipe)):
            as_begun = [f"compute.{key}={value}" for key, value in rounding_of(run).items()]
            recipe = load_recipe(command.recipe, [*as_begun, *command.overrides])
        return TrainingStart(recipe, partial(RunDirectory, run.path), resumes)
    check_folders(root)
    return TrainingStart(recipe, partial(new_run_directory, folder, root), False)


def resumes_in(run: RunDirectory, recipe: Recipe) -> bool:
    """Return True if there is a checkpoint to resume from, False if a training may start in the directory."""
    resumes, trains = bool(run.checkpoints.paths()), recipe.train.epochs > 0
    if resumes != trains and (resumes or run.best.is_file()):
        there = (
            "weights, and no checkpoint step-* to resume from" if trains else "a training (train.epochs = 0 is none)"
        )
        raise CheckpointError(f"{run.path} has {there}: take another name, or delete the directory")
    if run.best.is_file() and not resumes:
        check_same_recipe(recipe, read_facts(run.best), run.best, RESUMING)
    return resumes


def rounding_of(run: RunDirectory) -> dict[str, Any]:
    """Return the compute options that decide the rounding of a training with a checkpoint, to resume with its bits."""
    found = run.checkpoints.latest()
    begun = trained_recipe(found.checkpoint.facts, found.path).compute
    return {key: getattr(begun, key) for key in ("events", "input_grad", "rectifiers")}


def check_name(folder: str) -> None:
    """Refuse anything but the name of one folder."""
    one = Path(folder).name == folder and folder.strip() not in ("", ".", "..")
    if not one or len(folder) > 100 or not folder.isprintable():
        raise RecipeError(f"--name {folder!r}: a run's name is one folder name of at most 100 printable characters")


def resume_or_start_in_all(command: TrainCommand, processes: Processes) -> TrainingStart:
    """Start or resume the same training in all processes; only the first one reads."""
    first, mine = processes.on_rank0(lambda: _words(command)), _words(command)
    if first != mine:
        raise RecipeError(f"process {processes.rank} was started with {mine}, process 0 with {first}: use one command")
    return processes.on_rank0(lambda: resume_or_start(command))


def _words(command: TrainCommand) -> str:
    words = asdict(command) | {"with": [(last_name(part.source), part.version) for part in LOADED]}  # paths differ
    return ", ".join(f"{name} = {value!r}" for name, value in words.items() if value)


def check_shareable(recipe: Recipe, data: RecipeData, processes: Processes, *, resuming: bool) -> None:
    """Refuse, in every process alike, what several processes cannot do together."""
    count, rank = processes.count, processes.rank
    if count == 1:
        return
    if recipe.convert.ann and (recipe.train.epochs == 0 or not resuming):
        raise RecipeError(f"convert.ann: one process balances thresholds, not {count}: begin with one, then --resume")
    validated = recipe.evaluate.batch_size
    for key, kind, samples, wanted in (
        ("train", "training", len(data.train), recipe.train.batch_size),
        ("evaluate", "validation", len(data.validation), validated),
        ("evaluate", "test", recipe.evaluate.images or len(data.test), validated),
    ):
        batches = math.ceil(samples / wanted)
        smallest = samples // batches if key == "train" else math.ceil(samples / batches)
        if smallest < count:
            made = f"makes batches of {smallest} out of {samples:,} {kind} samples"
            raise RecipeError(f"{key}.batch_size: {wanted} {made}, fewer than there are processes, {count}")
    found = {**data.manifest.sha256, **data.facts()["samples"]}
    if (first := processes.on_rank0(lambda: found)) != found:
        raise DataError(f"process {rank} found other data than process 0: {found} in place of {first}")
    if recipe.compute.backend == "auto" and processes.device == "cpu":  # plain and fused layers sum different tables
        ours = find_backend("cpu").available
        if processes.on_rank0(lambda: ours) != ours:
            has = "has" if ours else "lacks"
            raise BackendError(
                f"process {rank} {has} the compiled kernels, unlike process 0: set compute.backend=reference"
            )


def build_session(recipe: Recipe, data: RecipeData, processes: Processes, device: str = "cpu") -> Session:
    """Create a session for the recipe's own network from its initial weights, before the first update."""
    model, teacher = build_model(recipe, data, device), load_teacher(recipe, data, processes)
    if processes.count == 1:  # else keep everything: free memory differs between processes
        model.network.compute = model.network.settled_compute(input_shape(recipe, data))
    loader = training_loader(recipe, data, device, (processes.rank, processes.count))
    epochs, method = recipe.train.epochs, recipe.train
    return Session(model, loader, epochs=epochs, method=method, seed=recipe.seed, loss=teacher, processes=processes)


def initialise_session(recipe: Recipe, data: RecipeData, session: Session) -> Generator[Notice, None, dict[str, Any]]:
    """Load the network of ``init`` into a session's model and its average, as :func:`load_initial_weights` does."""
    model, processes = session.model, session.processes
    taken = processes.on_rank0(lambda: load_initial_weights(recipe, model, data.train.classes))
    weights = dict(processes.broadcast(model.state_dict()))
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
        same = "name, width, norm and neuron, channels and size of the images must be the same"
        raise RecipeError(f"init: {recipe.init.source} is another network than this recipe's ({wrong[0]}): {same}")
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
    if (first := processes.on_rank0(lambda: repr(teacher))) != repr(teacher):
        raise RecipeError(f"init.distil: process {processes.rank} reads {teacher} from {place}, process 0 {first}")
    return teacher


def _load_source(recipe: Recipe) -> tuple[SpikingClassifier, Sequence[str], dict[str, Any], str]:
    """Load the trained classifier, its classes, and its origin; describe how its training and its parts differ."""
    if name := recipe.init.pretrained:
        kept = pretrained_facts(name)
        its = parse_recipe(tomllib.loads(kept.recipe), stored=True)
        its = replace(its, data=replace(its.data, root=recipe.data.root))
        origin = {"pretrained": name, "epoch": kept.epoch, "weights_sha256": kept.sha256}
        return pretrained(name), kept.classes, origin, _differences(its, recipe)
    as_here = ("compute.backend=auto", "compute.rectifiers=fused", f"compute.precision={recipe.compute.precision}")
    assert recipe.init.run is not None
    run = load_run(recipe.init.run, overrides=as_here)
    if run.recipe.convert.ann:
        raise RecipeError(f"init.run: {run.path} is a converted network: begin with its ANN, convert.ann")
    before, cost = run.checkpoint_facts.get("init", {}), RunDirectory(run.path).training_cost()
    whole = {name: None if value is None else value + (before.get(name) or 0) for name, value in cost.items()}
    origin = {"run": str(run.path), "epoch": run.epoch + 1, "weights_sha256": run.weights_sha256, **whole}
    return run.model, run.classes, origin, _differences(run.recipe, recipe)


def _differences(its: Recipe, ours: Recipe) -> str:
    """Say if a network may have trained on our validation images; and what weights do not show, except of an ANN."""
    theirs, mine, held_out, said = its.data, ours.data, (ours.data.validation, ours.seed), ""
    if theirs.name != mine.name and theirs.name.removesuffix("-bundled") == mine.name.removesuffix("-bundled"):
        said = f"; it may have trained on images that validate here: {theirs.name} and {mine.name} share images"
    elif theirs.name == mine.name and theirs.root == mine.root and (theirs.validation, its.seed) != held_out:
        said = "; it may have trained on images that validate here: seed or data.validation differ"
    before, now = (vars(one.network) for one in (its, ours))
    if its.network.neuron == "relu" != ours.network.neuron:
        return said
    other = [key for key in now if key != "num_steps" and now[key] != before[key]]
    return said + "".join(f"; {key} is {now[key]}, it was {before[key]}" for key in other)


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
    assert place is not None
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
        raise RecipeError(f"convert.ann: {place} has {'; '.join(wrong)} for this recipe")
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
