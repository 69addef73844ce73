"""What a signal does, in the order in which they come; how a process ends is in test_ends.py."""

import signal
import threading

import pytest

from bntt.cli import main as cli
from bntt.cli import signals
from bntt.runs.training.requests import Interrupted
from tests.rows import each_row

INT, TERM, HUP, USR1 = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1


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
    [
        ([], None, 0),
        ([INT], INT, 130),
        ([HUP, TERM, HUP], HUP, 143),
        ([INT, TERM, HUP], INT, 130),
        ([TERM, INT], TERM, 143),
    ],
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
def test_the_second_ctrl_c_ends_at_once(sent, run, capsys):
    reached = []

    def work():
        with signals.deferred():
            for number in sent:
                signal.raise_signal(number)
                reached.append(number)

    assert run(work) == 130
    assert reached == sent[:-1]
    assert capsys.readouterr().err == "bntt: interrupted\n"


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
    assert capsys.readouterr().err == "bntt: terminated (SIGHUP)\n"


@pytest.fixture
def mine():
    """Handlers of somebody else, who gets them back."""

    def handler(number, frame):
        raise AssertionError("not while bntt runs")

    numbers = (INT, TERM, HUP, USR1)
    before = {number: signal.signal(number, handler) for number in numbers}
    yield handler
    assert [signal.getsignal(number) for number in numbers] == [handler] * 4
    for number in numbers:
        signal.signal(number, before[number])


@each_row("error, code", [(None, 0), (OSError("x"), 5), (KeyboardInterrupt(), 130)])
def test_handlers_are_given_back(error, code, mine, run):
    def work():
        assert mine not in map(signal.getsignal, (INT, TERM, HUP, USR1))
        if error:
            raise error

    assert run(work) == code


def test_outside_the_main_thread_and_without_main_nothing_is_handled(mine, run):
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


def test_a_handler_of_a_library_in_c_is_left_alone(mine, run, monkeypatch):
    """Python could not give it back."""
    monkeypatch.setattr(signals.signal, "getsignal", lambda number: None)
    assert run(lambda: monkeypatch.undo()) == 0
