"""How a process ends by signals: its exit code, what it says, and that nothing changes either."""

import signal
import subprocess
import sys

import pytest

INT, TERM, HUP, USR1 = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1
HINT = "bntt: stopping as soon as everything is saved; Ctrl-C again stops at once\n"
STOPPED = "bntt: stopped by {}; it is saved\n"

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
                while not (wishes.stop or wishes.save):
                    time.sleep(0.001)
                print("saving", flush=True)
                if wishes.stop:
                    sys.stdin.readline()
                    raise Interrupted(wishes.stop, "it is saved")
        if phase == "train without end\\n":
            with signals.deferred() as wishes:
                print("training", flush=True)
                time.sleep(60)

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
        for line in self.process.stdout:
            if line == until + "\n":
                return
        raise AssertionError(f"no {until}: {self.process.stderr.read()}")

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

    def start(ignored="''"):
        command = ["bash", "-c", f'trap "" {ignored}; exec "$@"', "bash", sys.executable, "-c", CHILD]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        children.append(subprocess.Popen(command if ignored != "''" else command[4:], text=True, **pipes))
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
    assert child.end() == (143, STOPPED.format("SIGTERM"))


@pytest.mark.slow
def test_ctrl_c_twice_does_not_wait(start):
    child = start()
    child.tell("train without end", until="training")
    child.send(INT)
    assert child.process.stderr.readline() == HINT
    child.send(INT)
    assert child.end() == (130, "bntt: interrupted\n")


def test_save_and_go_on(start):
    child = start()
    child.tell("anything", until="anything")
    child.send(USR1)
    assert child.process.stderr.readline() == "bntt: SIGUSR1 changes nothing: no training is under way\n"
    child.tell("train", until="training")
    child.send(USR1)
    child.expect("saving")
    assert child.end("anything") == (0, "")


@pytest.mark.slow
def test_what_the_parent_ignores_stays_ignored(start):
    child = start("HUP INT USR1")
    child.tell("train", until="training")
    child.send(HUP, INT, USR1)
    child.send(TERM)
    assert child.end("saved\n") == (143, STOPPED.format("SIGTERM"))


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
