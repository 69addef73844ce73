"""Figures of studies: images in which nothing runs, of the study's own directory."""

import base64

import pytest

from bntt.charts.files import save_figure
from bntt.charts.records import Figure
from bntt.studies.report import picture
from bntt.studies.report.picture import address_of
from bntt.studies.report.reading import GapError
from tests.charts.every_kind import layers
from tests.studies.report.results import FIGURE


def test_a_figure_is_an_address_of_its_bytes(tmp_path):
    (tmp_path / "a.svg").write_text(FIGURE)
    kind, _, held = address_of(tmp_path, "a.svg").partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(held).decode() == FIGURE


def test_saved_figures_are_taken(tmp_path):
    save_figure(Figure("a study", [layers("conv1")]), tmp_path / "a.svg")
    assert address_of(tmp_path, "a.svg")


@pytest.mark.parametrize("name", ["../a.svg", "/etc/passwd", "a.png", "sub/a.svg", "", "..", "a.svg/"])
def test_names_that_lead_elsewhere_are_refused(name, tmp_path):
    with pytest.raises(GapError, match=r"beside result\.json"):
        address_of(tmp_path, name)


def test_links_and_other_content_are_refused(tmp_path, monkeypatch):
    (tmp_path / "real.svg").write_text(FIGURE)
    (tmp_path / "link.svg").symlink_to(tmp_path / "real.svg")
    (tmp_path / "page.svg").write_text("<html><svg></svg></html>")
    (tmp_path / "grows.svg").write_text(f'<!DOCTYPE svg [<!ENTITY a "aaaa">]>{FIGURE}')
    for name, said in (("link", "a link"), ("page", "no SVG"), ("grows", "no SVG"), ("none", "not there")):
        with pytest.raises(GapError, match=said):
            address_of(tmp_path, f"{name}.svg")
    monkeypatch.setattr(picture, "LARGEST", 10)
    with pytest.raises(GapError, match="more than"):
        address_of(tmp_path, "real.svg")


def test_a_long_prologue_is_read_in_no_time(tmp_path):
    (tmp_path / "a.svg").write_text("<!-- -->" * 20_000 + " " * 20_000 + "<no>")
    with pytest.raises(GapError, match="no SVG"):
        address_of(tmp_path, "a.svg")
