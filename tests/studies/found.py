"""A study with numbers in every measure, as it is after its work: from files that verbs wrote."""

import json
from dataclasses import replace
from pathlib import Path

from bntt.studies.pool import KeptRun
from bntt.studies.start_plan import plan_study
from bntt.studies.study_file import load_study, parse_study
from bntt.studies.study_result import StartFound, StudyResult
from tests.studies.kept import study
from tests.studies.test_metrics import FILES, KEPT

PLACES = {"images": "/somewhere", "dvs-cifar10": "/elsewhere"}
NEURON = {
    "layer": "conv1",
    "place": [0, 1, 2],
    "threshold": 1.0,
    "steps": [
        {"step": 1, "potential": 0.5, "spike": False, "membrane": 0.5, "surrogate_gradient": 0.1},
        {"step": 2, "potential": None, "spike": True, "membrane": 0.1, "surrogate_gradient": 0.1},
    ],
}


def written(kind):
    """What the verb of a kind wrote."""
    if kind == "neuron":
        return NEURON
    if kind == "retiming":
        return written("evaluate")
    return json.loads((KEPT / FILES[kind]).read_text(encoding="utf-8"))


def small_result(accuracy=None, state="done"):
    """The small study: BNTT and no norm, two starts each; accuracies by (run, seed), 0.8 otherwise."""
    found = parse_study(study(), "mine")
    runs = tuple(plan_study(found, "small"))
    starts = {}
    for run in runs:
        for start in run.starts:
            values = {
                "accuracy": (accuracy or {}).get((run.name, start.seed), 0.8),
                "spikes_per_image": 10.0,
                "seconds": 2.0,
            }
            kept = KeptRun(Path("runs/pool/x"), "id", {"train": "t"}, {"commit": "c", "processor": "P"}, values)
            numbers = {"evaluate": values}
            starts[run.name, start.seed] = StartFound(start, state, "", kept, "id", numbers)
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
            starts[run.name, start.seed] = StartFound(start, "done", "", None, "id", numbers)
    return StudyResult(found, setting, runs, starts)


def empty_result(name, setting="small"):
    """A study of which nothing was run."""
    full = full_result(name, setting)
    nothing = {key: replace(one, state="not run", why="not here", numbers={}) for key, one in full.found.items()}
    return replace(full, found=nothing)
