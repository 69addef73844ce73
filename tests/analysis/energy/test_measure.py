"""The operations of a run and their price: numbers by hand, a stop, tables of the user's, and what is refused."""

import pytest
import torch

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.energy.costs import Digital, Neuromorphic, load_costs
from bntt.analysis.energy.measure import energy_rows, layer_rows, measure_energy, neurobench
from bntt.analysis.energy.measurement import EnergyArguments
from bntt.analysis.energy.operations import LayerOperations, Operations
from bntt.analysis.energy.state_updates import Updates
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.runs.open_run import load_run
from tests.runs.measured import small_run
from tests.runs.tiny import opened_run, parts


def rows(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def counted(constant: bool = False) -> Operations:
    """Two steps of two layers and a readout, in round numbers."""
    first = "analog" if constant else "spikes"
    none, nothing = rows(0, 0), Updates(rows(0, 0), rows(0, 0), 0)
    events = none if constant else rows(30, 10)
    layers = {
        "conv1": LayerOperations(first, events, rows(30, 10), 100, rows(6, 2), 10, Updates(rows(5, 5), rows(9, 7), 20)),
        "fc1": LayerOperations("counts", rows(40, 20), rows(15, 5), 50, rows(1, 3), 5, Updates(none, rows(2, 2), 10)),
        "readout": LayerOperations("spikes", rows(2, 6), rows(2, 6), 10, none, 0, nothing),
    }
    return Operations(Accuracy(8, ((4, 6), (6, 6))), layers, constant)


TABLES = {
    "d": Digital(kind="digital", unit="pJ", source="x", mac=5.0, addition=1.0, multiplication=4.0),
    "n": Neuromorphic(kind="neuromorphic", unit="pJ", source="x", spike=1.0, operation=0.0, step=10.0),
}


def test_energy_by_hand():
    """By spike 40 + 60 + 8 additions; by value 48 additions and 20 multiply-accumulates; updates 20 + and 10 x."""
    found = {(row.costs, row.steps, row.price): row for row in energy_rows(counted(), (2, 1), TABLES)}
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


def test_layers_by_hand():
    found = {(row.steps, row.layer): row for row in layer_rows(counted(), (2, 1))}
    assert [key for key in found if key[0] == 1] == [(1, "conv1"), (1, "fc1"), (1, "readout")]
    row = found[2, "fc1"]
    assert (row.additions_by_spike, row.macs_by_spike) == (60, 0)
    assert (row.additions_by_value, row.macs_by_value) == (0, 20)
    assert (row.spikes, row.ann_macs, row.update_additions) == (4, 50, 4)
    assert found[1, "conv1"].additions_by_value == 30


def test_neurobench_by_hand():
    assert neurobench(counted(), 2, 1000, 0.25).model_dump() == {
        "footprint": 1000,
        "connection_sparsity": 0.25,
        "activation_sparsity": 1 - 12 / (2 * 15),
        "synaptic_operations": {"Effective_MACs": 20.0, "Effective_ACs": 48.0, "Dense": 320},
        "classification_accuracy": 0.75,
    }
    one = neurobench(counted(), 1, 1000, 0.25)
    assert one.synaptic_operations.model_dump() == {"Effective_MACs": 15.0, "Effective_ACs": 32.0, "Dense": 160}
    assert one.classification_accuracy == 5 / 8
    analog = neurobench(counted(constant=True), 2, 1000, 0.25, is_ann=True)
    assert (analog.synaptic_operations.Effective_MACs, analog.activation_sparsity) == (40 + 20, None)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    found = opened_run(tmp_path_factory.mktemp("runs"))
    found.__dict__["data"] = parts(found.recipe)  # sixty images of each split
    return found


def test_a_run_is_counted_with_and_without_a_stop(run):
    progress = Progress()
    whole = measure_energy(run, EnergyArguments(), progress)
    assert progress.done == progress.total == whole.images == 60
    assert (whole.steps, list(whole.costs)) == ([3], ["digital-45nm", "neuromorphic"])
    assert whole.neurobench[3].footprint == sum(tensor.nbytes for tensor in run.model.network.state_dict().values())
    assert whole.neurobench[3].connection_sparsity == 0
    assert not any("once" in key for key in whole.to_json())
    both = measure_energy(run, EnergyArguments(steps=2, draws=2, split="validation"), Progress())
    assert (both.steps, both.split, both.draws, both.images) == ([3, 2], "validation", 2, len(run.data.validation))
    assert list(both.neurobench) == [3, 2]
    for name, layer in both.per_step.items():
        for steps in (3, 2):
            row = next(row for row in both.layers if (row.layer, row.steps) == (name, steps))
            assert row.additions_by_spike == pytest.approx(sum(layer.operations_by_spike[:steps]))
            assert row.spikes == pytest.approx(sum(layer.spikes[:steps]))
    assert both.ann.macs == sum(row.ann_macs for row in both.layers if row.steps == 3)
    assert measure_energy(run, EnergyArguments(steps=3), Progress()).steps == [3]


def test_an_input_that_never_changes_is_counted_both_ways(tmp_path):
    run = load_run(small_run(tmp_path, encoder={"name": "direct"}).path)
    run.__dict__["data"] = parts(run.recipe)
    found = measure_energy(run, EnergyArguments(steps=2), Progress())
    first = next(row for row in found.layers if row.layer == "conv1")
    assert (first.input, first.macs_by_spike) == ("analog", 3 * first.ann_macs)
    by_value = sum(row.macs_by_value for row in found.layers if row.steps == 3)
    once = found.operations_by_value_if_the_input_current_is_computed_once
    assert once[3].macs == pytest.approx(by_value - 2 * first.ann_macs)
    assert set(found.to_json()["operations_by_value_if_the_input_current_is_computed_once"]) == {"3", "2"}
    with pytest.raises(ArgumentError, match="--draws 2: direct coding is not random"):
        measure_energy(run, EnergyArguments(draws=2), Progress())


def test_the_stop_is_the_exit_that_was_chosen(run, monkeypatch):
    monkeypatch.setattr(type(run), "exit_steps", lambda self: 1)
    assert measure_energy(run, EnergyArguments(), Progress()).steps == [3, 1]
    assert measure_energy(run, EnergyArguments(steps=2), Progress()).steps == [3, 2]
    for steps in (0, 4):
        with pytest.raises(ArgumentError, match=f"--steps {steps}: must be a number of steps from 1 to 3"):
            measure_energy(run, EnergyArguments(steps=steps), Progress())


def test_tables_of_the_users_are_read_before_anything_is_counted(run, tmp_path, monkeypatch):
    path = tmp_path / "mine.toml"
    path.write_text('kind = "digital"\nunit = "J"\nsource = "x"\nmac = 1.0\naddition = 1.0\nmultiplication = 1.0\n')
    found = measure_energy(run, EnergyArguments(costs=(str(path), "digital-45nm")), Progress())
    assert found.costs == {"mine": load_costs(path), "digital-45nm": load_costs("digital-45nm")}
    path.write_text('kind = "digital"\n')
    monkeypatch.setattr("bntt.analysis.energy.measure.count_operations", None)
    with pytest.raises(ArgumentError, match="missing"):
        measure_energy(run, EnergyArguments(costs=(str(path),)), Progress())
    with pytest.raises(ArgumentError, match="two tables are called 'mine'"):
        measure_energy(run, EnergyArguments(costs=("a/mine.toml", "digital-45nm", "b/mine.toml")), Progress())
