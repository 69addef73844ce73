"""What a signal does, in the order in which they come; how a process ends is in test_ends.py."""

import signal
import threading

import pytest

from bntt.cli import main as cli
from bntt.cli import signals
from bntt.runs.training.requests import Interrupted

INT, TERM, HUP, USR1 = signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1
STOPPED = "bntt: stopped by {}; it is saved\n"


def run(work, monkeypatch):
    def verb():
        """Works."""
        work()

    monkeypatch.setitem(cli.GROUPS["train"], "work", verb)
    return cli.main(["work"])


def test_the_first_signal_is_the_wish_and_gives_the_code(monkeypatch, capsys):
    for sent, wished in (
        ([], None),
        ([INT], INT),
        ([HUP, TERM, HUP], HUP),
        ([INT, TERM, HUP], INT),
        ([TERM, INT], TERM),
    ):

        def work(sent=sent, wished=wished):
            with signals.deferred() as requests:
                for number in sent:
                    signal.raise_signal(number)
                assert (requests.stop, requests.save) == (wished, False)
                if wished:
                    raise Interrupted(wished, "it is saved")

        assert run(work, monkeypatch) == {None: 0, INT: 130}.get(wished, 143), sent
        assert capsys.readouterr().err == (STOPPED.format(wished.name) if wished else "")


def test_the_second_ctrl_c_ends_at_once(monkeypatch, capsys):
    for sent in ([INT, INT], [TERM, INT, INT], [INT, HUP, INT]):
        reached = []

        def work(sent=sent, reached=reached):
            with signals.deferred():
                for number in sent:
                    signal.raise_signal(number)
                    reached.append(number)

        assert run(work, monkeypatch) == 130, sent
        assert reached == sent[:-1]
        assert capsys.readouterr().err == "bntt: interrupted\n"


def test_to_save_is_wished_again_after_it_was_done(monkeypatch):
    def work():
        with signals.deferred() as requests:
            for _ in range(2):
                signal.raise_signal(USR1)
                assert (requests.stop, requests.save) == (None, True)
                requests.save = False

    assert run(work, monkeypatch) == 0


@pytest.mark.parametrize(("number", "code"), [(TERM, 143), (INT, 130)])
def test_a_wish_that_comes_too_late_for_the_training_ends_what_follows(number, code, monkeypatch):
    def work():
        with signals.deferred():
            signal.raise_signal(number)
        raise AssertionError("it went on")

    assert run(work, monkeypatch) == code


def test_an_error_is_told_whatever_was_wished(monkeypatch, capsys):
    def work():
        with signals.deferred():
            signal.raise_signal(TERM)
            raise OSError("the disk is full")

    assert run(work, monkeypatch) == 5
    assert capsys.readouterr().err == "bntt: the disk is full\n"


@pytest.mark.parametrize("trained", [False, True])
def test_an_end_is_not_disturbed_by_another_signal(trained, monkeypatch, capsys):
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

    assert run(work, monkeypatch) == 143
    assert ended == [True]
    assert capsys.readouterr().err == (STOPPED.format("SIGTERM") if trained else "bntt: terminated (SIGTERM)\n")


def test_an_end_that_was_dropped_begins_again_with_a_later_signal(monkeypatch, capsys):
    """Code in C may drop the exception."""
    times = iter([0.0, 0.0, signals.PATIENCE, signals.PATIENCE + 1, signals.PATIENCE + 1])
    monkeypatch.setattr(signals.time, "monotonic", lambda: next(times))

    def work():
        with pytest.raises(signals.Terminated):
            signal.raise_signal(TERM)
        signal.raise_signal(TERM)  # the same wish
        signal.raise_signal(HUP)
        raise AssertionError("it went on")

    assert run(work, monkeypatch) == 143
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


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_handlers_are_given_back(error, mine, monkeypatch):
    def work():
        assert mine not in map(signal.getsignal, (INT, TERM, HUP, USR1))
        if error:
            raise error

    if error is ValueError:
        with pytest.raises(error):
            run(work, monkeypatch)
    else:
        run(work, monkeypatch)


def test_without_main_nothing_is_handled(mine):
    with signals.deferred() as requests:
        assert signal.getsignal(TERM) is mine
    assert (requests.stop, requests.save) == (None, False)


def test_outside_the_main_thread_nothing_is_handled(mine, monkeypatch):
    codes = []

    def work():
        with signals.deferred():
            assert signal.getsignal(TERM) is mine

    thread = threading.Thread(target=lambda: codes.append(run(work, monkeypatch)))
    thread.start()
    thread.join()
    assert codes == [0]


def test_a_handler_of_a_library_in_c_is_left_alone(mine, monkeypatch):
    """Python could not give it back."""
    monkeypatch.setattr(signals.signal, "getsignal", lambda number: None)
    assert run(lambda: monkeypatch.undo(), monkeypatch) == 0


def test_windows(monkeypatch, capsys):
    """It has neither SIGHUP nor SIGUSR1, and SIGBREAK for a console that is closed: the number of another here."""
    monkeypatch.delattr(signal, "SIGHUP")
    monkeypatch.delattr(signal, "SIGUSR1")
    monkeypatch.setattr(signal, "SIGBREAK", signal.SIGUSR2, raising=False)
    assert run(lambda: signal.raise_signal(signal.SIGUSR2), monkeypatch) == 143
    assert capsys.readouterr().err.startswith("bntt: terminated (")
