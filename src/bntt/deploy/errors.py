"""Errors of deployment; they say which part, and what to do."""

from __future__ import annotations

from typing import Any


class DeployError(ValueError):
    """A network that a target cannot represent, or a description that is not a valid network."""


class BundleError(RuntimeError):
    """A bundle that cannot be read: missing, damaged, or of another format."""


def require(fits: Any, why: str) -> None:
    """Raise a DeployError unless it fits."""
    if not fits:
        raise DeployError(why)
