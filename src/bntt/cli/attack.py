"""``bntt attack``: how much is still right when images are changed on purpose, and whether that number is worth any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

import tyro

from bntt.cli.opening import Split

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
    or where a search without gradients does better. Writes attack.json and attack.png into the run directory
    (attack-validation.* for the other split); every batch is kept below attack/ as soon as it is done, and the same
    command goes on where it stopped.

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
    from bntt.cli import console, opening
    from bntt.runs.directory import RunDirectory, stem_of
    from bntt.runs.figures.attack_figure import save_attack
    from bntt.runs.measures.attack import attack_cells, enough_draws, victims
    from bntt.runs.measures.attack_plan import Plan, parse_eps
    from bntt.runs.measures.attack_rows import attack_json, attack_rows, check_valid

    opening.check_form(as_json=json, as_csv=csv)
    bounds, names = tuple(dict.fromkeys(parse_eps(one) for one in eps)), tuple(dict.fromkeys(attack))
    size = None if step_size is None else parse_eps(step_size, "--step-size")
    plan = Plan(bounds, names, steps, size, restarts, eot, queries, images, draws, split)
    loaded = opening.opened(run, device, spiking=False)
    of = victims(loaded, plan, None if from_run is None else opening.opened(from_run, device, spiking=False))
    with console.progress("attacking (passes of an image)", of.total) as advance:
        sweep = enough_draws(of, progress=advance)
        rows = attack_rows(of, list(attack_cells(of, progress=advance)))
    values = attack_json(of, rows, sweep)
    if shown := opening.told(values, rows, as_json=json, as_csv=csv):
        _show(values)
    stem = stem_of("attack", split)
    RunDirectory(run).keep(stem, values)
    save_attack(values, run / f"{stem}.png")
    if shown:
        console.line(f"written: {run / stem}.json and .png")
    check_valid(rows)


def _show(values: Mapping[str, Any]) -> None:
    from bntt.cli import console

    several = len(values["models"]) > 1
    heads = ("attack", "right", "95%", "sd", "gradients 0", "signs alike", "s", "")
    for model in values["models"]:
        rows = [row for row in values["rows"] if row["model"] == model["name"]]
        console.line(
            f"{model['name']}: {rows[-1]['clean_accuracy']:.1%} of the clean images right ({values['chosen']})"
        )
        for eps in dict.fromkeys(row["eps_255"] for row in rows):
            some = [row for row in rows if row["eps_255"] == eps]
            of = f", {some[0]['chosen']}" if some[0]["images"] != rows[-1]["images"] else ""
            console.columns(f"eps = {eps:.3g}/255{of}", heads, [_cells(row, several=several) for row in some])
    if values["enough_draws"]:
        names = ("gradient", "draws behind it", "signs alike in another of so many")
        console.columns("how many draws are enough", names, [_alike(row) for row in values["enough_draws"]])
    console.line(f"every accuracy is {values['note']}")


def _cells(row: Mapping[str, Any], *, several: bool) -> Sequence[str]:
    by = f", made on {row['crafted_on']}" if several and row["crafted_on"] != "any" else ""
    words = [row["attack"], row["estimator"].replace("_", " ")]
    low, high = row["low_95"], row["high_95"]
    return (
        " ".join(word for word in words if word not in ("", "any", "exact")) + by,
        f"{row['accuracy']:.1%}",
        f"{100 * low:.0f}-{100 * high:.0f}",
        "-" if (spread := row["sd_over_draws"]) is None else f"{100 * spread:.1f}",
        _share(row["zero_gradient_share"]),
        _share(row["sign_agreement"]),
        f"{row['seconds']:.0f}",
        "INVALID" if row["invalid"] else "",
    )


def _alike(row: Mapping[str, Any]) -> Sequence[str]:
    name = f"{row['model']}, {row['estimator'].replace('_', ' ')}"
    return name, str(row["draws"]), _share(row["sign_agreement"]) or "-"


def _share(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"
