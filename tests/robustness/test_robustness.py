"""The tables are whole, the harness sees what it is there to see, and a part of everything is done for real."""

import os
import pickle
import socket
import subprocess
import sys
from functools import partial

import numpy as np
import pytest
import torch

from bntt.models import mlp
from tests.architecture.source import ROOT
from tests.robustness import archives, faults, files, held, kills, page, stops, writes
from tests.robustness.changes import changed
from tests.robustness.formats import here
from tests.robustness.processes import stage
from tests.robustness.promise import PROMISES, Measured
from tests.robustness.watch import EscapeError, watched

ASKED = [*(f"R{n}" for n in range(1, 12)), *(f"S{n}" for n in range(1, 8)), *(f"N{n}" for n in range(5, 10))]
ASKED += ["T2", "T3", "T4"]


@pytest.mark.slow
@pytest.mark.parametrize("part", faults.FAULTS)
def test_every_fault_ends_as_it_must(part):
    wrong = [said for row in faults.FAULTS[part] if (said := row.wrong())]
    assert not wrong, "\n".join(wrong)


def test_no_number_is_left_out():
    rows = {row.number for rows in faults.FAULTS.values() for row in rows}
    assert rows | {*sum(faults.ELSEWHERE.values(), ())} | faults.CANNOT == {*range(1, 96)}
    assert not [room for room in faults.ELSEWHERE if not (ROOT / "tests" / room).is_dir()]


def test_a_gamma_of_zero_is_silence_and_no_nan():
    """Fault 55."""
    net = mlp(in_features=6, hidden=(8,), num_steps=4)
    torch.nn.init.zeros_(net.blocks["fc1"].norm.gamma)
    logits = net(torch.ones(4, 2, 6).cumsum(1))
    logits.sum().backward()
    assert not logits.any()
    assert all(weight.grad.isfinite().all() for weight in net.parameters())


def test_inputs_of_every_format_are_read_or_refused():
    told = files.work(here(), 16)
    assert not [finding for one in told for finding in one.findings]
    assert all(one.seen.total() == 16 for one in told)
    assert all(one.seen["refused"] for one in told if one.format != "result"), "a report shows gaps and refuses nothing"
    assert sum(one.seen["read"] > 0 for one in told) > len(told) // 2


def test_the_same_number_is_the_same_input():
    whole = [b"abcdefgh" * 20, b"0123456789" * 10]
    made = [changed(whole[0], np.random.default_rng(seed), whole, [b"WORD"]) for seed in [*range(300), *range(300)]]
    assert made[:300] == made[300:]
    assert len(set(made)) > 250


@pytest.mark.slow
def test_after_a_process_that_ended_the_next_input_goes_on():
    unknown, idx = files.work(["unknown", "idx"], 2)
    assert [len(unknown.findings), idx.seen.total(), idx.findings] == [2, 2, []]


def hiding(outside):
    try:
        os.system(f"touch {outside}")
    except BaseException:
        return


FORBIDDEN = [
    lambda outside: outside.write_text("x"),
    os.mkdir,
    lambda outside: os.symlink("/etc", outside),
    hiding,
    lambda outside: subprocess.run(["touch", outside], check=False),
    lambda outside: socket.socket(),
    lambda outside: exec("x = 1"),
    lambda outside: pickle.loads(b"cposix\ngetpid\n)R."),
]


@pytest.mark.parametrize("do", FORBIDDEN)
def test_what_no_reader_may_do_is_seen_and_does_not_happen(do, tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    with watched(inside, forbids=True):
        (inside / "fine").write_text("within")
    with pytest.raises(EscapeError), watched(inside, forbids=True):
        do(outside)
    assert not outside.exists()


def test_writes_sockets_and_processes_are_watched(tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    with watched(inside) as seen:
        (inside / "x").write_text("x")
        (inside / "x").rename(outside)
        socket.socket().close()
        subprocess.run([sys.executable, "--version"], check=True, capture_output=True)
    assert (seen.inside, len(seen.writes), len(seen.sockets)) == (2, 1, 1)
    assert seen.started


def test_a_run_comes_to_every_place(tmp_path):
    came = tmp_path / "came"

    def note(name):
        with open(came, "a", encoding="utf-8") as file:
            file.write(f"{name}\n")

    with stage() as on:
        assert on.anew(lambda: [place.trap(partial(note, place.name)) for place in stops.PLACES]) == 0
    assert sorted(came.read_text(encoding="utf-8").splitlines()) == sorted(stops.NAMED)


PLACES = ("between two updates", "midst of a validation", "keeping the epoch")
WRONG = {place: partial(stops.main, 1, place) for place in PLACES}
WRONG |= {"kills": lambda: kills.so_often(3)[1], "archives": lambda: archives.prepared()[0]}


@pytest.mark.slow
@pytest.mark.parametrize("what", WRONG)
def test_nothing_goes_wrong(what):
    assert not WRONG[what]()


def test_no_promise_is_left_out_and_the_page_is_made_of_what_was_measured():
    """Make it anew with ``python -m tests.robustness promises --page``."""
    assert page.ordered() == ASKED
    assert page.load().keys() <= PROMISES.keys()
    assert page.PAGE.read_text(encoding="utf-8") == page.page(page.load())
    assert len(page.page(page.load()).split()) <= 1500


@pytest.mark.slow
@pytest.mark.parametrize("measure", [writes.unsafe_calls, writes.claimed_data, writes.writes])
def test_it_is_so(measure):
    found = measure()
    assert found.met, found.text


def test_unsafe_calls_are_seen():
    calls = """pickle.load(f); pickle.loads(b); torch.load(f); torch.load(f, weights_only=False); yaml.load(f); eval(x);
        exec(x); tar.extractall(); run(c, shell=True); np.load(f, allow_pickle=True); urlopen('http://x'); os.system(c);
        marshal.loads(b); pickle.Unpickler(f); shutil.unpack_archive(f)"""
    assert all(writes.UNSAFE.search(call) for call in calls.split(";"))
    assert not writes.UNSAFE.search("torch.load(f, weights_only=True); self.eval(); safetensors.torch.load(f)")


def test_tests_are_counted(monkeypatch, tmp_path):
    (tmp_path / "test_it.py").write_text("import pytest\ndef test_a(): pass\ndef test_b(): pytest.skip()\n")
    monkeypatch.setattr(held, "ROOT", tmp_path)
    (tmp_path / "tests").symlink_to(tmp_path)
    assert held.held("R2", "test_it.py") == Measured("1 passed, 1 skipped: test_it.py", True)
    assert not [t for _, tests in held.HELD.values() for t in tests.split() if not (ROOT / "tests" / t).exists()]
