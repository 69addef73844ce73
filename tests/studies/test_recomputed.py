"""Claims computed once more from the packed evidence alone, by NumPy and SciPy: nothing here is of bntt."""

import json
import tarfile
import tomllib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

RESULTS = Path(__file__).parents[2] / "results"


def runs(study):
    """Every run of an archive: its files by their names, TOML and JSON read."""
    found = {}
    with tarfile.open(RESULTS / f"{study}.tar.xz") as archive:
        for member in archive:
            run, _, name = member.name.partition("/")
            text = archive.extractfile(member).read().decode()
            read = {".toml": tomllib.loads, ".json": json.loads}.get(Path(name).suffix)
            if read:
                found.setdefault(run, {})[name] = read(text)
    return list(found.values())


def by_seed(study, norm, number):
    """A number of each start with this norm, in the order of seeds: of several runs the one in float32."""
    found = {}
    for run in runs(study):
        if run["recipe.toml"]["network"]["norm"] == norm:
            with suppress(KeyError):
                precision = run["recipe.toml"].get("compute", {}).get("precision", "fp32")
                found.setdefault(run["recipe.toml"]["seed"], []).append((precision != "fp32", number(run)))
    return np.array([min(found[seed], key=lambda one: one[0])[1] for seed in sorted(found)])


def measure(run, kind):
    """What a study or a verb kept of a measure on a run."""
    kept = [values["values"] for name, values in run.items() if name.startswith(f"measures/{kind}-")]
    return kept[0] if kept else run[f"{kind}.json"]


def interval(values):
    """Mean and Student's 95 % interval."""
    return np.mean(values), *stats.t.interval(0.95, len(values) - 1, np.mean(values), stats.sem(values))


def claim(study, number=0):
    return json.loads((RESULTS / f"{study}.json").read_text(encoding="utf-8"))["claims"][number]


def said(told, number=0):
    """Mean and interval of a number behind a verdict."""
    return [told["effects"][number][key] for key in ("mean", "low", "high")]


def test_bntt_is_more_accurate_than_layer_norm():
    one, other = (
        by_seed("table-5", norm, lambda run: 100 * run["evaluation.json"]["accuracy"]) for norm in ("bntt", "layer")
    )
    told, (mean, low, high) = claim("table-5"), interval(one - other)
    assert said(told) == pytest.approx([mean, low, high])
    assert (told["verdict"] == "holds") == (low > 0 and np.mean(one > other) >= 0.75)


def test_gamma_rises_and_falls():
    def ends(run):
        rows = {}
        for row in measure(run, "activity")["steps"]:
            rows.setdefault(row["layer"], []).append(row["gamma_magnitude"])
        curves = np.array(list(rows.values())[1:])
        return 100 * (curves[:, [0, -1]] / curves.max(axis=1, keepdims=True)).mean(axis=0)

    first, last = by_seed("figure-4", "bntt", ends).T
    told = claim("figure-4")
    assert said(told) == pytest.approx(interval(first))
    assert said(told, 1) == pytest.approx(interval(last))
    assert (told["verdict"] == "holds") == (interval(first)[2] <= 75 and interval(last)[2] <= 75)


def test_an_early_exit_saves_steps():
    def stop(run):
        found = measure(run, "exit")
        return 100 * (1 - found["steps"] / found["num_steps"]), 100 * found["chosen"]["test_lost"]

    saved, lost = by_seed("figure-7", "bntt", stop).T
    told = claim("figure-7")
    assert said(told, 1) == pytest.approx(interval(lost))
    assert said(told)[0] == pytest.approx(saved.mean())
    assert (told["verdict"] == "holds") == (saved.min() >= 20 and interval(lost)[2] <= 0.5)
