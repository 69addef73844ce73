"""``bntt energy``: what a trained network does for an image, and what that costs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import tyro

from bntt.cli.opening import Split

if TYPE_CHECKING:
    from bntt.runs.measures.energy import EnergyResult


def energy(
    run: tyro.conf.Positional[Path],
    split: Split = "test",
    draws: int = 1,
    steps: int | None = None,
    costs: tyro.conf.UseAppendAction[tuple[str, ...]] = (),
    device: str = "cpu",
    json: bool = False,
    csv: bool = False,
) -> None:
    """Count the synaptic operations of real spikes, layer by layer, and price them beside an ANN of the same plan.

    Writes energy.json and energy.png into the run directory (energy-validation.* for the other split).

    Example: bntt energy runs/fashion-mnist --steps 8 --costs digital-45nm --costs my-chip.toml

    Args:
        run: the run directory.
        split: which images.
        draws: repetitions with fresh noise.
        steps: compare with a stop after so many steps; by default what the run's exit.json says, if it has one.
        costs: a table of costs, by name or TOML file, and again for another; all built-in ones by default.
        device: cpu, or cuda.
        json: print the numbers as JSON instead of tables.
        csv: print the layers as comma-separated values instead of tables.
    """
    from bntt.cli import console, opening
    from bntt.runs.directory import RunDirectory, stem_of
    from bntt.runs.figures.energy_figure import save_energy
    from bntt.runs.measures.energy import as_json, energy_run, layer_rows
    from bntt.runs.recipe.file import RecipeError

    if draws < 1:
        raise RecipeError(f"--draws must be 1 or more, got {draws}")
    loaded = opening.opened(run, device, as_json=json, as_csv=csv, spiking=False)
    with console.progress("counting", len(loaded.loader(split).places) * draws) as advance:
        result = energy_run(loaded, split=split, draws=draws, steps=steps, costs=costs, progress=advance)
    values = as_json(result)
    shown = opening.told(values, list(layer_rows(result)), as_json=json, as_csv=csv)
    if shown:
        _show(result)
    stem = stem_of("energy", split)
    written = RunDirectory(loaded.path).keep(stem, values)
    save_energy(result, written.with_suffix(".png"))
    if shown:
        console.line(f"written: {loaded.path / stem}.json and .png")


def _show(result: EnergyResult) -> None:
    """Layers, then costs."""
    from bntt.cli import console
    from bntt.runs.measures.energy import ANN_NOTE, LEFT_OUT, NOTE, counted, energy_rows, layer_rows, readable

    found = result.operations
    for steps in result.stops:
        accuracy = found.accuracy.over_time[steps - 1]
        console.line("")
        console.line(
            f"{result.split} accuracy {accuracy:.1%} after {counted(steps)}, {found.spikes(steps):,.0f} spikes"
        )
        heads = ("layer", "input", "spikes", "a: add", "a: MAC", "b: add", "b: MAC", "ANN: MAC")
        keys = ("spikes", "additions_by_spike", "macs_by_spike", "additions_by_value", "macs_by_value", "ann_macs")
        rows = [row for row in layer_rows(result) if row["steps"] == steps]
        cells = [[row["layer"], row["input"], *(f"{row[key]:,.0f}" for key in keys)] for row in rows]
        cells.append(["all", "", *(f"{sum(row[key] for row in rows):,.0f}" for key in keys)])
        console.columns("operations for one image, counts paid by spike (a) or by value (b)", heads, cells)
    if result.is_ann:
        console.line(ANN_NOTE)
    elif found.constant_input:
        once = found.synaptic(price="values", input_once=True).macs
        console.line(f"the input is the same at every step: its current computed once, b has {once:,.0f} MACs in all")
    for name, table in result.tables.items():
        costs = [row for row in energy_rows(result) if row["costs"] == name]
        scale, unit = readable(max(row["snn"] for row in costs), table.unit)
        columns = ("steps", "counts paid", "synaptic", "other", "network", "ANN", "ANN / network")
        console.columns(f"energy of one image by {name} ({unit})", columns, (_cells(row, scale) for row in costs))
        console.line(f"{table.source}{'; ' * bool(table.note)}{table.note}")
    console.line(f"left out: {'; '.join(LEFT_OUT)}")
    console.line(NOTE)


def _cells(row: Mapping[str, Any], scale: float) -> list[str]:
    energies = [row[key] for key in ("snn_synaptic", "snn_other", "snn", "ann")]
    numbers = [*(None if one is None else one * scale for one in energies), row["ann_over_snn"]]
    price = row["price"] if row["price"] == "either" else f"by {row['price']}"[:-1]
    return [str(row["steps"]), price, *("-" if one is None else f"{one:,.4g}" for one in numbers)]
