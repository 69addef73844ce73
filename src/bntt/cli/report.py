"""``bntt report`` and ``bntt log``: runs and studies as one page, and the epochs of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import tyro


def report(paths: tyro.conf.Positional[tuple[Path, ...]] = (), out: Path = Path("report.html")) -> None:
    """Write one HTML page about runs and studies, from their results only; it needs no network and no other file.

    For one run: its training and all its measurements. For one study: its table with the paper's values, its figures,
    verdicts and runs. For several, or a folder of several: first an index and a table that compares them. No path:
    everything in the folders runs and studies. Missing results are marked as gaps.

    Example: bntt report runs/fashion-mnist --out fashion-mnist.html

    Args:
        paths: run directories, study directories, or folders of them.
        out: the file to write.
    """
    from bntt.charts.section import plural
    from bntt.cli import console
    from bntt.runs.directory import check_folders
    from bntt.runs.recipe.file import RecipeError
    from bntt.studies.report.page import describe_counts, find_subjects, page_of, save_page

    if out.is_dir():
        raise RecipeError(f"--out {out} is a directory: name the file to write, such as {out / 'report.html'}")
    if out.is_file() and out.suffix not in (".html", ".htm"):
        raise RecipeError(
            f"--out {out} is a file and no page: the report would replace it; name a page, such as a.html"
        )
    check_folders(out.parent)
    folders = find_subjects(paths)
    page = page_of(folders)
    save_page(page, out)
    gaps = sum(len(subject.gaps) + sum(len(one.gaps) for one in subject.sections) for subject in page.subjects)
    if gaps:
        console.line(f"{plural(gaps, 'gap')}: each is marked on the page where it belongs")
    console.line(f"{describe_counts(page)}, {out.stat().st_size / 1024:,.0f} KiB")
    console.line(f"written: {out}")


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
    cells = []
    for row in rows:
        numbers = ["-" if row.get(key) is None else format(row[key], how) for key, how in shown.items()]
        cells.append([f"{row['epoch']}{' best' if row.get('best') else ''}", *numbers])
    console.columns(str(run), ["epoch", *(key.replace("_", " ") for key in shown)], cells)
