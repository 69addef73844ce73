"""A study with numbers in every measure, as it is after its work: from files that measurements wrote."""

import json
from dataclasses import replace
from pathlib import Path

from bntt.studies.plan import plan_study
from bntt.studies.pool import KeptRun
from bntt.studies.study_file import load_study, parse_study
from bntt.studies.study_result import StartResult, StudyResult
from tests.evidence import RESULTS
from tests.studies.kept import evaluation, small, study

FILES = {
    "evaluate": "rival-bntt-0/evaluation.json",
    "retiming": "rival-bntt-0/evaluation.json",
    "exit": "cifar10-small-bd63a9e48c3d/exit.json",
    "activity": "cifar10-small-bd63a9e48c3d/activity.json",
    "energy": "rival-bntt-0/energy.json",
    "drift": "cifar10-small-bd63a9e48c3d/drift.json",
    "equivalence": "cifar10-small-bd63a9e48c3d/equivalence.json",
    "robust": "rivals-noise/robust.json",
    "attack": "rivals-attack-bntt/attack-fgsm.json",
    "stability": "stability/stability.json",
    "gradients": "cifar10-small-d44f7ac9ee1e/measures/stability-557876836613.json",
}
PLACES = {"images": "/somewhere", "dvs-cifar10": "/elsewhere"}
NEURON = {
    "dataset": "made",
    "split": "test",
    "layer": "conv1",
    "place": [0, 1, 2],
    "image": 0,
    "label": "0",
    "threshold": 1.0,
    "steps": [
        {"step": 1, "potential": 0.5, "spike": False, "membrane": 0.5, "surrogate_gradient": 0.1},
        {"step": 2, "potential": None, "spike": True, "membrane": 0.1, "surrogate_gradient": 0.1},
    ],
}
CARD = {
    "dataset": "made",
    "split": "test",
    "arguments": {"split": "test", "images": 200},
    "images": 200,
    "steps": 2,
    "parameters": 12,
    "bits": {"int8": {"weights": 224, "tables": 256}},
    "negative_gamma": 0.25,
    "layers": [
        {
            **{"layer": name, "weights": 6, "connections": 6, "neurons": 4, "state_bytes": 16, "fan_out_largest": 3},
            **{"fan_out_mean": 2.5, "negative_gamma": gamma, "spikes": spikes, "synaptic_operations": 6.5},
            **{"highest_membrane": highest},
        }
        for name, gamma, spikes, highest in (("conv1", 0.25, 2.0, 3.5), ("readout", None, None, 9.0))
    ],
}
MADE = {"neuron": NEURON, "card": CARD}
"""Of measurements whose files are not among the evidence."""


def written(kind):
    """What the measurement of a kind wrote."""
    if kind in MADE:
        return MADE[kind]
    found = json.loads((RESULTS / FILES[kind]).read_text(encoding="utf-8"))
    return found.get("values", found)


def small_result(accuracy=None, state="done"):
    """The small study: BNTT and no norm, two starts each; accuracies by (run, seed), 0.8 otherwise."""
    found = parse_study(study(), "mine")
    runs = tuple(plan_study(found, "small"))
    starts = {}
    for run in runs:
        for start in run.starts:
            values = evaluation((accuracy or {}).get((run.name, start.seed), 0.8))
            made_on = {"commit": "c", "processor": "P"}
            kept = KeptRun(Path("runs/pool/x"), small(), "id", {"train": "t"}, made_on, values)
            numbers = {"evaluate": values}
            starts[run.name, start.seed] = StartResult(start, state, "", kept, "id", numbers)
    return StudyResult(found, "small", runs, starts)


def full_result(name, setting="small"):
    """A study that comes with bntt, every start with the same numbers of every measure that it has."""
    found = load_study(name)
    runs = tuple(plan_study(found, setting, PLACES))
    kinds = {"evaluate": "evaluate"} | {name: measure.kind for name, measure in found.measures.items()}
    cache = {}
    starts = {}
    for run in runs:
        for start in run.starts:
            names = ["evaluate", *start.measures] if start.trained else list(start.measures)
            for each in names:
                cache.setdefault(kinds[each], written(kinds[each]))
            numbers = {each: cache[kinds[each]] for each in names}
            starts[run.name, start.seed] = StartResult(start, "done", "", None, "id", numbers)
    return StudyResult(found, setting, runs, starts)


def empty_result(name, setting="small"):
    """A study of which nothing was run."""
    full = full_result(name, setting)
    nothing = {key: replace(one, state="not run", why="not here", numbers={}) for key, one in full.found.items()}
    return replace(full, found=nothing)
