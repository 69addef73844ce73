"""One tiny run that tests train no more, and copy before they spoil it."""

import pytest

from tests.runs import tiny


@pytest.fixture(scope="session")
def run(tmp_path_factory):
    """The recipe, its data, the directory and the epochs."""
    recipe = tiny.recipe()
    data = tiny.parts(recipe)
    return recipe, data, *tiny.trained(recipe, data, tmp_path_factory.mktemp("runs"))
