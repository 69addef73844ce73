"""The work itself: several at once, what fails, what is locked, what is interrupted."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from bntt.io.lock import hold_run
from bntt.studies import work_items as jobs
from bntt.studies import workers as study_work
from bntt.studies.start_plan import plan_study
from bntt.studies.study_file import parse_study
from bntt.studies.work_items import decide_actions, work_items
from bntt.studies.workers import WorkSettings, work
from tests.studies.kept import epochs, fake_program, keep, small, study
from tests.studies.test_work_items import CONVERTED, with_activity


@pytest.fixture
def shop(tmp_path):
    (tmp_path / "pool").mkdir()
    return WorkSettings(tmp_path / "pool", jobs=2, program=fake_program(tmp_path))


def items(shop, *folders, **changed):
    one = parse_study(study(**changed), "s")
    found = work_items([("s", plan_study(one, "small"))])
    decide_actions(found, [shop.pool, *folders])
    return found


def diary(shop):
    file = Path(shop.program[-1], "diary")
    return file.read_text().split() if file.exists() else []


def test_everything_is_made_and_then_used_again(shop):
    outcomes = list(work(items(shop), shop))
    assert [outcome.code for outcome in outcomes] == [0] * 4
    assert all(outcome.trained for outcome in outcomes)
    assert sorted(diary(shop)) == ["activity"] * 2 + ["train"] * 4
    again = items(shop)
    assert {item.action for item in again} == {"reuse"}
    assert list(work(again, shop)) == []
    kept = json.loads((shop.pool / again[0].place / next(iter(again[0].measures.values())).file).read_text())
    assert (kept["kind"], kept["values"]["n"], kept["numerics"]) == ("activity", 1, 1)
    assert kept["of"].keys() == {"epoch", "updates"}


def test_what_fails_stops_no_other_and_is_told(shop):
    runs = [{"name": "tab", "set": ["network.norm=tab"]}, {"name": "bntt"}]
    outcomes = list(work(items(shop, runs=runs, claims=None), shop))
    failed = [outcome for outcome in outcomes if outcome.code]
    assert {(outcome.code, outcome.why) for outcome in failed} == {(6, "numbers are not finite")}
    assert len(failed) == 2
    assert len(outcomes) == 4


def test_what_begins_with_a_failed_ann_is_not_begun(shop):
    made = list(work(items(shop, runs=CONVERTED, claims=None, figures=None), shop))
    assert [(outcome.item.start.run, outcome.code) for outcome in made] == [("ann", 0), ("converted", 0)]
    recipe = (shop.pool / made[1].item.place / "recipe.toml").read_text()
    assert f'ann = "{(shop.pool / made[0].item.place).resolve()}"' in recipe
    broken = WorkSettings(shop.pool.parent / "other", program=(sys.executable, "-c", "import sys; sys.exit(3)"))
    broken.pool.mkdir()
    outcomes = list(work(items(broken, runs=CONVERTED, claims=None, figures=None), broken))
    assert [outcome.code for outcome in outcomes] == [3, 3]
    assert "its source run failed" in outcomes[1].why
    killed = (sys.executable, "-c", "import os, signal; os.kill(os.getpid(), signal.SIGKILL)")
    (outcome, _) = work(items(broken, runs=CONVERTED, claims=None, figures=None), replace(broken, program=killed))
    assert (outcome.code, outcome.why[:36]) == (5, "its process was killed by signal 9 (")


def test_a_run_of_results_is_copied_before_it_is_measured(shop, tmp_path):
    source = keep(tmp_path / "results" / "mine", small(), weights=True)
    before = sorted(path.name for path in source.rglob("*"))
    found = items(shop, tmp_path / "results")
    outcomes = list(work(found, shop))
    assert outcomes[-1].code == 0
    first = next(outcome for outcome in outcomes if outcome.item is found[0])
    assert not first.trained
    assert (shop.pool / found[0].place / "measures").is_dir()
    assert sorted(path.name for path in source.rglob("*")) == before, "nothing is written there"


def test_a_conversion_of_results_brings_the_ann_beside_it(shop, tmp_path):
    """Whose old place is gone: else nobody would find what was measured."""
    results, measured = tmp_path / "results", CONVERTED[1] | {"measures": ["activity"]}
    asked = {"runs": [CONVERTED[0], measured], "claims": None, "figures": None}
    ann, converted = items(shop, **asked)
    keep(results / "ann-x", ann.recipe, weights=True)
    begun = replace(converted.recipe.convert, ann="/gone/pool/ann-x")
    keep(results / "conv-x", replace(converted.recipe, convert=begun), weights=True)
    _, converted = items(shop, results, **asked)
    assert (converted.action, converted.start.run, converted.start.seed) == ("adopt", "converted", 0)
    going = jobs.jobs_of(converted, shop.pool, "cpu")
    next(going)
    with_activity(shop.pool / converted.place)
    assert next(going, None) is None
    assert (shop.pool / "ann-x" / "recipe.toml").is_file()
    assert items(shop, results, **asked)[1].action == "reuse"


def test_a_run_without_weights_in_the_pool_hides_none_of_the_results(shop, tmp_path):
    runs = [{"name": "bntt", "measures": ["activity"], "small": {"seeds": [0]}}]
    (item,) = items(shop, runs=runs, claims=None)
    keep(shop.pool / item.place, item.recipe)
    keep(tmp_path / "results" / "mine", item.recipe, weights=True)
    (item,) = items(shop, tmp_path / "results", runs=runs, claims=None)
    (outcome,) = work([item], shop)
    assert (outcome.code, outcome.trained, diary(shop)) == (0, False, ["activity"])


def test_a_training_that_was_stopped_in_the_pool_goes_on(shop):
    none = {"runs": [{"name": "none", "set": ["network.norm=none"], "small": {"seeds": [0]}}], "claims": None}
    (item,) = items(shop, **none)
    epochs(keep(shop.pool / item.place, item.recipe, weights=True), 0)
    (item,) = items(shop, **none)
    (outcome,) = work([item], shop)
    assert (outcome.trained, outcome.code) == (True, 0)
    assert items(shop, **none)[0].action == "reuse"


def test_what_another_process_does_is_waited_for_and_then_used(shop, monkeypatch):
    monkeypatch.setattr(study_work, "RETRY", 0.05)
    found = items(shop, runs=[{"name": "none", "set": ["network.norm=none"], "small": {"seeds": [0]}}], claims=None)
    folder = shop.pool / "locks" / found[0].place
    folder.mkdir(parents=True)
    said = []
    going = work([found[0]], replace(shop, tell=said.append))
    with hold_run(folder):
        monkeypatch.setattr(study_work, "POLL", 0.0)
        calls = []

        def counted(seconds):
            calls.append(seconds)
            if len(calls) == 3:
                keep(shop.pool / found[0].place, found[0].recipe)
                raise InterruptedError

        monkeypatch.setattr(study_work.time, "sleep", counted)
        with pytest.raises(InterruptedError):
            next(going)
    assert said == [f"{found[0].called}: another process works on it: waiting for it"]
    assert diary(shop) == []
    monkeypatch.undo()
    decide_actions(found, [shop.pool])
    assert found[0].action == "reuse"


def test_an_interruption_ends_the_processes(shop, monkeypatch):
    started, told = [], []
    sleeps = (sys.executable, "-c", "import time; time.sleep(60)")
    slow = WorkSettings(shop.pool, program=sleeps, stopping=told.append)
    real = study_work.subprocess.Popen

    def popen(*args, **options):
        started.append(real(*args, **options))
        return started[-1]

    monkeypatch.setattr(study_work.subprocess, "Popen", popen)

    def interrupt(seconds):
        if started:
            raise KeyboardInterrupt

    monkeypatch.setattr(study_work.time, "sleep", interrupt)
    with pytest.raises(KeyboardInterrupt):
        list(work(items(slow), slow))
    assert [process.returncode for process in started] in ([-15], [-9])  # asked twice: the second time it is killed
    assert told == [1]


def test_a_full_place_is_an_outcome(shop, monkeypatch):
    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(jobs, "write_whole", full)
    outcomes = list(work(items(shop), shop))
    assert {outcome.code for outcome in outcomes} == {5}
    assert "No space left" in outcomes[0].why


def test_what_is_not_trained_gets_a_directory_with_its_recipe(shop):
    runs = [{"name": "a", "trained": False, "measures": ["stability"], "small": {"seeds": [0]}}]
    table = [{"key": "failed", "metric": "failed-starts"}]
    found = items(shop, runs=runs, table=table, claims=None, figures=None)
    outcomes = list(work(found, shop))
    assert [(one.code, one.trained) for one in outcomes] == [(0, False)]
    place = shop.pool / found[0].place
    assert json.loads((place / "environment.json").read_text())["trained"] is False
    assert items(shop, runs=runs, table=table, claims=None, figures=None)[0].action == "reuse"


def test_threads_are_shared_out(monkeypatch):
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.setattr(study_work.os, "cpu_count", lambda: 8)
    assert WorkSettings(Path("p"), jobs=4).threads == "2"
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert WorkSettings(Path("p"), jobs=4).threads == "3"


def test_a_measurement_that_fails_stops_nothing_that_begins_with_its_ann(shop):
    python, script, folder = shop.program
    fails = "import json, runpy, sys; 'measure' in json.loads(sys.argv[2]) and sys.exit(7); "
    fails += f"runpy.run_path({script!r}, run_name='__main__')"
    shop = replace(shop, program=(python, "-c", fails, folder))
    runs = [CONVERTED[0] | {"measures": ["energy"]}, CONVERTED[1]]
    for expected in ([("ann", 7), ("converted", 0)], [("ann", 7)]):
        outcomes = work(items(shop, runs=runs, claims=None, figures=None), shop)
        assert [(outcome.item.start.run, outcome.code) for outcome in outcomes] == expected
