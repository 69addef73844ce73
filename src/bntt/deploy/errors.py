"""Errors of deployment; they say which part, and what to do."""

from __future__ import annotations


class DeployError(ValueError):
    """A network that a target cannot represent, or a description that is not a valid network."""


class BundleError(RuntimeError):
    """A bundle that cannot be read: missing, damaged, or of another format."""
