"""The record of energy: its metrics, tables and charts, and the kept files that it reads."""

import json
from pathlib import Path

import pytest

from bntt.analysis.energy.result import EnergyResult
from bntt.analysis.result import result_from

RESULTS = Path(__file__).parents[3] / "docs" / "results"
KEPT = sorted([*RESULTS.glob("*/energy.json"), *RESULTS.glob("studies/*/measures/energy-*.json")])


def values(path: Path) -> dict:
    found = json.loads(path.read_text())
    return found.get("values", found)


def kept(run: str) -> EnergyResult:
    return result_from(EnergyResult, values(RESULTS / run / "energy.json"))


@pytest.mark.parametrize("path", KEPT, ids=lambda path: path.parent.name)
def test_kept_files_are_read_whole(path):
    held = values(path)
    found = result_from(EnergyResult, held)
    assert found.to_json() == {"is_ann": False, "arguments": None} | held
    assert [row["layer"] for row in found.rows()] == [row["layer"] for row in held["layers"]]


def test_metrics_are_those_of_all_steps_by_spike():
    found = kept("cifar10-small-bntt")
    read = {name: metric.read(found, None) for name, metric in found.METRICS.items()}
    row = found.energy[0]
    assert (row.steps, row.price, row.costs) == (8, "spikes", "digital-45nm")
    assert read == {"energy": row.snn / 1e6, "ann-energy": row.ann / 1e6, "ann-over-snn": row.ann_over_snn}
    priced_otherwise = found.model_copy(update={"energy": found.energy[-1:]})
    assert {metric.read(priced_otherwise, None) for metric in found.METRICS.values()} == {None}


def test_tables_and_words():
    section = kept("cifar10-small-bntt").section()
    digital, neuromorphic = section.tables
    assert "µJ" in digital.caption
    columns = [[row[i].text for row in digital.rows] for i in range(6)]
    assert columns[0] == ["8 steps, by spike", "8 steps, by value", "7 steps, by spike", "7 steps, by value"]
    assert columns[1] == ["7.827", "9.496", "7.030", "8.674"]
    assert columns[4] == ["51.43"] * 4
    assert [[cell.text for cell in row[-2:]] for row in neuromorphic.rows] == [["not available"] * 2] * 2
    assert "Horowitz" in digital.note
    after_all, after_seven = section.folded
    assert "after 8 steps" in after_all.caption
    assert "after 7 steps" in after_seven.caption
    assert after_all.rows[-1][0].text == "all"
    assert after_all.rows[-1][-1].value == sum(row[-1].value for row in after_all.rows[:-1])
    assert section.words[0] == "After 8 steps: test accuracy 54.1%, 5,829 spikes for one image."
    assert section.words[-1].startswith("Left out: memory accesses;")


def test_bars_are_the_numbers():
    operations, digital, chip = kept("cifar10-small-bntt").section().charts
    by_spike, by_value, ann = operations.bars
    assert operations.names[0] == "conv1"
    assert by_spike.values[0] == by_value.values[0] == pytest.approx(1.3972942624)
    assert (ann.values[0], ann.colour) == (0.424128, "ann")
    assert digital.y.label == "energy of one image (µJ)"
    assert digital.names[-1] == "ANN"
    weights, other = digital.bars
    totals = [a + b for a, b in zip(weights.values, other.values, strict=True)]
    assert totals == pytest.approx([7.827, 9.496, 7.030, 8.674, 51.43], abs=0.005)
    assert [bar.name for bar in chip.bars] == ["spikes", "time"]
    assert chip.names == ("8 steps", "7 steps")


def test_an_ann_has_one_kind_of_operations():
    section = kept("rival-ann-0").section()
    own, whole = section.charts[0].bars
    assert own.name == "values that are not 0"
    assert all(some <= every for some, every in zip(own.values, whole.values, strict=True))
    assert any("This network is an ANN" in words for words in section.words)
    assert [row[0].text for row in section.tables[0].rows] == ["1 step"]


def test_an_input_that_is_computed_once_is_told():
    path = next(path for path in KEPT if any("once" in key for key in values(path)))
    assert any(
        "its current computed once" in words for words in result_from(EnergyResult, values(path)).section().words
    )


@pytest.mark.parametrize(("largest", "unit"), [(3e9, "mJ"), (2e6, "µJ"), (1e3, "nJ"), (999.0, "pJ")])
def test_energies_are_in_a_unit_that_can_be_read(largest, unit):
    found = kept("cifar10-small-bntt")
    row = found.energy[0].model_copy(update={"snn": largest, "ann": None})
    (table,) = found.model_copy(update={"energy": [row]}).section().tables
    assert f", {unit}: " in table.caption


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"snn": -1.0}, r"energy\.0\.snn"),
        ({"snn": float("nan")}, r"energy\.0\.snn"),
        ({"steps": 0}, r"energy\.0\.steps"),
    ],
)
def test_a_file_that_is_damaged_is_refused_with_the_place(change, place):
    held = values(RESULTS / "rival-bntt-0" / "energy.json")
    with pytest.raises(ValueError, match=place):
        result_from(EnergyResult, held | {"energy": [held["energy"][0] | change]})
