"""How a process ends by signals: its exit code, what it says, and that nothing changes either."""

import signal
import subprocess
import sys

import pytest

INT, TERM, HUP, USR1 = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1
STOPPED = (143, "bntt: stopped by SIGTERM; it is saved\n")

CHILD = """
import sys, time
from bntt.cli import main, signals
from bntt.runs.training.requests import Interrupted

def work():
    '''Works as standard input says, a line a phase.'''
    for phase in sys.stdin:
        print(phase, end="", flush=True)
        if phase == "wait\\n":
            time.sleep(60)
        if phase == "train\\n":
            with signals.deferred() as wishes:
                print("training", flush=True)
                while not wishes.stop:
                    time.sleep(0.001)
                print("saving", flush=True)
                sys.stdin.readline()
                raise Interrupted(wishes.stop, "it is saved")

main.GROUPS["train"]["work"] = work
sys.argv = ["bntt", "work"]
main.entry()
"""


class Child:
    """A ``bntt`` that does as it is told."""

    def __init__(self, process):
        self.process = process

    def tell(self, phase, until):
        self.process.stdin.write(phase + "\n")
        self.process.stdin.flush()
        self.expect(until)

    def expect(self, until):
        assert any(line == until + "\n" for line in self.process.stdout), self.process.stderr.read()

    def send(self, *numbers):
        for number in numbers:
            self.process.send_signal(number)

    def end(self, told=""):
        _, said = self.process.communicate(told, timeout=60)
        return self.process.returncode, said


@pytest.fixture
def start():
    """Starts a child, with signals that its parent ignores."""
    children = []

    def start(ignored=""):
        trap = f'trap "" {ignored}; ' if ignored else ""
        command = ["bash", "-c", trap + 'exec "$@"', "bash", sys.executable, "-c", CHILD]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        children.append(subprocess.Popen(command, text=True, **pipes))
        return Child(children[-1])

    yield start
    for process in children:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [TERM, *(pytest.param(one, marks=pytest.mark.slow) for one in (HUP, INT))])
def test_a_process_that_trains_nothing_ends_at_once(number, start):
    child = start()
    child.tell("wait", until="wait")
    child.send(number)
    expected = (130, "bntt: interrupted\n") if number == INT else (143, f"bntt: terminated ({number.name})\n")
    assert child.end() == expected


@pytest.mark.slow
def test_a_storm_is_one_wish_and_one_end(start):
    child = start()
    child.tell("train", until="training")
    child.send(TERM)
    child.expect("saving")
    child.send(*[TERM, HUP] * 5)
    child.process.stdin.write("saved\n")
    child.process.stdin.flush()
    while child.process.poll() is None:  # while Python ends, too
        child.send(TERM)
    assert child.end() == STOPPED


@pytest.mark.slow
def test_what_the_parent_ignores_stays_ignored(start):
    child = start("HUP INT USR1")
    child.tell("train", until="training")
    child.send(HUP, INT, USR1)
    child.send(TERM)
    assert child.end("saved\n") == STOPPED


@pytest.mark.slow
def test_no_import_handles_anything():
    code = (
        "import signal\n"
        "def now(): return [signal.getsignal(n) for n in range(1, signal.NSIG) if n in signal.valid_signals()]\n"
        "before = now()\n"
        "import bntt.cli.main, bntt.cli.signals, bntt.runs.training.train, bntt.cli.console\n"
        "assert now() == before"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)
