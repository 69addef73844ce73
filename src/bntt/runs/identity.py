"""Checks that recipe, network, data and a chosen exit belong to a run, so that its name stands for its own numbers."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from inspect import signature
from itertools import zip_longest
from pathlib import Path
from shlex import quote
from typing import Any

from torch import Tensor, nn

from bntt.data.prepared import Manifest
from bntt.engine.private import STANDARD
from bntt.io.checkpoint import CheckpointError, state_digest
from bntt.io.files import digest, digest_of_text, digest_of_values, flatten, read_json, tables_of
from bntt.models import MODELS
from bntt.models.spiking import as_built
from bntt.nn import SpikingClassifier
from bntt.nn.network.classifier import touched_parts
from bntt.runs.directory import RunDirectory, usable
from bntt.runs.recipe.build import for_measuring
from bntt.runs.recipe.file import Recipe, RecipeError, key_in, load_recipe, parse_recipe, values_of

RESUMING = ("data.root", "notes", "train.epochs", "evaluate", "compute", "checkpoint")
"""Keys, and whole tables, that may differ when a run is resumed, or measured. Data are compared by checksum; the
number of epochs may only grow."""
MEASURING = ("data.root", "evaluate.draws", "evaluate.batch_size", "evaluate.images", "compute")
"""Keys, and a whole table, that may be overridden to measure a run."""
FREE = {"_compute", "_kept", "built"}
"""Attributes of a network that are compared elsewhere, or may differ."""
EXIT = "exit.json"
"""File in which ``bntt exit`` stores the step at which a run may stop."""


def trained_recipe(facts: Mapping[str, Any], checkpoint: Path) -> Recipe:
    """Return the recipe that a checkpoint was trained with, from its facts."""
    with usable(checkpoint, "train it again"):
        return parse_recipe(tables_of(facts["recipe"]), stored=True)


def recipe_changes(recipe: Recipe, trained: Recipe) -> dict[str, tuple[Any, Any]]:
    """Return the keys that differ, each with its old and new value."""
    now, then = flatten(values_of(recipe)), flatten(values_of(trained))
    differ = {key: (then[key], now[key]) for key in then if now[key] != then[key]}
    if then["network.norm"] == "":  # a network put together in Python: until 1.0 a layer without a norm hid the name
        differ.pop("network.norm", None)
    return differ


def recipe_to_measure(file: Path, overrides: Sequence[str]) -> tuple[Recipe, dict[str, Any]]:
    """Load the recipe of a run with overrides, and return it with the values that this changes for a measurement."""
    keys = [key for override in overrides if (key := key_in(override))]
    if wrong := [key for key in keys if not {key, key.partition(".")[0]} & set(MEASURING)]:
        raise RecipeError(
            f"-s {wrong[0]}: a trained run is measured as it was trained; what may be set is "
            f"{', '.join(f'{key}.*' if '.' not in key else key for key in MEASURING)}"
        )
    recipe = load_recipe(file, stored=True)
    if not overrides:
        return recipe, {}
    if "data.root" in keys and not recipe.data.name:
        raise RecipeError(f"-s data.root: {file.parent} keeps its samples itself (bntt.fit made it): leave it out")
    other = load_recipe(file, overrides, stored=True)
    changed = recipe_changes(for_measuring(other), for_measuring(recipe))
    return other, {key: now for key, (_, now) in changed.items() if key != "data.root"}


def check_same_recipe(
    recipe: Recipe, facts: Mapping[str, Any], checkpoint: Path, free: Collection[str]
) -> dict[str, tuple[Any, Any]]:
    """Refuse a recipe that differs from the one a checkpoint was trained with, except in the free keys."""
    run = checkpoint.parent.parent
    found = recipe_changes(recipe, trained_recipe(facts, checkpoint))
    changed = {key: pair for key, pair in found.items() if not {key, key.partition(".")[0]} & set(free)}
    if changed:
        listed = "; ".join(f"{key} is {now!r}, it was trained with {then!r}" for key, (then, now) in changed.items())
        flags = "".join(f" -s {quote(f'{key}={json.dumps(now)}')}" for key, (_, now) in found.items())
        own = f": bntt train {run}/recipe.toml --name NAME{flags}" if recipe.data.name else ""
        raise CheckpointError(
            f"{run} was trained with another recipe ({listed}): put the old values back, or train the new values "
            f"as a run of their own{own}"
        )
    check_same_rules(recipe, facts, checkpoint, resuming=False)
    return found


def unprinted(model: SpikingClassifier) -> dict[str, str]:
    """Return what a model does not print, by name: its touched parts, attributes, and the buffers of its encoder."""
    found: dict[str, Any] = {"touched": ", ".join(f"{name} {why}" for name, why in touched_parts(model).items())}
    for name, part in {**dict(model.named_modules()), "encoder": model.encoder}.items():
        if type(part).__module__.startswith("torch."):
            continue
        own = dict(getattr(part, "__dict__", {}))
        if name.partition(".")[0] == "encoder" and isinstance(part, nn.Module):
            own |= part.named_buffers(recurse=False)
        for key in own.keys() - STANDARD - FREE:
            value = own[key].tolist() if isinstance(own[key], Tensor) else own[key]
            found[f"{name}.{key}"] = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
    said = {key: repr(value) for key, value in found.items()}
    return {key: one if len(one) < 80 else digest_of_text(one) for key, one in said.items() if " at 0x" not in one}


def loaded_digest(model: SpikingClassifier) -> str:
    """Return a checksum of a model's parameters and buffers, and of its touched parts."""
    return digest_of_values([state_digest(model), touched_parts(model)])


def lasting(facts: dict[str, Any], model: SpikingClassifier) -> dict[str, Any]:
    """Return facts for a checkpoint, without the values of the model that training has moved."""
    if "values" not in facts:
        return facts
    now = unprinted(model)
    return {**facts, "values": {key: value for key, value in facts["values"].items() if now.get(key) == value}}


def difference(name: str, then: Mapping[str, Any], now: Mapping[str, Any]) -> str:
    """Return the first difference between the recorded structure of a model and that of a trained one; "" if none."""
    if then.get("written"):
        lines = [as_built(facts["written"]).splitlines() for facts in (then, now)]
        for was, instead in (*zip_longest(*lines, fillvalue=""), (then.get("encoder", now["encoder"]), now["encoder"])):
            if was != instead:
                return f"{instead.strip()!r} in place of {was.strip()!r}"
    ours = now.get("values", {})
    for key, value in then.get("values", {}).items():
        if key in ours and ours[key] != value:
            return f"{key} = {ours[key]} in place of {value}"
    if name in MODELS and then.get("built") and now.get("built"):
        takes = signature(MODELS[name]).parameters.values()
        usual = {one.name: one.default for one in takes if one.default is not one.empty}
        old, new = (json.loads(json.dumps(usual | facts["built"], default=str)) for facts in (then, now))
        for key in new:
            if key != "seed" and key in old and old[key] != new[key]:
                return f"{key} = {new[key]!r} in place of {old[key]!r}"
    return ""


def check_same_network(name: str, now: Mapping[str, Any], facts: Mapping[str, Any], checkpoint: Path) -> str:
    """Refuse a network given in Python that is not built as a checkpoint's."""
    if not (found := difference(name, facts, now)):
        return ""
    said = f"{checkpoint.parent.parent} was trained with another network: {found}"
    if facts.get("described_by") != now["described_by"]:
        return f"warning: as it prints here, {said}"
    raise CheckpointError(f"{said}: give the network that it began with, or take a new directory")


def check_same_data(run: Path, manifest: Manifest) -> None:
    """Refuse data other than what the run in this directory was trained on."""
    first = trained_on(run)
    if first["sha256"] != manifest.sha256:
        raise CheckpointError(
            f"{run} was trained on other data than this: {_describe(first)}; now it is {_describe(vars(manifest))}. "
            f"Bring the first back, or train a new run on the data here"
        )


def trained_on(run: Path) -> dict[str, Any]:
    """Return the manifest of a run's data, checksums included, as the run recorded it."""
    file = run / "environment.json"
    with usable(file, "only it says which data the run was trained on; put it back, or train again"):
        first: dict[str, Any] = read_json(file)["data"]
        return first | {"sha256": {**first["sha256"]}}


def weights_hash(run: RunDirectory) -> str:
    """Return the SHA-256 of the best epoch's file."""
    with usable(run.best, "put it back, or train again"):
        return digest(run.best)


def began_with_others(evaluation: Mapping[str, Any], source: RunDirectory) -> bool:
    """Return True if a training began with other weights than its source run has now, as far as both say."""
    known = (evaluation.get("begun_with") or {}).get("weights_sha256")
    return bool(known) and source.best.is_file() and known != weights_hash(source)


def saved_exit(run: RunDirectory, num_steps: int) -> int:
    """Return the number of steps after which the exit stored with a run stops."""
    path = run.path / EXIT
    again = f"choose one: bntt exit {run.path} (of a network with a γ for each step)"
    with usable(path, again):
        kept: Any = read_json(path)
        steps, weights, data = kept["steps"], kept["weights_sha256"], kept["data_sha256"]
        if type(steps) is not int or not 1 <= steps <= num_steps:
            raise ValueError(f"steps is {steps!r}, of {num_steps}")
    other = "data" if data != trained_on(run.path)["sha256"] else "weights" if weights != weights_hash(run) else ""
    if other:
        raise CheckpointError(f"the exit in {path} was chosen for other {other} than the run has now: {again}")
    return steps


def _describe(data: Mapping[str, Any]) -> str:
    """Format a dataset's name, location and the first digits of its checksums."""
    sums = ", ".join(f"{part} {str(digits)[:12]}" for part, digits in data["sha256"].items())
    return " ".join(str(word) for word in (data.get("name"), data.get("source"), f"(SHA-256 of {sums})") if word)


TRAINING = {"train.warmup"}
"""Options that change the training alone: an old run can be measured, but not resumed."""


def rules_of(recipe: Recipe) -> dict[str, int]:
    """Return the versions of the options that a recipe uses: a warm-up rises with every update, it rose by epochs."""
    return {"train.warmup": 2} if recipe.train.warmup > 0 and recipe.train.lr_every == "epoch" else {}


def rules_facts(recipe: Recipe) -> dict[str, Any]:
    """Return the versions as a fact of a run; empty if there are none."""
    found = rules_of(recipe)
    return {"rules": found} if found else {}


def rules_in(facts: Mapping[str, Any]) -> dict[str, Any]:
    """Return the versions from the facts of a run."""
    found = facts.get("rules", {})
    return found if isinstance(found, dict) else {"rules": found}


def check_same_rules(recipe: Recipe, facts: Mapping[str, Any], checkpoint: Path, *, resuming: bool) -> None:
    """Refuse to resume, or to measure, a run whose recipe means something else now than when it was trained."""
    now, then, run = rules_of(recipe), rules_in(facts), checkpoint.parent.parent
    changed = [one for one in now | then if now.get(one) != then.get(one) and (resuming or one not in TRAINING)]
    if changed:
        told = "; ".join(f"{one}: it was version {then.get(one, 1)}, here it is {now.get(one, 1)}" for one in changed)
        raise CheckpointError(
            f"{run} was trained by a version of bntt whose options mean something else ({told}): use that version, or "
            f"train it again as a run of its own: bntt train {run}/recipe.toml --name NAME"
        )
