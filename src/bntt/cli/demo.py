"""``bntt demo``: the first minute."""

from __future__ import annotations

from pathlib import Path


def demo(root: Path = Path("runs")) -> None:
    """Train a small BNTT network on the real images inside the package, in about a minute, and show what it learned.

    Example: bntt demo

    Args:
        root: where run directories are made.
    """
    from bntt.cli.train import run_recipe
    from bntt.runs.directory import new_run_directory
    from bntt.runs.recipe.file import load_recipe

    run_recipe(load_recipe("demo"), lambda: new_run_directory("demo", root))
