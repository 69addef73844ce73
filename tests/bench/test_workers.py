"""The process that serves one variant."""

import io
import json
import os

import pytest

from benchmarks import timing, workers
from benchmarks.workers import Worker, take_turns
from tests.kernels import needs_kernels


@needs_kernels
def test_a_line_in_a_step_done_a_line_out(monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", io.StringIO("step\nstep\n"))
    case = {"name": "tiny", "num_steps": 2, "batch": 2, "width": 0.05}
    timing.main(json.dumps({"variant": "fused", "case": case}))
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 2
    assert all(answer["seconds"] > 0 for answer in answers)


def test_workers_are_asked_in_turn():
    asked = []

    class Recorded:
        def __init__(self, name):
            self.name = name

        def ask(self, line):
            asked.append((self.name, line))
            return {"number": len(asked)}

    found = take_turns("x", {name: Recorded(name) for name in "ab"}, "step", 2)
    assert asked == [("a", "step"), ("b", "step")] * 2
    assert found == {"a": [{"number": 1}, {"number": 3}], "b": [{"number": 2}, {"number": 4}]}


def test_a_worker_ends_with_its_block_and_waits_as_it_was_told(monkeypatch):
    monkeypatch.setenv("OMP_WAIT_POLICY", "PASSIVE")
    monkeypatch.setenv("WORLD_SIZE", "2")
    started, real = [], workers.subprocess.Popen

    def popen(command, env, **options):
        started.append(env)
        return real([*command[:1], "-c", "input()"], env=env, **options)

    monkeypatch.setattr(workers.subprocess, "Popen", popen)
    for settings in ({}, {"OMP_WAIT_POLICY": "PASSIVE"}):
        with Worker("x", "ways", {}, settings) as worker:
            assert worker.process.poll() is None
        assert worker.process.returncode < 0
        with pytest.raises((RuntimeError, ValueError)):
            worker.ask("step")
    assert [env.get("OMP_WAIT_POLICY") for env in started] == [None, "PASSIVE"]
    assert not [env for env in started if "WORLD_SIZE" in env or env["PATH"] != os.environ["PATH"]]
