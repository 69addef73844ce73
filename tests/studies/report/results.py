"""A study's result as ``bntt study`` writes it, and a run's, small and whole: what tests spoil."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

CHART = {
    "title": "BNTT", "x": {"label": "time step"}, "y": {"label": "γ"},
    "lines": [{"name": "conv1", "x": [1, 2], "y": [0.5, 0.25]}],
}  # fmt: skip


def start(seed: int, state: str = "done", why: str = "") -> dict[str, Any]:
    """Of a run of a study."""
    done = state == "done"
    return {
        "seed": seed, "state": state, "why": why, "directory": f"pool/small-{seed}", "digest": "9f" * 8,
        "data": {"train": "06cd9bd58c88d8e6b337bc", "test": "9f" * 32},
        "commit": "0123456789ab", "device": "cpu, one thread",
        "seconds": 1330.3 if done else None, "numerics": 3,
        "measures": {"evaluation": {"accuracy": 0.54}} if done else {},
    }  # fmt: skip


def cell(mean: float, sd: float | None, values: list[float]) -> dict[str, Any]:
    """Of a study's table, in the unit of its column."""
    text = f"{mean:.1f}" + (f" ± {sd:.1f}" if sd is not None else "")
    held = {"mean": mean, "sd": sd, "n": len(values), "values": values, "text": text}
    return held | {"low_95": mean - 1 if sd else None, "high_95": mean + 1 if sd else None}


def study() -> dict[str, Any]:
    """Two norms and one that was not run, with four verdicts."""
    return {
        "study": "table-1", "title": "Table 1: accuracy on CIFAR-10", "setting": "small", "bntt": "0.1.0",
        "about": "BNTT beside standard BN and no normalisation, at equal budget.",
        "numerics": 3, "written": "2026-11-26T18:00:00+00:00", "commit": "0123456789ab",
        "device": "AMD EPYC, cpu",
        "runs": [
            {"name": "bntt", "label": "BNTT", "recipe": "cifar10-small", "overrides": ["train.epochs=6"],
             "seeds": [0, 1, 2], "starts": [start(0), start(1), start(2)]},
            {"name": "bn", "label": "standard BN", "recipe": "cifar10-small",
             "overrides": ["train.epochs=6", "network.norm=bn"], "seeds": [0, 1],
             "starts": [start(0), start(1, "failed", "numbers not finite at update 40")]},
            {"name": "none", "label": "no normalisation", "recipe": "cifar10-small", "overrides": ["train.epochs=6"],
             "seeds": [0], "starts": [start(0, "not run")]},
        ],
        "table": {
            "columns": [
                {"key": "accuracy", "title": "test accuracy", "unit": "%"},
                {"key": "steps", "title": "time steps", "unit": ""},
            ],
            "rows": [
                {"run": "bntt", "label": "BNTT",
                 "cells": {"accuracy": cell(54.55, 0.31, [54.24, 54.55, 54.86]),
                           "steps": cell(8, None, [8] * 5) | {"text": "8"}},
                 "paper": {"accuracy": {"value": 90.5, "source": "Table 1"},
                           "steps": {"value": 25, "source": "Table 1"}}},
                {"run": "bn", "label": "standard BN",
                 "cells": {"accuracy": cell(51.2, None, [51.2]), "steps": None},
                 "paper": {"accuracy": {"missing": "not available"}}},
                {"run": "none", "label": "no normalisation", "cells": {"accuracy": None, "steps": None}, "paper": {}},
            ],
        },
        "figures": [{"file": "figure-1-layers.svg", "title": "γ over time", "alt": "A line.", "charts": [CHART]}],
        "claims": [
            {"says": "BNTT is better than standard BN at equal budget", "source": "Section 4.1", "verdict": "holds",
             "because": "54.5 against 51.2 %"},
            {"says": "Standard BN does not train", "source": "Section 4.1", "verdict": "does not hold",
             "because": "51.2 % is far above chance"},
            {"says": "The gain grows with depth", "source": "", "verdict": "not decided", "because": ""},
            {"says": "It scales to 200 classes", "source": "Table 2", "verdict": "not run", "because": ""},
        ],
    }  # fmt: skip


def write_study(folder: Path, values: dict[str, Any] | None = None) -> Path:
    """A study directory."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "result.json").write_text(json.dumps(study() if values is None else values), encoding="utf-8")
    return folder


def write_run(folder: Path, norm: str = "bntt", seed: int = 0) -> Path:
    """A run directory with a recipe, three epochs and an evaluation, and no weights."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = f'seed = {seed}\n[data]\nname = "made"\n[network]\nname = "vgg6"\nnum_steps = 3\nnorm = "{norm}"\n'
    (folder / "recipe.toml").write_text(recipe, encoding="utf-8")
    made_on = {"bntt": "0.1.0", "torch": "2.13", "device": "cpu", "processor": "a processor", "threads": 1}
    made_on |= {"commit": "0123456789ab", "started": "2026-11-26T13:49:26+00:00", "data": {"fingerprint": "06" * 32}}
    (folder / "environment.json").write_text(json.dumps(made_on), encoding="utf-8")
    rows = [
        {"epoch": e, "train_loss": 2.0 - e / 2, "train_accuracy": 0.3 + e / 10, "validation_accuracy": 0.3 + e / 20,
         "lr": 0.3, "seconds": 20.0 * (e + 1), "gamma": {"conv1": 0.4, "fc1": 0.3}, "firing_rate": {"conv1": 0.1}}
        for e in range(3)
    ]  # fmt: skip
    (folder / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    evaluation = {
        "dataset": "made", "split": "test", "epoch": 2,
        "images": 60, "images_of": 60, "draws": 2, "steps": 3, "accuracy": 0.4 + seed / 100,
        "accuracy_sd_over_draws": 0.01, "accuracy_per_draw": [0.39, 0.41],
        "accuracy_wilson_95": [0.29, 0.52], "accuracy_over_time": [0.1, 0.3, 0.4],
        "gamma_signed": {}, "gamma_magnitude": {"conv1": [0.4, 0.3, 0.2], "fc1": [0.1, 0.3, 0.2]},
        "firing_rate": {"conv1": [0.1, 0.2, 0.1], "fc1": [0.0, 0.1, 0.2]}, "spikes_per_image": 123.0,
    }  # fmt: skip
    (folder / "evaluation.json").write_text(json.dumps(evaluation), encoding="utf-8")
    return folder
