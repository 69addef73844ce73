"""The overview picture is written, with and without γ."""

import dataclasses

import pytest
from matplotlib.figure import Figure

from bntt.analysis import GammaProfile
from bntt.experiments.figures import save_overview
from tests.cli.test_console import outcome


@pytest.mark.parametrize("with_gamma", [True, False])
def test_a_picture_is_written(with_gamma, tmp_path, monkeypatch):
    drawn, save = [], Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *args, **options: drawn.append(self) or save(self, *args, **options)
    )
    result = outcome(6)
    if not with_gamma:
        result = dataclasses.replace(result, gamma=GammaProfile({}, {}))
    save_overview(result, tmp_path / "x.png")
    assert (tmp_path / "x.png").read_bytes().startswith(b"\x89PNG")
    labels = ["accuracy when stopped after this step (%)", "mean |γ| over channels", "firing rate (%)"]
    axes = drawn[0].axes
    assert [part.get_ylabel() for part in axes] == [labels[0], *labels[1:2] * with_gamma, labels[2]]
    assert axes[0].lines[-1].get_ydata().tolist() == pytest.approx([51.0] * 5 + [86.5])
    assert axes[-1].lines[0].get_ydata().tolist() == pytest.approx([0, 20, 40, 60, 80, 100])
