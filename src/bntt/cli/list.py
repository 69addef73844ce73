"""``bntt list``: what there is by name."""

from __future__ import annotations

from typing import Literal

import tyro


def list_names(
    what: tyro.conf.Positional[
        Literal["recipes", "studies", "models", "pretrained", "datasets", "norms", "neurons", "encoders", "backends"]
    ],
) -> None:
    """Name the recipes, studies, models, trained networks, datasets, norms, neurons, encoders or backends, one a line.

    Example: bntt list recipes

    Args:
        what: which names.
    """
    from bntt.cli import console

    if what == "backends":
        from bntt.engine.kernels import backends
        from bntt.nn.fusion.coverage import fused_norms, fused_parts

        for backend in backends():
            console.line(f"{backend.name:10} {'' if backend.available else 'not available: '}{backend.detail}")
        for part, where in (fused_norms() | fused_parts()).items():
            console.line(f"  {part:17} {where}")
        return
    from bntt.data.catalog import ways_to_get
    from bntt.data.registry import DATASETS
    from bntt.models import MODELS, PRETRAINED
    from bntt.nn import ENCODERS, NEURONS, NORMS
    from bntt.runs.recipe import recipe_names
    from bntt.studies.study_file import load_study, study_names

    if what == "studies":
        for name in study_names():
            console.line(f"{name:22} {load_study(name).title}")
        return
    if what == "datasets":
        for name, dataset in sorted(DATASETS.items()):
            console.line(f"{name:24} {dataset}; {next(iter(ways_to_get(name)), 'built in')}")
        return
    names = {
        "recipes": recipe_names(),
        "models": MODELS,
        "pretrained": PRETRAINED,
        "norms": NORMS,
        "neurons": NEURONS,
        "encoders": ENCODERS,
    }
    for name in names[what]:
        console.line(name)
