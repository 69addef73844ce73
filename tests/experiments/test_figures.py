"""The overview picture is written, with and without γ."""

import dataclasses

import pytest

from bntt.analysis import GammaProfile
from bntt.experiments.figures import save_overview
from tests.cli.test_console import outcome


@pytest.mark.parametrize("with_gamma", [True, False])
def test_a_picture_is_written(with_gamma, tmp_path):
    result = outcome(6)
    if not with_gamma:
        result = dataclasses.replace(result, gamma=GammaProfile({}, {}))
    save_overview(result, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    assert (tmp_path / "x.png").stat().st_size > 10_000
