"""Some inputs of every format, and that the fuzzer sees what it is there to see."""

import os
import pickle
import socket
import subprocess

import numpy as np
import pytest

from tests.hostile.changes import changed
from tests.hostile.formats import here
from tests.hostile.watch import EscapeError, the_watch
from tests.hostile.work import together

SHARE = 16
"""Inputs of each format here; ``python -m tests.hostile --inputs 1000000`` is for a night."""


def test_inputs_of_every_format_are_read_or_refused():
    told = together(here(), SHARE)
    assert [one.format for one in told] == here()
    findings = [f"{finding.what}: {finding.again(0)}" for one in told for finding in one.findings]
    assert not findings, "\n".join(findings)
    assert all(one.seen.total() == SHARE for one in told)
    assert all(one.seen["refused"] for one in told if one.format != "result"), "a report shows gaps and refuses nothing"
    assert sum(one.seen["read"] > 0 for one in told) > len(told) // 2


def test_the_same_number_is_the_same_input():
    whole = [b"abcdefgh" * 20, b"0123456789" * 10]
    made = [changed(whole[0], np.random.default_rng(seed), whole, [b"WORD"]) for seed in [*range(300), *range(300)]]
    assert made[:300] == made[300:]
    assert len(set(made)) > 250
    assert any(b"WORD" in one for one in made)
    assert not all(len(one) == len(whole[0]) for one in made)


@pytest.mark.parametrize(
    ("do", "said"),
    [
        (lambda outside: outside.write_text("x"), "to write"),
        (lambda outside: os.mkdir(outside), "os.mkdir"),
        (lambda outside: os.symlink("/etc", outside), "os.symlink"),
        (lambda outside: os.system(f"touch {outside}"), "os.system"),
        (lambda outside: subprocess.run(["touch", outside], check=False), "subprocess.Popen"),
        (lambda outside: socket.socket(), "socket.__new__"),
        (lambda outside: exec("x = 1"), "runs code"),
        (lambda outside: pickle.loads(b"cposix\ngetpid\n)R."), "unpickles"),
    ],
)
def test_what_no_reader_may_do_is_seen_and_does_not_happen(do, said, tmp_path):
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    inside.mkdir()
    with pytest.raises(EscapeError, match=said), the_watch().within(inside):
        do(outside)
    assert not outside.exists()


def hiding() -> None:
    try:
        os.system("true")
    except BaseException:
        return


def test_an_escape_that_is_hidden_is_seen_too(tmp_path):
    with pytest.raises(EscapeError, match=r"os\.system"), the_watch().within(tmp_path):
        hiding()
    with the_watch().within(tmp_path):
        (tmp_path / "fine").write_text("within")


@pytest.mark.slow
def test_after_a_process_that_ended_the_next_input_goes_on(monkeypatch):
    """The processor time of an input has a bound; of so little every input is beyond it, and is a finding."""
    import tests.hostile.work as at_work

    told = list(at_work.work("idx", 3))
    assert [one.seen.total() for one in told] == [3]
    started = []

    class Ends:
        """A process that ends before it tells anything."""

        exitcode = -26

        def __init__(self, target, args):
            self.numbers, self.at, self.sender = args[1], args[3], args[4]

        def start(self):
            started.append(self.numbers)
            self.at.value = self.numbers[0]
            self.sender.close()

        def join(self):
            pass

    context = at_work.get_context("spawn")
    monkeypatch.setattr(at_work, "get_context", lambda kind: context)
    monkeypatch.setattr(type(context), "Process", Ends)
    told = list(at_work.work("idx", 3))
    assert [(f.number, f.what) for one in told for f in one.findings] == [
        (i, "ended the process (-26)") for i in range(3)
    ]
    assert started == [range(3), range(1, 3), range(2, 3)]
