"""A trained run for the measuring verbs: one that tests share, in a folder of its own."""

import shutil

from bntt.runs.directory import new_run_directory
from tests.trained import trained_run


def small_run(folder, **tables):
    """A copy of the tiny run with these values, named tiny, tiny-2 and so on."""
    place = new_run_directory("tiny", folder)
    shutil.copytree(trained_run(**tables).path, place.path, dirs_exist_ok=True)
    return place


def copy_of(run, folder):
    """A run directory that a test may spoil."""
    copy = folder / "copy"
    shutil.copytree(run.path, copy)
    return copy
