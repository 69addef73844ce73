"""A grid of starts: how each is trained, which fail, that nothing is trained twice; its record and what it shows."""

import dataclasses
import itertools
import json
import math

import pytest
import torch

from bntt.analysis.measurement import ArgumentError, Progress
from bntt.analysis.result import result_from
from bntt.analysis.stability.gradients import AlongGradient, gradient_norms
from bntt.charts.files import draw_figure
from bntt.cli import main as cli
from bntt.data.samples import fair_order
from bntt.io.checkpoint import CheckpointError, OtherSettingsError
from bntt.runs.measure import measure
from bntt.runs.open_run import OpenedRecipe
from bntt.runs.parts import Part
from bntt.runs.recipe import build as recipe_build
from bntt.runs.recipe.build import build_data, build_model
from bntt.runs.recipe.file import RecipeError
from bntt.runs.recipe.schema import Init
from bntt.runs.stability import (
    MIXED,
    MOMENT,
    Moment,
    StabilityArguments,
    StabilityResult,
    Start,
    failures,
    measure_stability,
)
from bntt.runs.stability import starts as computation
from bntt.runs.stability.starts import recipe_of, trained_starts
from tests.evidence import RESULTS
from tests.runs import tiny
from tests.runs.tiny import recipe

GRID = StabilityArguments((), ("none", "bntt"), (0.3, 1e30), starts=2, steps=2, images=60)


def started(of, asked, folder, progress=None):
    data = computation.build_data(of)
    settings = computation.settings_of(of, asked, data)
    return trained_starts(OpenedRecipe(of, folder), asked, settings, data, progress or Progress())


@pytest.fixture
def of():
    return recipe(network={"name": "mlp", "num_steps": 2, "width": 0.1}, data={"validation": 0.02})


@pytest.fixture
def trainings(monkeypatch):
    """Every start that is trained."""
    found, train = [], computation._train

    def watched(one, data, grid, start, *options):
        found.append((one.network.name, one.network.norm, one.train.lr, start))
        assert (len(data.train), len(data.validation)) == (60, 100)
        return train(one, data, grid, start, *options)

    monkeypatch.setattr(computation, "_train", watched)
    monkeypatch.setattr(computation, "ALONG", (0.5, 1.0))
    return found


@pytest.mark.slow
def test_an_interrupted_grid_trains_nothing_twice(of, tmp_path, trainings):
    folder = tmp_path / "new" / "grid"
    part = started(of, GRID, folder)
    first = [next(part) for _ in range(3)]
    part.close()  # as Ctrl-C does
    assert len(trainings) == 3
    progress = Progress()
    found = measure_stability(OpenedRecipe(of, folder), GRID, progress)
    assert progress.done == progress.total == 8 * GRID.work == 8 * (2 + 3 * MOMENT)
    assert len(trainings) == len(set(trainings)) == 8
    starts = found.cells
    assert list(starts[:3]) == first
    assert [(c.network, c.norm, c.rate, c.start) for c in starts] == trainings
    assert [c.start for c in starts] == [0] * 4 + [1] * 4
    for start in starts:
        assert start.chance == 0.1
        if start.rate == 0.3:
            assert start.updates == 2
            assert start.accuracy is not None
            assert [moment.updates for moment in start.moments] == [0, 1, 2]
        assert start.moments[0].along.steps == tuple(start.rate * times for times in (0.5, 1.0))
    assert next((one.norm, one.failed) for one in found.shares if one.rate == 1e30) == ("none", 2)  # nothing is left
    assert {one.starts for one in found.shares} == {2}
    assert (found.settings["steps"], found.arguments, found.dataset) == (2, GRID, "fashion-mnist-bundled")
    assert [row["start"] for row in found.rows()] == [1] * 4 + [2] * 4
    wider = dataclasses.replace(GRID, rates=(0.3, 0.1, 1e30), starts=1)
    again = list(started(of, wider, folder))
    assert [start for start in again if start.rate != 0.1] == list(starts[:4])
    assert len(trainings) == len(set(trainings)) == 10


def test_it_measures_the_network_as_it_is_before_and_between_updates(of, tmp_path):
    grid = dataclasses.replace(GRID, norms=("bntt",), rates=(0.3,), starts=1)
    (cell,) = started(of, grid, tmp_path)
    one = recipe_of(of, "mlp", "bntt", 0.3, 0)
    data = computation._fewer(build_data(one), grid, 0)
    model = build_model(one, data)
    order = fair_order(data.train, one.seed)[:20]
    assert data.train.labels[order].bincount().tolist() == [2] * 10, "a folder's first images are all of one class"
    inputs, labels, index = data.train.batch(order), data.train.labels[order], torch.arange(20)
    found = gradient_norms(model, inputs, labels, index=index, seed=0)
    assert dict(cell.moments[0].gradient) == {name: pytest.approx(row.tolist()) for name, row in found.norms.items()}
    assert cell.moments[0].along.start == pytest.approx(found.loss)
    assert len({moment.along.start for moment in cell.moments}) == 3


def test_another_grid_in_the_folder_is_refused(of, tmp_path, monkeypatch):
    grid = StabilityArguments((), ("none",), (0.3, 0.30000001), starts=1, steps=1, images=60)
    assert [one.rate for one in started(of, grid, tmp_path)] == [0.3, 0.30000001], "a cell each"
    rounded = dataclasses.replace(of, compute=dataclasses.replace(of.compute, precision="bf16"))
    data, part = build_data(of), Part("mine.py", "9f", ("network.norm=none",))
    changed = dataclasses.replace(data, manifest=dataclasses.replace(data.manifest, sha256={"train": "9f"}))
    for key, wanted, asked, patch in (
        ("steps", of, dataclasses.replace(grid, steps=2), {}),
        ("precision", rounded, grid, {}),
        ("numerics", of, grid, {"NUMERICS": 0}),
        ("sha256", of, grid, {"build_data": lambda of: changed}),
        ("parts", of, grid, {"parts_of": lambda of: [part]}),
    ):
        with monkeypatch.context() as patched:
            for name, other in patch.items():
                patched.setattr(computation, name, other)
            with pytest.raises(OtherSettingsError, match=key):
                list(started(wanted, asked, tmp_path))
    cell = next((tmp_path / "cells").glob("*.json"))
    assert "precision" not in json.loads(cell.read_text())["settings"], "starts kept before it was a setting count"
    cell.write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        list(started(of, grid, tmp_path))


def test_everything_is_looked_at_before_anything_is_trained(of, tmp_path, trainings, monkeypatch):
    """vgg9 halves an image three times, which 28 pixels cannot be."""
    opened, build = [], computation.build_data
    for room in (computation, recipe_build):
        monkeypatch.setattr(room, "build_data", lambda of: opened.append(of) or build(of))
    converted = recipe(network={"norm": "none"}, convert={"ann": "runs/a"})
    for begun, asked, named in (
        (converted, GRID, "runs/a"),
        (dataclasses.replace(of, init=Init(run="runs/a")), GRID, "runs/a"),
        (of, dataclasses.replace(GRID, norms=("none", "bnnt")), r"network\.norm"),
        (of, dataclasses.replace(GRID, networks=("mlp", "vgg9")), "image_size=28"),
    ):
        with pytest.raises(RecipeError, match=named):
            next(started(begun, asked, tmp_path))
    assert not trainings
    opened.clear()
    measure_stability(OpenedRecipe(of, tmp_path), dataclasses.replace(GRID, norms=("bntt",), rates=(0.3,)), Progress())
    assert [one.seed for one in opened] == [0, 1], "each start's data, once"


def test_a_start_is_trained_at_a_constant_rate_with_all_steps(of):
    growing = {"grow": [[1, 1]], "epochs": 2}
    begun = recipe(train={"warmup": 1.0, "average": 0.9, "schedule": "cosine", **growing})
    found = recipe_of(begun, "vgg9", "bn", 0.7, 3)
    train = found.train
    assert (train.schedule, train.warmup, train.average, train.lr, found.seed) == ("constant", 0.0, None, 0.7, 3)
    assert train.grow == ()
    data, other = build_data(of), tiny.edited(of, train=growing)
    assert computation.settings_of(other, GRID, data) == computation.settings_of(of, GRID, data)
    assert [StabilityArguments(steps=steps).moments for steps in (1, 10)] == [(0, 1), (0, 5, 10)]


SMALL = ["-s", "network.num_steps=2", "-s", "network.width=0.1", "-s", "train.batch_size=20", "--networks", "mlp"]
VERB = ["stability", "demo", *SMALL, "--norms", "none", "bntt", "--rates", "0.3", "1e38", "--starts", "1"]
VERB += ["--steps", "3", "--images", "60"]


def test_it_is_told_kept_and_taken_up(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(computation, "ALONG", (0.5, 1.0))
    assert cli.main([*VERB, "--out", str(tmp_path)]) == 0
    assert "not finite" in capsys.readouterr().out
    assert (tmp_path / "stability.png").exists()
    kept = {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")}
    assert len(kept) == 4
    assert cli.main([*VERB, "--out", str(tmp_path), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found == json.loads((tmp_path / "stability.json").read_text())
    assert {"network": "mlp", "norm": "none", "rate": 1e38, "failed": 1, "starts": 1} in found["shares"]
    lost = result_from(StabilityResult, found).cells[1]
    assert (lost.failed, lost.accuracy) == ("not finite", None)
    assert lost.updates < 3
    assert kept == {path: path.stat().st_mtime_ns for path in (tmp_path / "cells").glob("*.json")}
    with pytest.raises(ArgumentError, match="one recipe"):
        measure("stability", "demo", "demo")


def test_refusals_come_before_any_training(tmp_path, capsys):
    for named, *flags in (
        ("network.norm", "--norms", "bnnt"),
        ("network.name", "--networks", "vgg7"),
        *(("--rates", "--rates", rate) for rate in ("0", "nan")),
        ("--norms", "--norms"),
        ("--starts", "--starts", "0"),
        ("'tpu'", "--device", "tpu"),
    ):
        assert cli.main(["stability", "demo", *flags, "--out", str(tmp_path / "x")]) in (2, 5), flags
        assert named in capsys.readouterr().err
        assert not (tmp_path / "x").exists()


ALONG = AlongGradient(steps=(0.1, 0.2), start=2.3, norm=1.5, loss=(2.0, 2.5), change=(0.3, 0.6))
LOST = AlongGradient(steps=(0.1, 0.2), start=2.3, norm=math.inf, loss=(math.nan, math.inf), change=(math.nan, math.nan))


def starts(norms=("none", "bntt"), networks=("vgg6", "vgg9"), along=ALONG):
    found = []
    for network, norm, rate, start in itertools.product(networks, norms, (0.1, 1.0, 10.0), (0, 1)):
        lost = rate == 10 or (rate == 1 and norm == "none" and start == 1)
        gradient = {"conv1": [rate, 0.0, math.nan], "fc1": [2.0, 3.0, 4.0]}
        facts = {"network": network, "norm": norm, "rate": rate, "start": start, "updates": 10, "chance": 0.1}
        facts |= {"accuracy": math.nan if lost else 0.5, "failed": "not finite" if lost else ""}
        moments = tuple(Moment(updates=n, gradient=gradient, along=along) for n in (0, 10))
        found.append(Start(**facts, moments=moments))
    return found


def result(cells):
    settings = {"data": {"name": "demo", "label": ""}, "steps": 10, "gradients_of": MIXED}
    return StabilityResult(settings=settings, shares=failures(cells), cells=cells)


def test_metrics_by_hand():
    found, lost = result(starts()), result(starts(along=LOST))
    old = found.model_copy(update={"settings": {**found.settings, "gradients_of": ""}})
    for name, of, place, expected in (
        ("failed-starts", found, None, 100 * 10 / 24),
        ("reached-accuracy", found, None, 100 * (14 * 0.5 + 10 * 0.1) / 24),
        ("gradient-change", found, 0.1, 100 * 0.3 / 1.5),
        ("gradient-change", found, 0.5, None),
        ("gradient-change", old, 0.1, None),  # of a batch that may be one class
        ("gradient-change", lost, 0.1, None),
        ("gradient-change-at-loss", found, 5.0, 100 * 0.3 * (0.05 * 2.3 / 0.3) / 1.5),
        ("gradient-change-at-loss", found, 50.0, None),
        ("gradient-change-at-loss", lost, 5.0, None),
    ):
        read = of.metrics()[name].read(of, place)
        assert read == (None if expected is None else pytest.approx(expected)), (name, place)


def test_what_is_shown():
    found = result(starts())
    assert found.title == "demo: stability of training"
    assert [cell.text for cell in found.section().tables[1].rows[0]] == ["none", "0 of 2", "1 of 2", "2 of 2"]
    shares, gradients = (figure.charts for figure in found.figures())
    assert {bar.name: bar.values for bar in shares[1].bars} == {"none": [0, 0.5, 1], "bntt": [0, 0, 1]}
    assert gradients[0].values == [[1.0, None, None], [2.0, 3.0, 4.0]]  # the rate 1: the last at which both trained
    assert (gradients[0].value.low, gradients[0].value.high) == (1.0, 4.0)


def test_few_or_lost_starts_can_be_drawn():
    few, lost = (starts(("layer",), ("mlp",), along) for along in (ALONG, LOST))
    for cells in (few[:1], [lost[-1].model_copy(update={"start": 0})]):
        found = result(cells)
        assert "NaN" not in json.dumps(found.to_json())
        for figure in found.figures():
            draw_figure(figure)


def test_kept_files_are_read_whole():
    kept = sorted(RESULTS.glob("**/stability*.json"))
    assert kept
    for path in kept:
        values = json.loads(path.read_text())
        values = values.get("values", values)
        found, data = result_from(StabilityResult, values), values["settings"]["data"]
        added = {"arguments": None, "epoch": None, "dataset": data["label"] or data["name"], "split": "validation"}
        assert found.to_json() == added | values, path
        assert found.figures()
