"""What is printed, as a reader sees it."""

import csv
import io

import pytest

from bntt.charts.records import STEPS, Axis, Bar, Bars, HeatMap, Lines, over_steps
from bntt.charts.section import Cell, Section, Table
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
    shown = [int(word) for line in lines for word in line.split() if word.isdigit()]
    assert shown == list(range(10, 1001, 10))


def test_training_prints_a_line_an_epoch_without_a_terminal(capsys):
    records = [
        step(0, 0, 2.0),
        epoch(0, 2.0, 0.1, 0.2, 0.3, 5.0, True),
        step(1, 0, 1.0),
        Notice("warning: layer fc1 is silent"),
        epoch(1, 1.0, 0.5, None, 0.03, 10.0, False),
    ]
    console.training(records, shares=[1, 1], images=10)
    lines = capsys.readouterr().out.splitlines()
    assert lines == [
        "epoch 1/2  loss 2.000  train 10.0%  validation 20.0%  lr 0.3  0:05, 0:05 left  best",
        "warning: layer fc1 is silent",
        "epoch 2/2  loss 1.000  train 50.0%  lr 0.03  0:10, 0:00 left",
    ]


def test_without_a_terminal_no_progress_stands_among_the_lines(capsys):
    with console.progress("testing") as report:
        for done in (3, 7, 10):
            report(done, 10)
    assert capsys.readouterr() == ("", "")


@pytest.fixture
def terminal(monkeypatch):
    """What a terminal of 100 columns shows."""
    shown = io.StringIO()
    screen = console._Screen(file=shown, force_terminal=True, width=100, highlight=False)
    monkeypatch.setattr(console, "console", screen)
    return shown


def test_what_goes_on_is_told_to_terminals_alone(terminal, capsys):
    with console.status("opening [/x]") as say:
        say("closing [/x]")
    assert "closing [/x]" in terminal.getvalue()
    console.console = console._Screen(force_terminal=False)
    with console.status("opening") as say:
        say("still opening")
    assert capsys.readouterr().out == ""


def test_a_bar_on_a_terminal_shows_the_count(terminal):
    with console.progress("testing [x]") as report:
        report(30, 80)
        report(50, 80)
    assert "testing [x]" in terminal.getvalue()
    assert "50/80" in terminal.getvalue()
    assert "testing: " not in terminal.getvalue(), "no lines beside the bar"


def test_a_bar_of_training_counts_over_all_epochs(terminal):
    first = [step(0, i) for i in range(3)]
    second = [step(1, i) for i in range(2)]
    console.training([*first, epoch(0, 2.0, 0.1, 0.2, 0.3, 5.0, True), *second], shares=[0.5, 1], images=30)
    assert "epoch 2/2" in terminal.getvalue()
    assert "0:05, 0:10 left" in terminal.getvalue(), "the second epoch takes twice the steps"
    assert "50/60" in terminal.getvalue()


def test_a_word_now_and_then_where_there_is_no_bar(capsys, monkeypatch):
    monkeypatch.setattr(console, "QUIET", -1.0)
    console.training([step(0, i) for i in range(2)], shares=[1, 1], images=40)
    assert capsys.readouterr().out.splitlines()[0] == "epoch 1/2, loss 2.000: 10 of 40 images"


def test_while_steps_grow_the_time_left_is_in_proportion_to_them(terminal):
    """Epochs of 1, 2 and 4 steps: 270 s are seen, for three of seven steps."""
    first, second = (epoch(i, 2.0, 0.1, 0.2, 0.3, seconds, False) for i, seconds in enumerate((100.0, 270.0)))
    console.training([step(0, 0), first, step(1, 0), second], shares=[0.25, 0.5, 1.0], images=20)
    shown = terminal.getvalue()
    assert "1:40, 10:00 left" in shown
    assert "4:30, 6:00 left" in shown


def test_a_dumb_terminal_gets_no_bar(monkeypatch):
    shown = io.StringIO()
    screen = console._Screen(file=shown, force_terminal=True, force_interactive=False, width=100, highlight=False)
    monkeypatch.setattr(console, "console", screen)
    with console.progress("testing") as report:
        report(30, 80)
    assert not shown.getvalue()


def test_durations():
    assert [console.duration(seconds) for seconds in (0, 75.4, 3675)] == ["0:00", "1:15", "1:01:15"]


def test_what_is_wider_than_a_terminal_is_folded_and_not_cut(terminal):
    console.columns("runs", ("run", "spikes"), [("x" * 150, "178,743")])
    console.table("over time", 2, {"y" * 150: ["0.5", "0.25"]})
    shown = terminal.getvalue()
    assert shown.count("x") == 150
    assert shown.count("y") % 150 == 0 < shown.count("y")
    assert "178,743" in shown
    assert "…" not in shown


def test_names_are_printed_as_they_are(capsys):
    """None is markup, an emoji, or too long for a screen that is not there."""
    names, long = ["a [b]", ":cat:", "x[/b]"], "y" * 100
    console.columns("[t] :dog:", ("[h]", ":hat:"), [(name, long) for name in names])
    assert [one.strip() for one in capsys.readouterr().out.splitlines()[2:]] == [f"{name:5}  {long}" for name in names]
    console.table("[t] :dog:", 2, {long: ["[/b]", ":cat:"]})
    words = capsys.readouterr().out.split()
    assert words == ["[t]", ":dog:", "1", long, "[/b]", "2", long, ":cat:"]
    console.line("a\tb [b] :cat:")
    console.as_json({"a": "[b] :cat:"})
    console.as_csv([{"a": "b\tc [b] :cat:"}])
    assert capsys.readouterr().out == 'a\tb [b] :cat:\n{\n "a": "[b] :cat:"\n}\na\nb\tc [b] :cat:\n'


def test_rows_as_comma_separated_values(capsys):
    console.as_csv([{"layer": "conv1", "text": 'a "b", [red]c[/]'}, {"layer": "fc1", "text": ""}])
    rows = list(csv.DictReader(io.StringIO(capsys.readouterr().out)))
    assert rows == [{"layer": "conv1", "text": 'a "b", [red]c[/]'}, {"layer": "fc1", "text": ""}]
    with pytest.raises(TypeError, match="column 'ratio' is of single values, got \\[1, 2\\]"):
        console.as_csv([{"layer": "conv1", "ratio": 0.5}, {"layer": "fc1", "ratio": [1, 2]}])
    assert capsys.readouterr().out == ""


def test_a_row_has_a_cell_for_every_head():
    with pytest.raises(ValueError, match="zip"):
        console.columns("table", ("a", "b"), [("1", "2", "3")])


def test_words_tables_and_charts_over_time_are_printed(capsys):
    rate = Axis("firing rate", percent=True)
    section = Section(
        "Spikes",
        words=("counted",),
        tables=(Table("layers", ("layer", "peak"), ((Cell("conv1"), Cell("3")),), "a note"),),
        charts=(
            Lines("By layer", STEPS, rate, over_steps({"conv1": [0.5, None], "fc1": [4e-4, 1.0]})),
            Lines("Energy", STEPS, Axis("energy (pJ)"), over_steps({"all": [1234.5, 0.5], "few": [0.000169, 0.0]})),
            Bars("Bars", rate, ["a"], [Bar("x", [1.0])]),
            HeatMap("γ", STEPS, ["conv2"], ["1", "2"], [[0.5, None]], Axis("mean |γ|")),
            HeatMap("Classes", Axis("class"), ["conv3"], ["cat"], [[0.5]], Axis("spikes")),
        ),
        folded=(Table("folded", ("", "n"), ((Cell("x"), Cell("7")),)),),
        gaps=("nothing of the rest",),
    )
    console.section("run, test", section)
    out = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["conv1", "50.0%", "–"] in out
    assert ["fc1", "0.0400%", "100%"] in out, "not 0: some fired"
    assert ["all", "1,234", "0.50"] in out
    assert ["few", "0.000169", "0"] in out, "not 0.00"
    assert ["conv2", "0.50", "–"] in out
    for line in (
        ["run,", "test"],
        ["counted"],
        ["conv1", "3"],
        ["a", "note"],
        ["x", "7"],
        ["nothing", "of", "the", "rest"],
    ):
        assert line in out
    assert not any("Bars" in line or "Classes:" in line for line in out)
