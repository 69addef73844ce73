"""A trained run for verbs that measure one."""

import pytest

from tests.runs.measured import copy_of, small_run


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    return small_run(tmp_path_factory.mktemp("runs"))


@pytest.fixture
def run(trained, tmp_path):
    """A copy, which a test may spoil."""
    return copy_of(trained, tmp_path)
