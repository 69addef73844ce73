"""Peers of the versions that tests are written for; without them their tests skip, and ``make test-peers`` has them."""

import importlib
import warnings
from importlib.metadata import PackageNotFoundError, version

import pytest


def need(package: str, pinned: str) -> None:
    """Skip this file where a peer is not of its version, else import it: what it warns of then is its own."""
    try:
        found = version(package)
    except PackageNotFoundError:
        found = "none"
    if found != pinned:
        pytest.skip(f"{package} {pinned} is not here ({found}): make test-peers", allow_module_level=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        importlib.import_module(package)
