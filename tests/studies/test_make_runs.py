"""The work itself: several at once, what fails, what is killed, what is stopped."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from bntt.runs.recipe.file import load_recipe
from bntt.runs.training.requests import Requests
from bntt.studies import make_runs
from bntt.studies.make_runs import Ended, Engine, make_run, task_of, work
from bntt.studies.plan import decide_actions, plan_study, work_items
from bntt.studies.study_file import parse_study
from tests.studies.fake_bntt import fake_start
from tests.studies.kept import Inline, epochs, fake_pool, keep, study
from tests.studies.test_work_items import CONVERTED

ALONE = {"table": None, "figures": None, "claims": None}


@pytest.fixture
def pool(tmp_path):
    return fake_pool(tmp_path)


def items(pool, *folders, **changed):
    found = work_items([("s", plan_study(parse_study(study(**changed), "s"), "small"))])
    decide_actions(found, [pool, *folders])
    return found


def made(found, pool, engine=None, make=fake_start, **how):
    return [(item.start.run, ended) for item, ended in work(found, pool, make, engine or Inline(), **how)]


def diary(pool):
    file = pool.parent / "diary"
    return sorted(file.read_text().split()) if file.exists() else []


def test_everything_is_made_and_then_used_again(pool):
    ended = [ended for _, ended in made(items(pool), pool)]
    assert [(one.code, one.trained) for one in ended] == [(0, True)] * 4
    assert diary(pool) == ["activity"] * 2 + ["train"] * 4
    again = items(pool)
    assert {item.action for item in again} == {"reuse"}
    assert made(again, pool) == []
    kept = json.loads((pool / again[0].place / next(iter(again[0].measures.values())).file).read_text())
    assert (kept["kind"], kept["values"]["n"], kept["numerics"]) == ("activity", 1, 1)
    assert kept["of"].keys() == {"epoch", "updates"}


def test_what_fails_stops_no_other_and_is_told(pool):
    runs = [{"name": "tab", "set": ["network.norm=tab"]}, {"name": "bntt"}]
    ended = made(items(pool, runs=runs, claims=None), pool)
    assert [(run, one.code, one.why) for run, one in ended if one.code] == [("tab", 6, "numbers are not finite")] * 2
    assert len(ended) == 4


def test_what_begins_with_an_ann_comes_after_it(pool):
    found = items(pool, runs=CONVERTED, **ALONE)
    ended = made(found, pool)
    assert [(run, one.code) for run, one in ended] == [("ann", 0), ("converted", 0)]
    recipe = (pool / found[1].place / "recipe.toml").read_text()
    assert f'ann = "{(pool / found[0].place).resolve()}"' in recipe


def test_what_begins_with_a_failed_ann_is_not_begun(pool):
    def fails(task):
        return Ended(3, "no data")

    ended = made(items(pool, runs=CONVERTED, **ALONE), pool, make=fails)
    assert [(one.code, one.begun) for _, one in ended] == [(3, True), (3, False)]
    assert "its source run failed (s: ann, seed 0)" in ended[1][1].why


def test_a_measurement_that_fails_stops_nothing_that_begins_with_its_ann(pool):
    runs = [CONVERTED[0] | {"measures": ["energy"]}, CONVERTED[1]]

    def fails(task):
        fake_start(replace(task, measures=()))
        return Ended(7 if task.measures else 0, "cannot be used")

    for expected in ([("ann", 7), ("converted", 0)], [("ann", 7)]):
        ended = made(items(pool, runs=runs, **ALONE), pool, make=fails)
        assert [(run, one.code) for run, one in ended] == expected


def test_a_run_without_weights_in_the_pool_hides_none_of_the_results(pool, tmp_path):
    """It is trained again, since a measurement is missing; a whole one elsewhere needs no work."""
    runs = [{"name": "bntt", "measures": ["activity"], "small": {"seeds": [0]}}]
    (item,) = items(pool, runs=runs, claims=None)
    keep(pool / item.place, item.recipe)
    elsewhere = keep(tmp_path / "results" / "mine", item.recipe)
    (elsewhere / "activity.json").write_text(json.dumps({"split": "test", "arguments": {}}))
    (item,) = items(pool, tmp_path / "results", runs=runs, claims=None)
    assert (item.action, item.why) == ("reuse", str(elsewhere))
    (elsewhere / "activity.json").unlink()
    (item,) = items(pool, tmp_path / "results", runs=runs, claims=None)
    ((_, ended),) = made([item], pool)
    assert (ended.code, ended.trained, diary(pool)) == (0, True, ["activity", "train"])
    assert not (elsewhere / "measures").exists(), "nothing is written there"


def test_a_training_that_was_stopped_in_the_pool_goes_on(pool):
    none = {"runs": [{"name": "none", "set": ["network.norm=none"], "small": {"seeds": [0]}}], "claims": None}
    (item,) = items(pool, **none)
    epochs(keep(pool / item.place, item.recipe, weights=True), 0)
    (item,) = items(pool, **none)
    ((_, ended),) = made([item], pool)
    assert (ended.trained, ended.code) == (True, 0)
    assert items(pool, **none)[0].action == "reuse"


def test_what_another_process_has_done_meanwhile_is_not_done_again(pool):
    found = items(pool)
    tasks = [task_of(item, pool, "cpu") for item in found]
    made(found, pool)
    before = diary(pool)
    assert [fake_start(task).trained for task in tasks] == [False] * 4
    assert diary(pool) == before


def test_what_is_not_trained_gets_a_directory_with_its_recipe(pool):
    runs = [{"name": "a", "trained": False, "measures": ["stability"], "small": {"seeds": [0]}}]
    asked = {"runs": runs, "table": [{"key": "failed", "metric": "failed-starts"}], "claims": None, "figures": None}
    found = items(pool, **asked)
    assert [(one.code, one.trained) for _, one in made(found, pool)] == [(0, False)]
    assert json.loads((pool / found[0].place / "environment.json").read_text())["trained"] is False
    assert items(pool, **asked)[0].action == "reuse"


@pytest.mark.parametrize(
    ("run", "measure", "asked", "file"),
    [
        ({}, {"kind": "retiming", "steps": 8, "longer": "hold"}, {"num_steps": 8}, "evaluation-8-steps-hold"),
        ({}, {"kind": "attack", "eps": [8], "eot": 3}, {"eps": ("8/255",), "eot": 3}, "attack"),
        ({"set": ["encoder.name=direct"]}, {"kind": "attack"}, {"eot": None}, "attack"),
        ({}, {"kind": "robust", "sigmas": [0.1], "images": 7}, {"sigmas": (0.1,), "images": 7, "draws": 3}, "robust"),
        ({"trained": False}, {"kind": "stability", "rates": [0.3]}, {"norms": ("tab",), "starts": 1}, "stability"),
    ],
    ids=["retiming", "attack", "attack without noise", "robust", "stability"],
)
def test_arguments_reach_the_measurement(pool, monkeypatch, run, measure, asked, file):
    one = {"name": "a", "set": ["network.norm=tab"], "small": {"seeds": [0]}} | run | {"measures": ["mine"]}
    (item,) = items(pool, runs=[one], measures={"mine": measure}, **ALONE)
    task, place, called = task_of(item, pool, "cuda"), pool / item.place, {}
    assert json.dumps(vars(task)), "plain values, which any process can read"

    def measured(name, source, *, device, folder, **arguments):
        called.update(name=name, source=source, device=device, folder=folder, arguments=arguments)
        folder.mkdir(exist_ok=True)
        (folder / f"{file}.json").write_text('{"n": 1}')

    def train(recipe, name, root, device):
        assert load_recipe(recipe) == item.recipe
        keep(root / name, item.recipe, weights=True)

    monkeypatch.setattr(make_runs, "measure", measured)
    (pool / "recipes").mkdir()
    alone = not item.start.trained
    assert make_run(task, train) is not alone
    assert asked.items() <= called["arguments"].items()
    (kind,) = item.measures.values()
    assert called["folder"] == (place / f"stability-{kind.digest}" if alone else place)
    assert (called["source"], called["device"]) == (place / "recipe.toml" if alone else place, "cuda")
    kept = json.loads((place / kind.file).read_text())
    assert (kept["kind"], kept["values"]) == (kind.kind, {"n": 1})


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(make_runs.os, "cpu_count", lambda: 8)
    assert Engine(jobs=4).threads == 2
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert Engine(jobs=4).threads == 3


@pytest.mark.slow
def test_a_process_that_is_killed_is_started_again(pool):
    (pool.parent / "deaths").write_text("2")
    ended = made(items(pool), pool, Engine(jobs=2))
    assert [one.code for _, one in ended] == [0] * 4
    assert items(pool)[0].action == "reuse"
    assert len(diary(pool)) >= 2 + 4 + 2, "what was killed is tried again"


@pytest.mark.slow
def test_what_kills_every_process_is_told_and_stops_no_other(pool):
    """The kernel does so where memory is short."""
    ended = made(items(pool), pool, Engine(jobs=2), make=kills_seed_1_of_none)
    told = {(run, one.code) for run, one in ended}
    assert told == {("bntt", 0), ("none", 0), ("none", 5)}
    (why,) = (one.why for _, one in ended if one.code)
    assert why.startswith("its process was killed 3 times (was memory short?): see ")


def kills_seed_1_of_none(task):
    if task.called == "s: none, seed 1":
        os.kill(os.getpid(), signal.SIGKILL)
    return fake_start(task)


def sleeps(task):
    (Path(task.run).parent / "logs" / "begun").touch()
    time.sleep(60)


@pytest.mark.slow
def test_a_request_to_stop_ends_the_processes_and_begins_nothing(pool):
    requests, told, began = Requests(), [], time.monotonic()

    def tell(text):
        told.append(text)
        requests.stop = signal.SIGTERM if len(told) == 2 else None

    stopped = []
    how = {"requests": requests, "tell": tell, "stopping": stopped.append}
    assert made(items(pool), pool, Engine(jobs=2), make=sleeps, **how) == []
    assert (len(told), stopped) == (2, [2])
    assert time.monotonic() - began < 50


@pytest.mark.slow
def test_a_cluster_of_dask_goes_on_when_a_worker_is_killed(pool, tmp_path):
    """Both are started by hand, as on two machines."""
    pytest.importorskip("distributed")
    (pool.parent / "deaths").write_text("1")
    file, python = tmp_path / "scheduler.json", [sys.executable, "-m", "distributed.cli.dask_scheduler"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    scheduler = [*python, "--host", "127.0.0.1", "--port", "0", "--no-dashboard", "--scheduler-file", str(file)]
    worker = [sys.executable, "-m", "distributed.cli.dask_worker", "--scheduler-file", str(file)]
    worker += ["--nthreads", "1", "--no-nanny", "--no-dashboard", "--local-directory", str(tmp_path)]
    processes = [subprocess.Popen(one, **quiet) for one in (scheduler, worker, worker)]
    try:
        while not (file.is_file() and file.read_text()):
            time.sleep(0.1)
        address = json.loads(file.read_text())["address"]
        ended = made(items(pool), pool, Engine(address=address))
        assert [one.code for _, one in ended] == [0] * 4
        assert not (pool.parent / "deaths").exists(), "one was killed"
    finally:
        for process in processes:
            process.kill()
        for process in processes:
            process.wait()
