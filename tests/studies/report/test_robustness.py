"""Noise and attacks."""

from bntt.studies.report.reading import Values
from bntt.studies.report.robustness import UNBOUNDED, attacks, noise
from tests.studies.report.measured import texts, values


def test_kept_noise():
    held = values("rivals-noise", "robust")
    section = noise(held)
    (chart,) = section.charts
    assert chart.lines[0].name == "rival-bntt-0"
    assert len(chart.lines) == len(held.rows("runs"))
    assert chart.lines[0].x == (0.0, 0.1, 0.2, 0.3, 0.4, 0.6, 0.8, 1.0)
    assert len(section.folded[0].rows) == 8 * len(chart.lines)
    assert "one start of each run" in section.folded[0].caption


def test_kept_attacks():
    section = attacks(values("rivals-attack-bntt", "attack-fgsm"))
    (chart,) = section.charts
    assert UNBOUNDED not in {line.name for line in chart.lines}
    assert set(texts(section.tables[0], 9)) == {"valid"}
    assert not any("INVALID" in word for word in section.words)
    assert not attacks(values("rivals-attack-bntt", "attack")).charts, "one ε is no line"


def test_attacks_across_models_are_told_apart():
    section = attacks(values("rivals-attack-transfer", "attack"))
    assert {"rival-bntt-0", "rival-ann-0"} == set(texts(section.tables[0], 1))


def test_rows_that_are_worth_nothing_are_marked():
    row = {"attack": "fgsm", "estimator": "expected", "model": "a", "crafted_on": "a", "accuracy": 0.5, "invalid": ""}
    rows = [row | {"eps_255": 1.0}, row | {"eps_255": 2.0, "invalid": "gradients are zero"}]
    section = attacks(Values({"rows": rows, "note": "an upper bound"}, "attack.json"))
    assert section.words == ("An upper bound.", "1 row of 2 INVALID: the reason stands in the row.")
    wrong = section.tables[0].rows[1]
    assert (wrong[4].text, wrong[9].text, wrong[9].note) == ("50.0% INVALID", "INVALID", "gradients are zero")
    assert section.charts[0].lines[0].invalid == (1,)
