"""The session of a recipe, and initialisation with a trained network's weights, γ and statistics."""

from __future__ import annotations

import tomllib
import warnings
from collections.abc import Generator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from bntt.io.checkpoint import CheckpointError, misfits
from bntt.models.pretrained import pretrained, pretrained_facts
from bntt.nn import SpikingClassifier, SpikingNetwork
from bntt.nn.network.retime import retime
from bntt.runs.directory import RunDirectory
from bntt.runs.open_run import load_run
from bntt.runs.recipe.build import build_model, input_shape, training_loader
from bntt.runs.recipe.datasets import RecipeData
from bntt.runs.recipe.file import Recipe, RecipeError, parse_recipe
from bntt.runs.training.epoch_log import Notice
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
    return {"init": taken}


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
    try:
        source.eval()(data.train.batch(torch.tensor([0])))
    except ValueError as error:
        raise RecipeError(f"init.distil: {place} cannot take these samples: {error}") from None
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


BUNDLED = "-bundled"
"""Suffix of the name of data that are a part of another dataset's."""


def _overlap(its: tuple[str, str, float, int], recipe: Recipe) -> str:
    """Return a warning if a network of this data, root, share for validation and seed trained on another split."""
    ours = recipe.data.name, recipe.data.root, recipe.data.validation, recipe.seed
    if its[0] != ours[0] and its[0].removesuffix(BUNDLED) == ours[0].removesuffix(BUNDLED):
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
