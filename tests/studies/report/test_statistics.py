"""What normalisation does."""

from bntt.studies.report.statistics import drift, equivalence, stability
from tests.studies.report.measured import texts, values


def test_kept_drift():
    section = drift(values("cifar10-small-bntt", "drift"))
    assert texts(section.tables[0], 0)[0] == "conv1"
    assert texts(section.tables[0], 1)[0] == "0.126"
    assert [len(chart.lines) for chart in section.charts] == [8, 8]


def test_kept_equivalence():
    section = equivalence(values("cifar10-small-bntt", "equivalence"))
    assert texts(section.tables[0], 0) == ["not folded", "exact", "no mean", "no ratio", "Eq. 15"]
    assert texts(section.tables[0], 1) == ["53.5%", "53.5%", "9.5%", "29.0%", "10.0%"]
    assert section.charts[0].lines[0].y == [0.0] * 8


def test_kept_stability():
    held = values("stability", "stability")
    section = stability(held)
    (chart,) = section.charts
    assert chart.names == ["learning rate 0.03", "learning rate 0.3", "learning rate 3"]
    first = held.rows("shares")[0]
    assert chart.bars[0].values[0] == first.number("failed") / first.number("starts")
    assert len(section.folded[0].rows) == 18
