"""Every format, by name."""

from __future__ import annotations

import importlib.util

from tests.hostile import graphs, pictures, recordings, runs

FORMATS = {**runs.FORMATS, **pictures.FORMATS, **recordings.FORMATS, **graphs.FORMATS}


def here() -> list[str]:
    """Those whose package is installed."""
    return [name for name, kind in FORMATS.items() if not kind.needs or importlib.util.find_spec(kind.needs)]
