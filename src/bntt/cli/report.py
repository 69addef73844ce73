"""``bntt report``, ``log``, ``list`` and ``show``: what was made, what there is, and what would run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import tyro

from bntt.cli.train import Overrides


def report(
    paths: tyro.conf.Positional[tuple[Path, ...]] = (),
    out: Annotated[Path | None, tyro.conf.arg(help_behavior_hint="")] = None,
) -> None:
    """Write one HTML page about runs and studies, from their results only; it needs no network and no other file.

    For one run: its training and all its measurements. For one study: its table with the paper's values, its figures,
    verdicts and runs. For several, or a folder of several: first an index and a table that compares them. No path:
    everything in the folders runs and studies. Missing results are marked as gaps.

    Example: bntt report runs/fashion-mnist

    Args:
        paths: run directories, study directories, or folders of them.
        out: the file to write; by default report.html, inside the path if there is one, else in the current folder.
    """
    from bntt.charts.section import plural
    from bntt.cli import console
    from bntt.runs.directory import check_folders
    from bntt.runs.recipe.file import RecipeError
    from bntt.studies.report import find_subjects, save_page, subjects_of

    out = out or (paths[0] if len(paths) == 1 else Path()) / "report.html"
    if out.is_dir():
        raise RecipeError(f"--out {out} is a directory: name the file to write, such as {out / 'report.html'}")
    if out.is_file() and out.suffix not in (".html", ".htm"):
        raise RecipeError(
            f"--out {out} is a file and no page: the report would replace it; name a page, such as a.html"
        )
    check_folders(out.parent)
    folders = find_subjects(paths)
    subjects = subjects_of(folders)
    save_page(subjects, out)
    gaps = sum(len(subject.gaps) + sum(len(one.gaps) for one in subject.sections) for subject in subjects)
    if gaps:
        console.line(f"{plural(gaps, 'gap')}: each is marked on the page where it belongs")
    console.line(f"runs and studies: {len(subjects)}, {out.stat().st_size / 1024:,.0f} KiB")
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


def list_names(
    what: tyro.conf.Positional[
        Literal["recipes", "studies", "models", "pretrained", "datasets", "norms", "neurons", "encoders", "backends"]
    ],
) -> None:
    """List the names of recipes, studies, models, trained networks, datasets, norms, neurons, encoders or backends.

    For trained networks, also print test accuracy (95 % interval), steps, spikes and energy per image, and file size.

    Example: bntt list recipes

    Args:
        what: which names.
    """
    from bntt.cli import console

    if what == "backends":
        from bntt.engine.kernels import backends
        from bntt.nn.fuse import fused_norms, fused_parts

        for backend in backends():
            console.line(f"{backend.name:10} {'' if backend.available else 'not available: '}{backend.detail}")
        parts = fused_norms() | fused_parts()
        for part, where in parts.items():
            console.line(f"  {part:{max(map(len, parts))}} {where}")
        return
    if what in ("recipes", "studies"):  # without torch, whose import takes seconds
        from bntt.io.files import names_in, read_named

        folder = "runs/recipes" if what == "recipes" else "studies/studies"
        for name in names_in(folder):
            console.line(f"{name:22} {read_named(name, folder, what, 0).get('title', '')}".rstrip())
        return
    from bntt.data.catalog import ways_to_get
    from bntt.data.samples import DATASETS
    from bntt.models import MODELS, PRETRAINED
    from bntt.nn import ENCODERS, NEURONS, NORMS

    if what == "pretrained":
        rows = [PRETRAINED_HEADS, *map(pretrained_row, PRETRAINED)]
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        for row in rows:
            console.line("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        console.line("`bntt train NAME` trains a network again, from the recipe of the same name")
        return
    if what == "datasets":
        for name, dataset in sorted(DATASETS.items()):
            console.line(f"{name}: {dataset}; licence: {dataset.licence}")
            console.line(f"    {next(iter(ways_to_get(name)), 'built in')}")
        return
    names = {"models": [*MODELS], "norms": [*NORMS], "neurons": [*NEURONS], "encoders": [*ENCODERS]}
    for name in names[what]:
        console.line(name)


PRETRAINED_HEADS = ("name", "data", "test accuracy (95 %)", "T", "spikes", "energy", "size", "network")


def pretrained_row(name: str) -> tuple[str, ...]:
    """Format the facts about a trained network, in the columns of ``PRETRAINED_HEADS``."""
    from bntt.models import PRETRAINED, pretrained_facts

    facts = pretrained_facts(name)
    low, high = facts.test["accuracy_wilson_95"]
    return (
        name,
        facts.dataset,
        f"{facts.test['accuracy']:.1%} ({low:.1%} to {high:.1%})",
        str(facts.network["num_steps"]),
        f"{facts.test['spikes_per_image']:,.0f}",
        f"{facts.energy_uj:.2f} µJ",
        f"{facts.stored['bytes'] / 1e6:.2f} MB",
        PRETRAINED[name],
    )


def show(
    recipe: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="RECIPE")] = "",
    key: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="KEY")] = "",
    overrides: Overrides = (),
    keys: bool = False,
) -> None:
    """Check a recipe and print it as TOML, with every default and the meaning of each key; or one key or table.

    Example: bntt show cifar10 -s network.num_steps=10

    Args:
        recipe: a name from `bntt list recipes`, or a TOML file.
        key: one key, such as train.lr_drops, or a table, such as train: value, range and meaning.
        overrides: a value to change, repeatable.
        keys: list every key that a recipe may have, with default, range and meaning.
    """
    from bntt.cli import console
    from bntt.runs.recipe.file import RecipeError, explained_key, explained_recipe, load_recipe

    if keys == bool(recipe):
        raise RecipeError("bntt show takes a recipe, or --keys without one")
    if keys:
        console.line(explained_key())
    else:
        found = load_recipe(recipe, overrides)
        console.line(explained_key(key, found) if key else explained_recipe(found))
