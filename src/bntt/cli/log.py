"""``bntt log``: the records of a run's epochs."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def log(run: Annotated[tyro.conf.Positional[Path], tyro.conf.arg(metavar="RUN")], csv: bool = False) -> None:
    """Print one line per epoch of a run: losses, accuracies, learning rate; also works while it trains.

    Example: bntt log runs/demo --csv

    Args:
        run: the run directory.
        csv: print every number as comma-separated values; each number of a layer has its own column.
    """
    from bntt.cli import console
    from bntt.io.checkpoint import CheckpointError
    from bntt.io.files import flatten
    from bntt.runs.directory import find_run

    found = find_run(run)
    if not (kept := found.kept_rows()):
        raise CheckpointError(f"{found.metrics} is missing, damaged or empty: no epoch is done yet")
    rows = [{**row, "epoch": row["epoch"] + 1} for row in kept]
    if csv:
        flat = [flatten(row, "/") for row in rows]
        heads = dict.fromkeys(name for row in flat for name in row)
        console.as_csv([{name: row.get(name) for name in heads} for row in flat])
        return
    shown = {"train_loss": ".4f", "validation_loss": ".4f", "train_accuracy": ".1%", "validation_accuracy": ".1%"}
    shown |= {"lr": ".3g", "seconds": ",.0f"}
    cells = [
        [
            f"{row['epoch']}{' best' if row.get('best') else ''}",
            *(_cell(row.get(key), how) for key, how in shown.items()),
        ]
        for row in rows
    ]
    console.columns(str(run), ["epoch", *(key.replace("_", " ") for key in shown)], cells)


def _cell(value: float | None, how: str) -> str:
    return "-" if value is None else format(value, how)
