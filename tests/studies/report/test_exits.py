"""Early exit of all images alike, and one by one."""

from bntt.studies.report.exits import early_exit, sample_exit
from tests.studies.report.measured import texts, values


def test_the_rules_of_a_kept_exit():
    section = early_exit(values("cifar10-small-bntt", "exit"))
    (table,) = section.tables
    assert texts(table, 1) == ["7 of 8", "7 of 8", "8 of 8"]
    assert texts(table, 2) == ["12%", "12%", "0%"]
    assert texts(table, 3) == ["0.226", "none", "0.1"]
    assert texts(table, 6) == ["+0.03", "+0.03", "+0.00"]
    over_time, gamma = section.charts
    assert {line.name for line in over_time.lines} == {"test", "validation"}
    assert round(gamma.levels[0].value, 3) == 0.226


def test_the_criteria_of_a_kept_exit_of_samples():
    section = sample_exit(values("cifar10-small-bntt", "exit-per-sample"))
    assert texts(section.tables[0], 0) == ["no exit", "confidence", "margin", "entropy"]
    assert texts(section.tables[0], 2) == ["8.00", "5.47", "5.56", "6.03"]
    assert section.charts[0].names == [f"step {t}" for t in range(1, 9)]
