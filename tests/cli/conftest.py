"""A trained run for verbs that measure one."""

import pytest

from tests import trained


@pytest.fixture
def run(tmp_path):
    """A copy, which a test may spoil."""
    return trained.copied_run(tmp_path).path
