"""``bntt neuron``: one neuron through time."""

from __future__ import annotations

from pathlib import Path

import tyro

from bntt.cli.opening import Split


def neuron(
    run: tyro.conf.Positional[Path],
    layer: str | None = None,
    place: tuple[int, ...] = (),
    image: int = 0,
    split: Split = "test",
    device: str = "cpu",
    json: bool = False,
    csv: bool = False,
) -> None:
    """Show the membrane and the spikes of one neuron while it sees an image, beside the surrogate gradient.

    Writes neuron.json and neuron.png into the run directory.

    Example: bntt neuron runs/fashion-mnist --layer conv2 --place 5 7 7

    Args:
        run: the run directory.
        layer: the first that spikes by default.
        place: channel, row and column, from 0; in a fully connected layer the channel alone. By default the first
            neuron that fires in about half of the steps.
        image: its number in the split, from 0.
        split: which images.
        device: cpu, or cuda.
        json: print the numbers as JSON instead of a table.
        csv: print a line for each step as CSV instead.
    """
    from bntt.cli import console, opening
    from bntt.runs.directory import RunDirectory, stem_of
    from bntt.runs.figures.neuron_figure import save_neuron
    from bntt.runs.measures.neuron import neuron_json, neuron_rows, neuron_run

    loaded = opening.opened(run, device, as_json=json, as_csv=csv)
    result = neuron_run(loaded, layer=layer, place=place, image=image, split=split)
    rows, trace = neuron_rows(result), result.trace
    what = f"{result.split} image {result.image} ({result.label}) of {result.dataset}"
    if shown := opening.told(neuron_json(result), rows, as_json=json, as_csv=csv):
        where = ", ".join(map(str, trace.place))
        numbers = {"potential": trace.potential, "membrane": trace.membrane, "do/du": trace.gradient}
        table = {name: [console.number(value, ".2f") for value in row.tolist()] for name, row in numbers.items()}
        table["spike"] = ["|" if fired else "" for fired in trace.spikes.tolist()]
        console.table(f"neuron {where} of {trace.layer}, {what}, at step", len(rows), table)
    stem = stem_of("neuron", split)
    RunDirectory(run).keep(stem, neuron_json(result))
    save_neuron(trace, run / f"{stem}.png", what)
    if shown:
        console.line(f"written: {run / stem}.json and .png")
