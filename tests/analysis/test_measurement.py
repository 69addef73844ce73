"""What all measurements share: arguments, names of files, progress, records that are read back, and kept results."""

import json
import math
import subprocess
import sys
from dataclasses import dataclass
from typing import Annotated

import pytest
from annotated_types import Ge

from bntt.analysis.measurement import ArgumentError, Facts, Measurement, Progress, draws_of
from bntt.analysis.measurements import MEASUREMENTS
from bntt.analysis.result import Number, Result, at_path, checked_arguments, result_from
from tests.evidence import RESULTS
from tests.rows import each_row


@dataclass(frozen=True)
class Asked:
    draws: Annotated[int, Ge(1)] = 1
    sigmas: tuple[float, ...] = (0.0,)
    how: str = ""
    split: str = "test"


class Made(Result):
    values: list[Number]


MADE = {"dataset": "d", "split": "test", "values": [1, math.nan, math.inf, 1e200, None]}
REFUSED = {
    "evaluate": [
        ({"exit": True, "num_steps": 3}, "--num-steps"),
        ({"longer": "hold"}, "--num-steps"),
        *[({"recalibrate": True, **other}, "--recalibrate") for other in ({"exit": True}, {"num_steps": 3})],
        ({"draws": 0}, "--draws"),
        ({"draws": "many"}, "--draws"),
        ({"images": 0}, "--images"),
    ],
    "activity": [({"draws": 0}, "--draws")],
    "exit": [
        ({"choose_on": "test"}, "--choose-on"),
        *[({"loss": loss}, "--loss") for loss in (-1.0, math.nan, 100.5)],
        *[({"threshold": threshold}, "--threshold") for threshold in (-0.1, math.nan, math.inf)],
        ({"threshold": 0.1, "per_sample": True}, "--per-sample"),
        ({"draws": 0}, "--draws"),
    ],
    "energy": [({"draws": 0}, "--draws"), ({"draws": 1001}, "--draws")],
    "robust": [
        *[({"sigmas": sigmas}, "--sigmas") for sigmas in ((-0.1,), (0.1, math.nan), (math.inf,))],
        *[({flag: 0}, f"--{flag}") for flag in ("draws", "images")],
        ({"steps": 2}, "--steps"),
    ],
    "attack": [
        *[
            ({"eps": (eps,)}, "--eps")
            for eps in ("8", "1", "8.0", "300/255", "0", "0/255", "-8/255", "nan", "inf", "8/0", "eight", "")
        ],
        *[({flag: ()}, f"--{flag}") for flag in ("eps", "attack")],
        *[({flag: 0}, f"--{flag}") for flag in ("steps", "restarts", "eot", "images", "draws")],
        ({"queries": 1}, "--queries"),
        *[({"step_size": size}, "--step-size") for size in ("nan", "2")],
    ],
    "drift": [({"images": 0}, "--images")],
    "equivalence": [({"images": 0}, "--images")],
    "neuron": [({"image": -1}, "--image")],
    "card": [({"images": 0}, "--images")],
}
"""Arguments that no run is opened for, and the flag that is named."""


@each_row("name, values, flag", [(name, *row) for name, rows in REFUSED.items() for row in rows])
def test_arguments_are_checked_by_type_and_bounds(name, values, flag):
    assert checked_arguments(Asked, {"sigmas": [1, 2]}) == Asked(sigmas=(1.0, 2.0))
    assert REFUSED.keys() <= MEASUREMENTS.keys()
    with pytest.raises(ArgumentError, match=flag):
        checked_arguments(MEASUREMENTS[name].arguments, values)


def test_files_are_named_after_what_differs():
    one = Measurement("x", "", Asked, Result, object, variant=lambda asked: asked.how)
    asked = (Asked(), Asked(how="raw"), Asked(split="validation"), Asked(how="raw", split="validation"))
    assert [one.stem(each) for each in asked] == ["x", "x-raw", "x-validation", "x-raw-validation"]


def test_progress_adds_up_and_never_passes_its_total():
    told = []
    progress = Progress(lambda done, total: told.append((done, total)))
    progress.expect(3)
    for samples in (1, 2, 4):
        progress(samples)
    assert told == [(1, 3), (3, 3), (7, 7)]


def test_draws_are_those_of_the_recipe_or_those_asked_for():
    drawn, fixed = (
        Facts("vgg9", "bntt", "poisson", 25, False, 5, True),
        Facts("", "bntt", "direct", 25, False, 1, False),
    )
    assert [draws_of(drawn, None), draws_of(drawn, 2), draws_of(fixed, None), draws_of(fixed, 1)] == [5, 2, 1, 1]
    with pytest.raises(ArgumentError, match="--draws"):
        draws_of(fixed, 2)


def test_declarations_do_not_wait_for_torch():
    code = "import sys, bntt.analysis.measurements; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_numbers_that_are_none_are_none_and_a_fault_is_one_line_with_its_place():
    assert result_from(Made, MADE | {"unknown": 3}).values == [1, None, None, None, None]
    with pytest.raises(ValueError, match=r"^values\.1: [^\n]*$"):
        result_from(Made, MADE | {"values": [1, "x"]})
    with pytest.raises(ValueError, match=r"."):
        result_from(Made, [1])


def test_paths_end_at_numbers():
    values = {"a": [{"b": 2}], "c": True, "d": "3"}
    assert [at_path(values, path) for path in ("a.0.b", "a.1.b", "a.x", "c", "d", "a", "e.f")] == [2, *[None] * 6]


def shared(one, other):
    """What one holds in the keys that both have."""
    if isinstance(one, dict) and isinstance(other, dict):
        return {key: shared(value, other[key]) for key, value in one.items() if key in other}
    if isinstance(one, list) and isinstance(other, list):
        return [shared(*pair) for pair in zip(one, other, strict=True)]
    return one


@each_row("name", [name for name in REFUSED if name != "card"])
def test_kept_results_are_read_whole_and_shown(name):
    measurement = MEASUREMENTS[name]
    paths = [
        path for where in ("*/", "*/measures/") for path in RESULTS.glob(f"{where}{measurement.file or name}*.json")
    ]
    assert paths
    for path in sorted(paths)[:: 1 + len(paths) // 60]:  # the studies' tables are made of all of them
        values = json.loads(path.read_text())
        values = values.get("values", values)
        found = result_from(measurement.record_in(path.stem if path.parent.name != "measures" else name), values)
        written = json.loads(json.dumps(found.to_json()))
        assert shared(written, values) == shared(values, written), path
        assert len(shared(values, written)) > 0.6 * len(values), path
        assert not any(written[key] for key in written.keys() - values.keys()), path
        section, rows = found.section(), found.rows()
        assert section.charts, path
        assert section.words or section.tables, path
        assert found.figures(), path
        assert all(len(row) == len(table.columns) for table in section.tables + section.folded for row in table.rows)
        assert len({tuple(row) for row in rows}) == 1, path
        assert all(value is None or isinstance(value, str | int | float) for row in rows for value in row.values()), (
            path
        )
        assert {type(metric.read(found, 8)) for metric in found.metrics().values()} <= {int, float, type(None)}, path
