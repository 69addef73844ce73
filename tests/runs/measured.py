"""A run that was trained for the measuring verbs, once for each module of tests."""

import shutil

from tests.runs.tiny import parts, recipe, trained


def small_run(folder, **tables):
    """A small run on bundled images, two epochs: enough for γ to have moved."""
    of = recipe(train={"epochs": 2, "lr": 0.3}, **tables)
    return trained(of, parts(of), folder)[0]


def copy_of(run, folder):
    """A run directory that a test may spoil."""
    copy = folder / "copy"
    shutil.copytree(run.path, copy)
    return copy
