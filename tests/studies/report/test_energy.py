"""Operations and energies."""

import pytest

from bntt.studies.report.energy import energy, readable
from tests.studies.report.measured import texts, values


def test_a_kept_energy():
    held = values("cifar10-small-bntt", "energy")
    section = energy(held)
    digital, neuromorphic = section.tables
    assert digital.columns[2] == "network, µJ"
    assert texts(digital, 2) == ["7.827", "9.496", "7.030", "8.674"]
    assert texts(digital, 4) == ["51.43"] * 4
    assert set(texts(neuromorphic, 4)) == {"not available"}
    assert "Horowitz" in digital.note
    after_all, after_seven = section.folded
    assert "8 steps" in after_all.caption
    assert "7 steps" in after_seven.caption
    total = sum(row.maybe("ann_macs") or 0 for row in held.rows("layers") if row.number("steps") == 8)
    assert after_all.rows[-1][-1].value == total
    by_spike, by_value, ann = section.charts[0].bars
    assert (by_spike.values[0], ann.values[0]) == (pytest.approx(1397294.2624), 424128.0)
    assert by_value.values[0] == pytest.approx(1397294.2624)
    assert any(word.startswith("Left out: memory accesses") for word in section.words)


def test_an_ann():
    section = energy(values("rival-ann-0", "energy"))
    assert texts(section.tables[0], 0) == ["1 step"]


def test_units():
    assert readable(3e9, "pJ") == (1e-9, "mJ")
    assert readable(3e3, "pJ") == (1e-3, "nJ")
    assert readable(30.0, "pJ") == (1.0, "pJ")
