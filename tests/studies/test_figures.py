"""Every picture of every study is drawn from what verbs write, and left out where there is nothing."""

import pytest

from bntt.studies.figures import save_figures
from bntt.studies.study_file import load_study, study_names
from tests.studies.found import empty_result, full_result, small_result


@pytest.mark.parametrize("name", study_names())
def test_every_picture_is_drawn(name, tmp_path):
    saved = save_figures(full_result(name), tmp_path)
    assert len(saved) == len(load_study(name).figures)
    for one in saved:
        text = (tmp_path / one["file"]).read_text(encoding="utf-8")
        assert text.startswith("<?xml")
        assert "</svg>" in text
        assert one["alt"].endswith("(at the small setting)")


def test_nothing_is_drawn_of_nothing(tmp_path):
    for name in ("table-1", "figure-8", "stability"):
        assert save_figures(empty_result(name), tmp_path) == []
    assert list(tmp_path.iterdir()) == []


def test_a_picture_is_the_same_twice(tmp_path):
    def drawn():
        save_figures(small_result(), tmp_path)
        return (tmp_path / "figure-1-bars.svg").read_bytes()

    first = drawn()
    assert b"dc:date" not in first
    assert drawn() == first
