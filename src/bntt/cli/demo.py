"""``bntt demo``: the first minute."""

from __future__ import annotations

from pathlib import Path


def demo(root: Path = Path("runs")) -> None:
    """Train a small BNTT network on the real images inside the package, in about a minute, and show what it learned.

    Example: bntt demo

    Args:
        root: where run directories are made.
    """
    from bntt.cli import show
    from bntt.experiments.build import build_data
    from bntt.experiments.recipe import load_recipe
    from bntt.experiments.run import evaluate_run, new_run_directory, train_run

    recipe = load_recipe("demo")
    data = build_data(recipe)
    folder = new_run_directory("demo", root)
    network, train = recipe.network, recipe.train
    show.line(
        f"Fashion-MNIST, {len(data.train)} training, {len(data.validation)} validation and {len(data.test)} test "
        f"images; {network.name} x{network.width:g} with {network.norm.upper()}, T={network.num_steps}, "
        f"{train.epochs} epochs"
    )
    show.training(train_run(recipe, data, folder), train.epochs, len(data.train))
    with show.progress("testing", len(data.test) * recipe.evaluate.draws) as advance:
        result = evaluate_run(recipe, data, folder, advance)
    show.result(result)
    show.line(f"run directory: {folder}")
