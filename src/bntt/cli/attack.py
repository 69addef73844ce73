"""``bntt attack``: how much is still right when images are changed on purpose, and whether that number is worth any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bntt.cli.report import Split

Attack = Literal["fgsm", "pgd", "square"]


def attack(
    run: tyro.conf.Positional[Path],
    eps: tuple[str, ...] = ("2/255", "4/255", "8/255"),
    attack: tuple[Attack, ...] = ("fgsm", "pgd", "square"),
    steps: int = 10,
    step_size: str | None = None,
    restarts: int = 1,
    eot: int | None = None,
    queries: int = 500,
    images: int | None = None,
    draws: int | None = None,
    from_run: Annotated[Path | None, tyro.conf.arg(name="from")] = None,
    split: Split = "test",
    device: str = "cpu",
    json: bool = False,
    csv: bool = False,
) -> None:
    """Attack a run with every way to stand in for a spike's derivative, and measure it with noise of its own.

    Accuracies are upper bounds of the robust one. A row is INVALID, and the exit code 7, where gradients are zero for
    more than 1% of the images, where PGD without a bound stays above chance, where several steps are weaker than one,
    or where a search without gradients does better. Writes attack.json and attack.png into the run directory; every
    batch is kept below attack/ as soon as it is done, and the same command goes on where it stopped.

    Example: bntt attack runs/fashion-mnist --eps 2/255 8/255 --images 200 --eot 8

    Args:
        run: the run directory.
        eps: how far a pixel may move, of its whole range: 8/255, or 0.03.
        attack: fgsm, pgd, square (a search without gradients).
        steps: of pgd.
        step_size: of pgd, as eps; 2.5 eps / steps by default.
        restarts: random starts of pgd.
        eot: draws of noise behind a gradient; 16 by default, 1 where nothing is drawn.
        queries: of the search for an image, at most.
        images: how many, as many of each class as the split's shares allow; 500 by default, or all if there are fewer.
        draws: repetitions with fresh noise to measure with; as many as the recipe says by default.
        from_run: another run on the same data: images made on it are measured on this one, and the other way round.
        split: which images.
        device: cpu, or cuda.
        json: print the numbers as JSON instead of tables.
        csv: print a line for each row as CSV instead.
    """
    from bntt.cli import console, report
    from bntt.experiments.attack import attack_cells, enough_draws, victims
    from bntt.experiments.attack_figure import save_attack
    from bntt.experiments.attack_plan import Plan, parse_eps
    from bntt.experiments.attack_rows import attack_json, attack_rows, check_valid
    from bntt.experiments.directory import RunDirectory

    bounds, size = tuple(parse_eps(one) for one in eps), None if step_size is None else parse_eps(step_size)
    plan = Plan(bounds, attack, steps, size, restarts, eot, queries, images, draws, split)
    loaded = report.opened(run, device)
    of = victims(loaded, plan, None if from_run is None else report.opened(from_run, device))
    with console.progress("attacking (passes of an image)", of.total) as advance:
        sweep = enough_draws(of, progress=advance)
        rows = attack_rows(of, list(attack_cells(of, progress=advance)))
    values = attack_json(of, rows, sweep)
    if shown := report.told(values, rows, as_json=json, as_csv=csv):
        _show(values)
    RunDirectory(run).keep("attack", values)
    save_attack(values, run / "attack.png")
    if shown:
        console.line(f"written: {run / 'attack'}.json and .png")
    check_valid(rows)


def _show(values: Mapping[str, Any]) -> None:
    from bntt.cli import console

    for model in values["models"]:
        rows = [row for row in values["rows"] if row["model"] == model["name"]]
        clean = rows[-1]["clean_accuracy"]
        heads = ("attack", "eps", "accuracy", "95% interval", "sd", "zero gradients", "signs alike", "seconds", "")
        title = f"{model['name']}: {clean:.1%} of the clean images right ({values['chosen']})"
        console.columns(title, heads, [_cells(row, values) for row in rows])
    if values["enough_draws"]:
        names = ("gradient", "draws behind it", "signs alike in another of so many")
        console.columns("how many draws are enough", names, [_alike(row) for row in values["enough_draws"]])
    console.line(f"every accuracy is {values['note']}")


def _cells(row: Mapping[str, Any], values: Mapping[str, Any]) -> Sequence[str]:
    by = f" made on {row['crafted_on']}" if len(values["models"]) > 1 and row["crafted_on"] != "any" else ""
    name = " ".join(word for word in (row["attack"], row["estimator"]) if word not in ("", "any", "exact")) + by
    low, high = row["wilson_95"]
    return (
        name,
        f"{row['eps_255']:.3g}/255",
        f"{row['accuracy']:.1%}",
        f"{low:.1%} to {high:.1%}",
        f"{row['sd_over_draws']:.1%}",
        "" if row["zero_gradient_share"] is None else f"{row['zero_gradient_share']:.1%}",
        "" if row["sign_agreement"] is None else f"{row['sign_agreement']:.1%}",
        f"{row['seconds']:.1f}",
        "INVALID" if row["invalid"] else "",
    )


def _alike(row: Mapping[str, Any]) -> Sequence[str]:
    alike = "-" if row["sign_agreement"] is None else f"{row['sign_agreement']:.1%}"
    return f"{row['model']}, {row['estimator']}", str(row["draws"]), alike
