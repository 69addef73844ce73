"""Measuring a network: read-only, frozen results.

Names are imported on first use, from the files that ``__init__.pyi`` names, so that a measurement's declaration is read
without waiting for torch.
"""

import ast
from importlib import import_module
from pathlib import Path
from typing import Any

from bntt.renamed import old_names

_IMPORTS = ast.parse(Path(__file__).with_suffix(".pyi").read_text(encoding="utf-8")).body
_HOME_OF = {part.name: one.module for one in _IMPORTS if isinstance(one, ast.ImportFrom) for part in one.names}
_old = old_names(
    "bntt.analysis",
    {
        "Differences": "bntt.analysis.FoldedNetwork",
        "Surprises": "bntt.analysis.UnvaryingInput",
        "likeness": "bntt.analysis.step_changes",
        "stretches": "bntt.analysis.threshold_ranges",
    },
)

__all__ = [*_HOME_OF]


def __getattr__(name: str) -> Any:
    if name in _HOME_OF:
        return getattr(import_module(_HOME_OF[name]), name)
    return _old(name, 4)


def __dir__() -> list[str]:
    return sorted(__all__)
