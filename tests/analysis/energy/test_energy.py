"""The operations of a run and their price: numbers by hand, what is shown of them, a stop, and tables of the user's."""

import json
from dataclasses import replace

import pytest
import torch

from bntt.analysis.accuracy import Accuracy
from bntt.analysis.energy import (
    FOLDER,
    Digital,
    EnergyArguments,
    EnergyResult,
    EnergyRow,
    Neuromorphic,
    all_layers,
    energy_rows,
    load_costs,
    measure_energy,
    readable,
)
from bntt.analysis.energy.operations import LayerOperations, Operations, count_operations, layer_rows
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.analysis.result import result_from
from bntt.cli import main as cli
from bntt.io.files import names_in
from tests.runs.tiny import parts
from tests.trained import copied_run, opened_run


def rows(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def counted(constant: bool = False) -> Operations:
    """Two steps of two layers and a readout, in round numbers."""
    first = "analog" if constant else "spikes"
    none = rows(0, 0)
    events = none if constant else rows(30, 10)
    layers = {
        "conv1": LayerOperations(first, events, rows(30, 10), 100, rows(6, 2), 10, rows(5, 5), rows(9, 7), 20),
        "fc1": LayerOperations("counts", rows(40, 20), rows(15, 5), 50, rows(1, 3), 5, none, rows(2, 2), 10),
        "readout": LayerOperations("spikes", rows(2, 6), rows(2, 6), 10, none, 0, none, none, 0),
    }
    return Operations(Accuracy(8, ((4, 6), (6, 6))), layers)


TABLES = {
    "d": Digital(kind="digital", unit="pJ", source="x", mac=5.0, addition=1.0, multiplication=4.0),
    "n": Neuromorphic(kind="neuromorphic", unit="pJ", source="x", spike=1.0, operation=0.0, step=10.0),
}


def priced(found: Operations, stops: tuple[int, ...], tables=TABLES) -> list[EnergyRow]:
    return list(energy_rows([all_layers(list(layer_rows(found, steps))) for steps in stops], tables))


def test_energy_by_hand():
    """By spike 40 + 60 + 8 additions; by value 48 additions and 20 multiply-accumulates; updates 20 + and 10 x."""
    found = {(row.costs, row.steps, row.price): row for row in priced(counted(), (2, 1))}
    assert list(found) == [
        ("d", 2, "spikes"),
        ("d", 2, "values"),
        ("d", 1, "spikes"),
        ("d", 1, "values"),
        ("n", 2, "either"),
        ("n", 1, "either"),
    ]
    ann = 160 * 5 + 30 * 1
    expected = {("spikes", 2): 108, ("values", 2): 48 + 20 * 5, ("spikes", 1): 72, ("values", 1): 32 + 15 * 5}
    for (price, steps), synaptic in expected.items():
        row, other = found["d", steps, price], {2: 20 + 10 * 4, 1: 11 + 5 * 4}[steps]
        assert (row.snn_synaptic, row.snn_other, row.snn) == (synaptic, other, synaptic + other)
        assert (row.ann_synaptic, row.ann_other, row.ann) == (800, 30, ann)
        assert row.ann_over_snn == pytest.approx(ann / (synaptic + other))
        assert row.ann_over_snn_synaptic == pytest.approx(800 / synaptic)
    chip = found["n", 2, "either"]
    assert (chip.snn_synaptic, chip.snn_other, chip.ann, chip.ann_over_snn) == (12, 20, None, None)
    assert (found["n", 1, "either"].snn_synaptic, found["n", 1, "either"].snn_other) == (7, 10)


def test_an_ann_reads_every_frame_of_a_recording():
    frames = replace(counted(), frames=2)
    (row, *_), (layer, *_) = priced(frames, (2,)), layer_rows(frames, 2)
    assert (row.ann, layer.ann_macs, layer.ann_update_additions) == (2 * (160 * 5 + 30 * 1), 200, 40)


def result(constant: bool = False, *, is_ann: bool = False, **changes) -> EnergyResult:
    """The record of what is counted above, by the tables of the package, after two steps and after one."""
    found, stops = counted(constant), (2, 1)
    tables = {name: load_costs(name) for name in names_in(FOLDER)}
    whole = EnergyResult(
        dataset="made", split="test", images=8, draws=2, steps=stops, is_ann=is_ann,
        layers=[row for steps in stops for row in layer_rows(found, steps)],
        accuracy_over_time=found.accuracy.over_time, energy=priced(found, stops, tables), costs=tables,
    )  # fmt: skip
    return result_from(EnergyResult, json.loads(json.dumps(whole.to_json() | changes)))


def test_metrics_are_those_of_all_steps_by_spike():
    """108 additions by spike and 20 of updates at 0.9 pJ, 10 multiplications at 3.7; the ANN: 160 MACs and 30."""
    found = result()
    read = {name: metric.read(found, None) for name, metric in found.metrics().items()}
    own, ann = 128 * 0.9 + 10 * 3.7, 160 * 4.6 + 30 * 0.9
    synapses = {"energy-synaptic": 108 * 0.9 / 1e6, "ann-over-snn-synaptic": 160 * 4.6 / (108 * 0.9)}
    assert read == pytest.approx({"energy": own / 1e6, "ann-energy": ann / 1e6, "ann-over-snn": ann / own, **synapses})
    priced_otherwise = found.model_copy(update={"energy": found.energy[-1:]})
    assert {metric.read(priced_otherwise, None) for metric in found.metrics().values()} == {None}


def test_tables_and_bars_are_the_numbers():
    section = result().section()
    digital, neuromorphic = section.tables
    assert [row[0].value for row in digital.rows] == [2, 2, 1, 1]
    assert digital.rows[0][1].value == pytest.approx(128 * 0.9 + 10 * 3.7)
    assert [[cell.text for cell in row[-2:]] for row in neuromorphic.rows] == [["–"] * 2] * 2
    after_all, _ = section.folded
    assert [cell.value for cell in after_all.rows[-1][2:]] == [12, 108, 0, 48, 20, 160]
    assert "75.0% in 2 draws of noise, 12 spikes" in section.words[0]
    operations, digital, chip = section.charts
    by_spike, by_value, ann = operations.bars
    assert operations.names == ["conv1", "fc1", "readout"]
    assert (by_spike.values[1], by_value.values[1], ann.values[1]) == (60 / 1e6, 20 / 1e6, 50 / 1e6)
    assert digital.names[-1] == "ANN"
    weights, other = digital.bars
    assert (weights.values[-1], other.values[-1]) == pytest.approx((160 * 4.6, 30 * 0.9))
    assert (chip.names, len(chip.bars), chip.note) == (("2 steps", "1 step"), 2, "")
    tiny = [row.model_copy(update={"snn_other": row.snn_synaptic / 1e3}) for row in result().energy]
    *_, chip = result().model_copy(update={"energy": tiny}).section().charts
    assert ([bar.name for bar in chip.bars], chip.note) == (["spikes"], "time: less than 1%, not drawn")
    own, whole = result(constant=True, is_ann=True).section().charts[0].bars
    assert all(some <= every for some, every in zip(own.values, whole.values, strict=True))


def test_energies_are_in_a_unit_that_can_be_read():
    row = result().energy[0]
    for largest, unit in ((3e9, "mJ"), (2e6, "µJ"), (1e3, "nJ"), (999.0, "pJ")):
        assert readable([row.model_copy(update={"snn": largest, "ann": None})])[0].unit == unit


@pytest.fixture(scope="module")
def run():
    found = opened_run()
    found.__dict__["data"] = parts(found.recipe)  # sixty images of each split
    return found


def test_a_run_is_counted_with_and_without_a_stop(run, monkeypatch):
    progress = Progress()
    whole = measure_energy(run, EnergyArguments(), progress)
    assert progress.done == progress.total == whole.images == 60
    assert (whole.steps, list(whole.costs)) == ([3], ["digital-45nm", "neuromorphic"])
    both = measure_energy(run, EnergyArguments(steps=2, draws=2, split="validation"), Progress())
    assert (both.steps, both.split, both.draws, both.images) == ([3, 2], "validation", 2, len(run.data.validation))
    theirs = count_operations(run.model, run.loader("validation"), seed=run.seed, draws=2)
    assert both.layers == [row for steps in (3, 2) for row in layer_rows(theirs, steps)]
    assert both.accuracy_over_time == theirs.accuracy.over_time
    assert measure_energy(run, EnergyArguments(steps=3), Progress()).steps == [3]
    monkeypatch.setattr(type(run), "exit_steps", lambda self: 1)
    assert measure_energy(run, EnergyArguments(), Progress()).steps == [3, 1], "the exit that was chosen"
    for steps in (0, 4):
        with pytest.raises(ArgumentError, match=f"--steps {steps}"):
            measure_energy(run, EnergyArguments(steps=steps), Progress())


def test_tables_of_the_users_are_read_before_anything_is_counted(run, tmp_path, monkeypatch):
    path = tmp_path / "mine.toml"
    path.write_text('kind = "digital"\nunit = "J"\nsource = "x"\nmac = 1.0\naddition = 1.0\nmultiplication = 1.0\n')
    found = measure_energy(run, EnergyArguments(costs=(str(path), "digital-45nm")), Progress())
    assert found.costs == {"mine": load_costs(path), "digital-45nm": load_costs("digital-45nm")}
    twin = tmp_path / "b" / "mine.toml"
    twin.parent.mkdir()
    twin.write_text(path.read_text())
    path.write_text('kind = "digital"\n')
    monkeypatch.setattr("bntt.analysis.energy.operations.count_operations", None)
    with pytest.raises(ArgumentError, match="addition"):
        measure_energy(run, EnergyArguments(costs=(str(path),)), Progress())
    path.write_text(twin.read_text())
    with pytest.raises(ArgumentError, match="two tables"):
        measure_energy(run, EnergyArguments(costs=(str(path), "digital-45nm", str(twin))), Progress())


@pytest.mark.slow
def test_flags_of_the_verb(tmp_path, capsys):
    run = copied_run(tmp_path).path
    asked = ["--costs", "neuromorphic", "--costs", "digital-45nm", "--split", "validation", "--json"]
    assert cli.main(["energy", str(run), *asked]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [*told["costs"]] == told["arguments"]["costs"] == ["neuromorphic", "digital-45nm"]
    assert told == json.loads((run / "energy-validation.json").read_text())
