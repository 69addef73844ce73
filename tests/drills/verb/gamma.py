"""``bntt gamma``: the mean |γ| of every layer of a run. A verb is a function whose docstring and flags are its help."""

from pathlib import Path

import tyro

from bntt.cli import main


def gamma(run: tyro.conf.Positional[Path], digits: int = 2) -> None:
    """Print the mean |γ| of every layer.

    Example: bntt gamma runs/demo

    Args:
        run: the run directory.
        digits: how many are printed.
    """
    from bntt import analysis, load_run
    from bntt.cli import console

    for name, row in analysis.gamma_profile(load_run(run).model.network).magnitude.items():
        console.line(f"{name} {float(row.mean()):.{digits}f}")


main.GROUPS["report"]["gamma"] = gamma
