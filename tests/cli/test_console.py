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


@pytest.fixture
def screen(monkeypatch):
    """Makes a terminal of 100 columns the console, and gives what it shows."""

    def make(**options):
        shown = io.StringIO()
        options = {"force_terminal": True, "width": 100, "highlight": False} | options
        monkeypatch.setattr(console, "console", console._Screen(file=shown, **options))
        return shown

    return make


def test_steps_are_cut_to_the_screen_and_of_very_many_some_are_shown(capsys):
    console.table("γ", 30, {"conv1": ["0.25"] * 30})
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= console.console.width
    assert sum("conv1" in line for line in lines) > 2
    console.table("γ", 1000, {"conv1": ["0.25"] * 1000})
    assert [int(word) for word in capsys.readouterr().out.split() if word.isdigit()] == list(range(10, 1001, 10))


def test_training_prints_a_line_an_epoch_without_a_terminal(capsys, monkeypatch):
    records = [
        step(0, 0, 2.0),
        epoch(0, 2.0, 0.1, 0.2, 0.3, 5.0, True),
        step(1, 0, 1.0),
        Notice("warning: layer fc1 is silent"),
        epoch(1, 1.0, 0.5, None, 0.03, 10.0, False),
    ]
    expected = [
        "epoch 1/2  loss 2.000  train 10.0%  validation 20.0%  lr 0.3  0:05, 0:05 left  best",
        "warning: layer fc1 is silent",
        "epoch 2/2  loss 1.000  train 50.0%  lr 0.03  0:10, 0:00 left",
    ]
    console.training(records, shares=[1, 1], images=10)
    assert capsys.readouterr().out.splitlines() == expected
    monkeypatch.setattr(console, "SOON", -1.0)  # and a line now and then
    monkeypatch.setattr(console, "QUIET", -1.0)
    records[3:3] = [step(1, 1, 1.0)]
    console.training(records, shares=[1, 1], images=40)
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if line not in expected] == [
        "epoch 2/2, loss 1.000: 10 of 40 images, 0:00 left",
        "epoch 2/2, loss 1.000: 20 of 40 images, 0:00 left",
    ]


def test_a_bar_is_for_terminals_that_can_redraw_it(screen):
    shown = screen()
    with console.progress("testing [x]") as report:
        report(50, 80)
    with console.status("closing [/x]") as say:
        say("closing [/y]")
    assert "testing [x]" in shown.getvalue()
    assert "50/80" in shown.getvalue()
    assert "closing [/y]" in shown.getvalue()
    for options in ({"force_interactive": False}, {"force_terminal": False}):  # an editor's, a file
        shown = screen(**options)
        with console.progress("testing") as report:
            report(30, 80)
        assert not shown.getvalue()
    with console.status("opening") as say:
        say("still opening")
    assert not shown.getvalue()


def test_a_bar_of_training_counts_over_all_epochs_whose_time_goes_by_their_steps(screen):
    """Epochs of 1, 2 and 4 steps: 100 s are for one of seven, 370 s for three."""
    shown = screen()
    first, second = (epoch(i, 2.0, 0.1, 0.2, 0.3, seconds, False) for i, seconds in enumerate((100.0, 270.0)))
    assert console.duration(3675) == "1:01:15"
    records = [step(0, 0), first, step(1, 0), step(1, 1), second]
    console.training(records, shares=[0.25, 0.5, 1.0], images=20)
    for part in ("1:40, 10:00 left", "4:30, 6:00 left", "epoch 2/3", "40/60"):
        assert part in shown.getvalue(), part


def test_what_is_wider_than_a_terminal_is_folded_and_not_cut(screen):
    shown = screen()
    console.columns("runs", ("run", "spikes"), [("x" * 150, "178,743")])
    console.table("over time", 2, {"y" * 150: ["0.5", "0.25"]})
    assert shown.getvalue().count("x") == 150
    assert shown.getvalue().count("y") % 150 == 0 < shown.getvalue().count("y")
    assert "178,743" in shown.getvalue()
    assert "…" not in shown.getvalue()


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
    assert capsys.readouterr().out == 'a\tb [b] :cat:\n{\n "a": "[b] :cat:"\n}\n'
    given = [{"layer": "conv1", "text": 'a "b",\tc [red]d[/] :cat:'}, {"layer": "fc1", "text": ""}]
    console.as_csv(given)
    assert list(csv.DictReader(io.StringIO(capsys.readouterr().out))) == given


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
    out = capsys.readouterr().out
    rows = [" ".join(line.split()) for line in out.splitlines()]
    expected = ["run, test", "counted", "conv1 3", "a note", "x 7", "nothing of the rest"]
    expected += ["conv1 50.0% –", "fc1 0.0400% 100%", "all 1,234 0.50", "few 0.000169 0", "conv2 0.50 –"]
    assert [row for row in expected if row not in rows] == [], "some fired: not 0, nor 0.00"
    assert "Bars" not in out
    assert "Classes:" not in out
