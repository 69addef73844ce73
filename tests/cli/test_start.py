"""A start of a study in a process: its errors, and what it prints."""

from pathlib import Path

import pytest

from bntt.cli import study
from bntt.cli.study import make_start
from bntt.io.lock import RunLockedError
from bntt.studies import make_runs
from bntt.studies.make_runs import Task


@pytest.fixture
def task(tmp_path):
    return Task("s: a, seed 0", str(tmp_path / "pool" / "a-1"), "seed = 0\n", True, False, (), "cpu", ())


def test_an_error_is_a_line_and_its_code(task):
    (Path(task.run).parent / "recipes").mkdir(parents=True)
    ended = make_start(Task(**vars(task) | {"recipe": "sede = 1\n"}))
    assert (ended.code, ended.trained) == (2, False)
    assert "did you mean 'seed'" in ended.why
    assert task.log.read_text().strip().endswith(ended.why)


def test_a_mistake_of_ours_stops_nothing_and_leaves_its_traceback(task, monkeypatch, capsys):
    monkeypatch.setattr(make_runs, "make_run", lambda task, train: 1 // 0)
    ended = make_start(task)
    assert ended.code == 1
    assert ended.why.startswith("ZeroDivisionError")
    assert "Traceback" in task.log.read_text()
    assert capsys.readouterr() == ("", ""), "what starts print goes into their logs"


def test_what_another_process_trains_is_waited_for(task, monkeypatch):
    calls = []

    def locked(task, train):
        calls.append(task)
        if len(calls) < 3:
            raise RunLockedError("is held by process 1")
        return True

    monkeypatch.setattr(make_runs, "make_run", locked)
    monkeypatch.setattr(study, "RETRY", 0.0)
    ended = make_start(task)
    assert (ended.code, ended.trained, len(calls)) == (0, True, 3)
    assert task.log.read_text().count("is held by process 1; trying again") == 2
