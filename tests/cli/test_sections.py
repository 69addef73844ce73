"""Sections of results on a terminal."""

from bntt.charts.records import STEPS, Axis, Bar, Bars, HeatMap, Lines, over_steps
from bntt.charts.section import Cell, Section, Table
from bntt.cli import sections


def test_words_tables_and_charts_over_time_are_printed(capsys):
    rate = Axis("firing rate", percent=True)
    section = Section(
        "Spikes",
        words=("counted",),
        tables=(Table("layers", ("layer", "peak"), ((Cell("conv1"), Cell("3")),), "a note"),),
        charts=(
            Lines("By layer", STEPS, rate, over_steps({"conv1": [0.5, None], "fc1": [0.25, 1.0]})),
            Lines("Energy", STEPS, Axis("energy (pJ)"), over_steps({"all": [1234.5, 0.5]})),
            Bars("Bars", rate, ["a"], [Bar("x", [1.0])]),
            HeatMap("γ", STEPS, ["conv2"], ["1", "2"], [[0.5, None]], Axis("mean |γ|")),
            HeatMap("Classes", Axis("class"), ["conv3"], ["cat"], [[0.5]], Axis("spikes")),
        ),
        folded=(Table("folded", ("", "n"), ((Cell("x"), Cell("7")),)),),
        gaps=("nothing of the rest",),
    )
    sections.show("run, test", section)
    out = [line.split() for line in capsys.readouterr().out.splitlines()]
    assert ["conv1", "50.0%", "-"] in out
    assert ["fc1", "25.0%", "100.0%"] in out
    assert ["all", "1,234", "0.50"] in out
    assert ["conv2", "0.50", "-"] in out
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
