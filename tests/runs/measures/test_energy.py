"""A run's operations and their price: numbers that agree with each other, an exit, and what is refused."""

import json
from pathlib import Path

import pytest
import torch

from bntt.analysis.accuracy.accuracy import Accuracy
from bntt.analysis.energy.operations import LayerOperations, Operations
from bntt.analysis.energy.state_updates import Updates
from bntt.runs.measures.costs import Digital, Neuromorphic, load_costs
from bntt.runs.measures.energy import (
    EnergyResult,
    as_json,
    energy_rows,
    energy_run,
    exit_of,
    layer_rows,
    neurobench,
    readable,
)
from bntt.runs.measure import measure
from bntt.runs.open_run import load_run
from bntt.runs.recipe.file import RecipeError
from bntt.io.checkpoint import CheckpointError
from tests.runs.tiny import parts, recipe, trained


def rows(*values: float) -> torch.Tensor:
    return torch.tensor(values, dtype=torch.float64)


def result(stops=(2, 1), constant: bool = False) -> EnergyResult:
    """Two steps of two layers and a readout, in round numbers."""
    first = "analog" if constant else "spikes"
    none, nothing = rows(0, 0), Updates(rows(0, 0), rows(0, 0), 0)
    events = none if constant else rows(30, 10)
    layers = {
        "conv1": LayerOperations(first, events, rows(30, 10), 100, rows(6, 2), 10, Updates(rows(5, 5), rows(9, 7), 20)),
        "fc1": LayerOperations("counts", rows(40, 20), rows(15, 5), 50, rows(1, 3), 5, Updates(none, rows(2, 2), 10)),
        "readout": LayerOperations("spikes", rows(2, 6), rows(2, 6), 10, none, 0, nothing),
    }
    found = Operations(Accuracy(8, ((4, 6), (6, 6))), layers, constant)
    digital = Digital(kind="digital", unit="pJ", source="x", mac=5.0, addition=1.0, multiplication=4.0)
    chip = Neuromorphic(kind="neuromorphic", unit="pJ", source="x", spike=1.0, operation=0.0, step=10.0)
    return EnergyResult("images", "test", 3, found, stops, {"d": digital, "n": chip}, 1000, 0.25)


def test_energy_by_hand():
    """By spike 40 + 60 + 8 additions; by value 48 additions and 20 multiply-accumulates; updates 20 + and 10 x."""
    found = {(row["costs"], row["steps"], row["price"]): row for row in energy_rows(result())}
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
        assert (row["snn_synaptic"], row["snn_other"], row["snn"]) == (synaptic, other, synaptic + other)
        assert (row["ann_synaptic"], row["ann_other"], row["ann"]) == (800, 30, ann)
        assert row["ann_over_snn"] == pytest.approx(ann / (synaptic + other))
        assert row["ann_over_snn_synaptic"] == pytest.approx(800 / synaptic)
    chip = found["n", 2, "either"]
    assert (chip["snn_synaptic"], chip["snn_other"], chip["ann"], chip["ann_over_snn"]) == (12, 20, None, None)
    assert (found["n", 1, "either"]["snn_synaptic"], found["n", 1, "either"]["snn_other"]) == (7, 10)


def test_layers_by_hand():
    found = {(row["steps"], row["layer"]): row for row in layer_rows(result())}
    assert [key for key in found if key[0] == 1] == [(1, "conv1"), (1, "fc1"), (1, "readout")]
    row = found[2, "fc1"]
    assert (row["additions_by_spike"], row["macs_by_spike"]) == (60, 0)
    assert (row["additions_by_value"], row["macs_by_value"]) == (0, 20)
    assert (row["spikes"], row["ann_macs"], row["update_additions"]) == (4, 50, 4)
    assert found[1, "conv1"]["additions_by_value"] == 30


def test_neurobench_names():
    found = neurobench(result(), 2)
    assert found == {
        "footprint": 1000,
        "connection_sparsity": 0.25,
        "activation_sparsity": 1 - 12 / (2 * 15),
        "synaptic_operations": {"Effective_MACs": 20.0, "Effective_ACs": 48.0, "Dense": 320},
        "classification_accuracy": 0.75,
    }
    assert neurobench(result(), 1)["synaptic_operations"] == {
        "Effective_MACs": 15.0,
        "Effective_ACs": 32.0,
        "Dense": 160,
    }
    assert neurobench(result(), 1)["classification_accuracy"] == 5 / 8


def test_an_input_that_never_changes_is_told_both_ways():
    assert not any("once" in key for key in as_json(result()))
    found = as_json(result(constant=True))
    assert found["operations_by_value_if_the_input_current_is_computed_once"] == {
        "2": {"additions": 8.0, "macs": 30.0 + 20.0},
        "1": {"additions": 2.0, "macs": 30.0 + 15.0},
    }
    assert neurobench(result(constant=True), 2)["synaptic_operations"]["Effective_MACs"] == 40 + 20


def test_numbers_are_told_in_a_unit_that_can_be_read():
    assert [readable(value, "pJ") for value in (1.0, 999.0, 1000.0, 2e6)] == [
        (1.0, "pJ"),
        (1.0, "pJ"),
        (1e-3, "nJ"),
        (1e-6, "µJ"),
    ]
    assert readable(2e6, "normalised") == (1.0, "normalised")


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    of = recipe(train={"epochs": 1})
    return trained(of, parts(of), tmp_path_factory.mktemp("runs"))[0]


@pytest.fixture
def loaded(run):
    found = load_run(run.path)
    found.__dict__["data"] = parts(found.recipe)  # sixty images of each split
    return found


def test_a_run_is_counted_with_and_without_its_exit(loaded):
    done: list[int] = []
    whole = energy_run(loaded, progress=done.append)
    assert sum(done) == 60
    assert (whole.stops, list(whole.tables)) == ((3,), ["digital-45nm", "neuromorphic"])
    held = [*loaded.model.network.parameters(), *loaded.model.network.buffers()]
    assert whole.footprint == 4 * sum(t.numel() for t in held if t.dtype == torch.float32) + sum(
        t.nbytes for t in held if t.dtype != torch.float32
    )
    assert whole.connection_sparsity == 0
    both = energy_run(loaded, steps=2, draws=2, split="validation")
    assert (both.stops, both.split, len(both.operations.accuracy.correct)) == ((3, 2), "validation", 2)
    values = json.loads(json.dumps(as_json(both)))
    assert set(values["neurobench"]) == {"3", "2"}
    assert "disagree by several times" in values["note"]
    assert any("memory" in left for left in values["left_out"])
    assert values["costs"]["digital-45nm"]["source"]
    for name, layer in values["per_step"].items():
        for steps in (3, 2):
            row = next(row for row in values["layers"] if (row["layer"], row["steps"]) == (name, steps))
            assert row["additions_by_spike"] == pytest.approx(sum(layer["operations_by_spike"][:steps]))
            assert row["spikes"] == pytest.approx(sum(layer["spikes"][:steps]))
    assert values["ann"]["macs"] == sum(row["ann_macs"] for row in values["layers"] if row["steps"] == 3)
    assert energy_run(loaded, steps=3).stops == (3,)


def test_the_exit_that_was_chosen_is_used(loaded):
    path = loaded.path / "exit.json"
    assert exit_of(loaded, None) is None
    try:
        values = measure("exit", loaded, threshold=0.0).to_json()
        for steps in (2, 3):
            path.write_text(json.dumps({**values, "steps": steps}))
            assert exit_of(loaded, None) == steps
        assert exit_of(loaded, 1) == 1
        for steps in (4, True, "2", None):
            path.write_text(json.dumps({**values, "steps": steps}))
            with pytest.raises(CheckpointError, match="cannot be used"):
                exit_of(loaded, None)
        path.write_text(json.dumps({**values, "weights_sha256": "0"}))
        with pytest.raises(CheckpointError, match="chosen for other weights"):
            energy_run(loaded)
    finally:
        path.unlink()
    for steps in (0, 4):
        with pytest.raises(RecipeError, match=f"--steps {steps}: must be a number of steps from 1 to 3"):
            energy_run(loaded, steps=steps)


def test_costs_of_yours_are_used_and_looked_at_first(loaded, tmp_path, monkeypatch):
    path: Path = tmp_path / "mine.toml"
    path.write_text('kind = "digital"\nunit = "J"\nsource = "x"\nmac = 1.0\naddition = 1.0\nmultiplication = 1.0\n')
    found = energy_run(loaded, costs=[path, "digital-45nm"])
    assert found.tables == {"mine": load_costs(path), "digital-45nm": load_costs("digital-45nm")}
    path.write_text('kind = "digital"\n')
    monkeypatch.setattr("bntt.runs.measures.energy.count_operations", None)
    with pytest.raises(RecipeError, match="missing"):
        energy_run(loaded, costs=[path])


def test_two_tables_by_one_name(loaded, tmp_path):
    for place in ("a", "b"):
        (tmp_path / place).mkdir()
        (tmp_path / place / "chip.toml").write_text("")
    with pytest.raises(RecipeError, match="two tables are called 'chip'"):
        energy_run(loaded, costs=("digital-45nm", tmp_path / "a" / "chip.toml", tmp_path / "b" / "chip.toml"))
