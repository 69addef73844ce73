"""What a signal does, in the order in which they come; and how a process ends by them, where nothing changes either."""

import signal
import subprocess
import sys
import threading

import pytest

from bntt.cli import main as cli
from bntt.cli import signals
from bntt.runs.training.requests import Interrupted
from tests.rows import each_row

INT, TERM, HUP, USR1 = ALL = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1


@pytest.fixture
def run(monkeypatch):
    """Runs some work as a verb; its exit code."""

    def run(work):
        def verb():
            """Works."""
            work()

        monkeypatch.setitem(cli.GROUPS["train"], "work", verb)
        return cli.main(["work"])

    return run


@each_row(
    "sent, wished, code",
    [([], None, 0), ([INT], INT, 130), ([HUP, TERM, HUP], HUP, 143), ([INT, TERM, HUP], INT, 130)],
)
def test_the_first_signal_is_the_wish_and_gives_the_code(sent, wished, code, run, capsys):
    def work():
        with signals.deferred() as requests:
            for number in sent:
                signal.raise_signal(number)
            assert (requests.stop, requests.save) == (wished, False)
            if wished:
                raise Interrupted(wished, "it is saved")

    assert run(work) == code
    assert capsys.readouterr().err == (f"bntt: stopped by {wished.name}; it is saved\n" if wished else "")


@each_row("sent", [[INT, INT], [TERM, INT, INT], [INT, HUP, INT]])
def test_the_second_ctrl_c_ends_at_once(sent, run):
    reached = []

    def work():
        with signals.deferred():
            for number in sent:
                signal.raise_signal(number)
                reached.append(number)

    assert run(work) == 130
    assert reached == sent[:-1]


def test_to_save_is_wished_again_after_it_was_done(run):
    def work():
        with signals.deferred() as requests:
            for _ in range(2):
                signal.raise_signal(USR1)
                assert (requests.stop, requests.save) == (None, True)
                requests.save = False

    assert run(work) == 0


@each_row("number, error, code", [(TERM, None, 143), (INT, None, 130), (TERM, OSError("the disk is full"), 5)])
def test_a_wish_that_comes_too_late_ends_what_follows_and_an_error_is_told_instead(number, error, code, run, capsys):
    def work():
        with signals.deferred():
            signal.raise_signal(number)
            if error:
                raise error
        raise AssertionError("it went on")

    capsys.readouterr()
    assert run(work) == code
    assert not error or capsys.readouterr().err == f"bntt: {error}\n"


@each_row("trained", [False, True])
def test_an_end_is_not_disturbed_by_another_signal(trained, run, capsys):
    ended = []

    def work():
        try:
            with signals.deferred() as requests:
                if trained:
                    signal.raise_signal(TERM)
                    raise Interrupted(requests.stop, "it is saved")
            signal.raise_signal(TERM)
        finally:
            signal.raise_signal(HUP)
            ended.append(True)

    assert run(work) == 143
    assert ended == [True]
    assert ("it is saved" in capsys.readouterr().err) == trained


def test_an_end_that_was_dropped_begins_again_with_a_later_signal(run, monkeypatch, capsys):
    """Code in C may drop the exception."""
    times = iter([0.0, 0.0, signals.PATIENCE, signals.PATIENCE + 1, signals.PATIENCE + 1])
    monkeypatch.setattr(signals.time, "monotonic", lambda: next(times))

    def work():
        with pytest.raises(signals.Terminated):
            signal.raise_signal(TERM)
        signal.raise_signal(TERM)  # the same wish
        signal.raise_signal(HUP)
        raise AssertionError("it went on")

    assert run(work) == 143
    assert "SIGHUP" in capsys.readouterr().err


@pytest.fixture
def mine():
    """Handlers of somebody else, who gets them back."""

    def handler(number, frame):
        raise AssertionError("not while bntt runs")

    before = {number: signal.signal(number, handler) for number in ALL}
    yield handler
    assert [signal.getsignal(number) for number in ALL] == [handler] * 4
    for number in ALL:
        signal.signal(number, before[number])


@each_row("error, code", [(None, 0), (OSError("x"), 5), (KeyboardInterrupt(), 130)])
def test_handlers_are_given_back(error, code, mine, run):
    def work():
        assert mine not in map(signal.getsignal, ALL)
        if error:
            raise error

    assert run(work) == code


def test_outside_the_main_thread_without_main_and_of_a_library_in_c_nothing_is_handled(mine, run, monkeypatch):
    codes = []

    def work():
        with signals.deferred() as requests:
            assert signal.getsignal(TERM) is mine
        assert (requests.stop, requests.save) == (None, False)

    work()
    thread = threading.Thread(target=lambda: codes.append(run(work)))
    thread.start()
    thread.join()
    assert codes == [0]
    monkeypatch.setattr(signals.signal, "getsignal", lambda number: None)  # what Python could not give back
    assert run(lambda: monkeypatch.undo()) == 0


CHILD = """
import sys, time
from bntt.cli import main, signals
from bntt.runs.training.requests import Interrupted

def wait():
    '''Trains nothing.'''
    print("wait", flush=True)
    time.sleep(60)

def train():
    '''Saves when standard input says so.'''
    with signals.deferred() as wishes:
        print("training", flush=True)
        while not wishes.stop:
            time.sleep(0.001)
        print("saving", flush=True)
        sys.stdin.readline()
        raise Interrupted(wishes.stop, "it is saved")

main.GROUPS["train"] |= {"wait": wait, "train": train}
main.entry()
"""


@pytest.fixture
def start():
    """Starts a ``bntt``, with signals that its parent ignores; and sends it some once it has said a word."""
    children = []

    def start(verb, ignored=""):
        trap = f'trap "" {ignored}; ' if ignored else ""
        command = ["bash", "-c", trap + 'exec "$@"', "bash", sys.executable, "-c", CHILD, verb]
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        children.append(child := subprocess.Popen(command, text=True, **pipes))

        def send(word, *numbers):
            assert any(line == word + "\n" for line in child.stdout), child.stderr.read()
            for number in numbers:
                child.send_signal(number)

        return child, send

    yield start
    for process in children:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("number", [TERM, *(pytest.param(one, marks=pytest.mark.slow) for one in (HUP, INT))])
def test_a_process_that_trains_nothing_ends_at_once(number, start):
    child, send = start("wait")
    send("wait", number)
    _, said = child.communicate(timeout=60)
    expected = (130, "bntt: interrupted\n") if number == INT else (143, f"bntt: terminated ({number.name})\n")
    assert (child.returncode, said) == expected


@pytest.mark.slow
@pytest.mark.parametrize("ignored", ["", "HUP INT USR1"])
def test_a_storm_is_one_wish_and_one_end_and_what_the_parent_ignores_stays_ignored(ignored, start):
    child, send = start("train", ignored)
    send("training", *((HUP, INT, USR1) if ignored else ()), TERM)
    send("saving", *[TERM, HUP] * 5)
    child.stdin.write("saved\n")
    child.stdin.flush()
    while child.poll() is None:  # while Python ends, too
        child.send_signal(TERM)
    assert (child.returncode, child.stderr.read()) == (143, "bntt: stopped by SIGTERM; it is saved\n")


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
