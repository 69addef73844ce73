"""``bntt list``: what there is by name."""

from __future__ import annotations

from typing import Literal

import tyro


def list_names(what: tyro.conf.Positional[Literal["recipes", "models", "datasets", "norms"]]) -> None:
    """Name the recipes, models, datasets or norms that there are, one a line.

    Example: bntt list recipes

    Args:
        what: which names.
    """
    from bntt.cli import console
    from bntt.data.catalog import BUILT_IN, DATASETS
    from bntt.experiments.recipe import recipe_names
    from bntt.models import MODELS
    from bntt.nn import NORMS

    names = {"recipes": recipe_names(), "models": MODELS, "datasets": [*BUILT_IN, *DATASETS], "norms": NORMS}
    for name in names[what]:
        console.line(name)
