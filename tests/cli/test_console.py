"""What is printed, as a reader sees it."""

import csv
import io

import pytest

from bntt.cli import console
from bntt.runs.training.epoch_log import EpochResult, Notice
from bntt.training import StepRecord


def step(epoch, number, loss=2.0):
    return StepRecord(epoch, number, loss, 1, 10, 0.3, seen=10 * (number + 1))


def epoch(number, *values):
    *losses, seconds, best = values
    return EpochResult(number, *losses, 7, seconds, best, {}, {}, 4)


def test_many_steps_are_cut_to_the_screen(capsys):
    console.table("γ", 30, {"conv1": ["0.25"] * 30})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= console.console.width
    assert sum("conv1" in line for line in lines) > 2


def test_of_very_many_steps_some_are_shown(capsys):
    console.table("γ", 1000, {"conv1": ["0.25"] * 1000})
    lines = capsys.readouterr().out.splitlines()
    assert sum("conv1" in line for line in lines) <= 4
    heads = lines[1].split()
    assert heads == ["1", "2", "5", "10", "20", "50", "100", "200"][: len(heads)]
    assert any("1000" in line for line in lines)
    assert list(console.shown_steps(100)) == list(range(100))


def test_training_prints_a_line_an_epoch_without_a_terminal(capsys):
    records = [
        step(0, 0, 2.0),
        epoch(0, 2.0, 0.1, 0.2, 0.3, 5.0, True),
        step(1, 0, 1.0),
        Notice("warning: layer fc1 is silent"),
        epoch(1, 1.0, 0.5, None, 0.03, 10.0, False),
    ]
    console.training(records, epochs=2, images=10)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "epoch 1/2  loss 2.000  train 10.0%  validation 20.0%  lr 0.3  0:05, 0:05 left  best",
        "warning: layer fc1 is silent",
        "epoch 2/2  loss 1.000  train 50.0%  lr 0.03  0:10, 0:00 left",
    ]


def test_progress_adds_up_what_was_done(capsys, monkeypatch):
    monkeypatch.setattr(console, "QUIET", -1.0)
    with console.progress("testing", 10) as advance:
        for images in (3, 4, 3):
            advance(images)
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(",")[0] for line in lines] == [f"testing: {done} of 10" for done in (3, 7, 10)]


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal of 100 columns shows."""
    shown = io.StringIO()
    screen = console._Screen(file=shown, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(console, "console", screen)
    return shown


def test_what_goes_on_is_told_to_terminals_alone(terminal, capsys):
    with console.status("opening"):
        pass
    assert "opening" in terminal.getvalue()
    console.console = console._Screen(force_terminal=False)
    with console.status("opening") as say:
        say("still opening")
    assert capsys.readouterr().out == ""


def test_a_bar_on_a_terminal_shows_the_count(terminal):
    with console.progress("testing", 80) as advance:
        advance(30)
        advance(20)
    assert "50/80" in terminal.getvalue()
    assert "testing: " not in terminal.getvalue(), "no lines beside the bar"


def test_a_bar_of_training_counts_over_all_epochs(terminal):
    first = [step(0, i) for i in range(3)]
    second = [step(1, i) for i in range(2)]
    console.training([*first, epoch(0, 2.0, 0.1, 0.2, 0.3, 5.0, True), *second], epochs=2, images=30)
    assert "epoch 2/2" in terminal.getvalue()
    assert "50/60" in terminal.getvalue()


def test_a_word_now_and_then_where_there_is_no_bar(capsys, monkeypatch):
    monkeypatch.setattr(console, "QUIET", -1.0)
    console.training([step(0, i) for i in range(2)], epochs=2, images=40)
    assert capsys.readouterr().out == "epoch 1/2, loss 2.000: 20 of 80, 0:00 left\n"
    with console.progress("testing", 2000) as advance:
        advance(500)
    assert capsys.readouterr().out == "testing: 500 of 2,000, 0:00 left\n"


@pytest.mark.parametrize(("seconds", "text"), [(0, "0:00"), (75.4, "1:15"), (3675, "1:01:15")])
def test_durations(seconds, text):
    assert console.duration(seconds) == text


def test_rows_as_comma_separated_values(capsys):
    console.as_csv([{"layer": "conv1", "text": 'a "b", [red]c[/]'}, {"layer": "fc1", "text": ""}])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows == [{"layer": "conv1", "text": 'a "b", [red]c[/]'}, {"layer": "fc1", "text": ""}]


def test_a_row_has_a_cell_for_every_head():
    with pytest.raises(ValueError, match="zip"):
        console.columns("table", ("a", "b"), [("1", "2", "3")])
