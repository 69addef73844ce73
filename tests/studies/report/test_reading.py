"""Files of anybody's: what is missing, of another kind or too much is one line that names the place."""

import base64
import json

import pytest

from bntt.charts.files import save_figure
from bntt.charts.records import Figure
from bntt.studies.report import reading
from bntt.studies.report import reading as picture
from bntt.studies.report.reading import GapError, Values, address_of, clean, finite, read_json, read_lines, read_toml
from tests.charts.every_kind import layers
from tests.rows import each_row
from tests.studies.report.results import FIGURE


def held(tmp_path, content):
    path = tmp_path / "a.json"
    path.write_bytes(content if isinstance(content, bytes) else json.dumps(content).encode())
    return path


@each_row(
    ("content", "said"),
    [
        (b"{", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[1]", "an object was expected"),
        (b"[" * 100_000, "not JSON"),
        (b'{"n": ' + b"9" * 5000 + b"}", "not JSON"),
    ],
)
def test_what_is_no_object_is_a_gap(content, said, tmp_path):
    with pytest.raises(GapError, match=rf"^a\.json: {said}"):
        read_json(held(tmp_path, content))


def test_missing_large_and_odd_files(tmp_path, monkeypatch):
    with pytest.raises(GapError, match="missing"):
        read_json(tmp_path / "none.json")
    with pytest.raises(GapError, match="missing"):
        read_json(tmp_path)
    monkeypatch.setattr(reading, "LARGEST", 8)
    with pytest.raises(GapError, match="more than"):
        read_json(held(tmp_path, {"long": 12345}))


def test_numbers_that_are_none():
    assert [finite(v) for v in (1, 0.5, float("nan"), float("inf"), 10**400, 1e200, True, "1", None)] == [
        1.0, 0.5, None, None, None, None, None, None, None
    ]  # fmt: skip


def test_lookups_name_what_is_wrong(monkeypatch):
    values = Values({"a": "x", "n": None, "l": [1, float("nan")], "t": [1, "x"], "d": {"k": [1.0]}, "r": [{}, 3]}, "f")
    assert values.numbers("l") == (1.0, None)
    assert ("a" in values, "n" in values, "z" in values) == (True, False, False)
    assert values.shown("z", "none") == "none"
    for ask, said in (
        (lambda: values.number("a"), "f: 'a' is no number"),
        (lambda: values.number("z"), "f: 'z' is missing"),
        (lambda: values.text("l"), "f: 'l' is no text"),
        (lambda: values.numbers("t"), "f: 't' is no list of numbers"),
        (lambda: values.inside("l"), "f: 'l' is no object"),
        (lambda: values.rows("r"), "f: 'r' is no list of objects"),
        (lambda: values.texts("a"), "f: 'a' is no list"),
    ):
        with pytest.raises(GapError) as caught:
            ask()
        assert str(caught.value) == said
    monkeypatch.setattr(reading, "MOST_ROWS", 1)
    assert list(values) == ["a", "n", "l", "t", "d", "r"]
    for ask, key in ((values.rows, "r"), (values.texts, "t")):
        with pytest.raises(GapError, match=f"^f: '{key}' has 2 rows, more than the 1 read$"):
            ask(key)


def test_only_a_last_line_may_be_torn(tmp_path):
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"epoch": 0}\n{"epoch": 1}\n{"epo')
    assert [row.whole("epoch") for row in read_lines(path)] == [0, 1]
    path.write_text('{"epoch": 0}\n{"epo\n{"epoch": 1}')
    with pytest.raises(GapError, match="line 2"):
        read_lines(path)


def test_toml(tmp_path):
    path = tmp_path / "recipe.toml"
    path.write_text("seed = 3\n")
    assert read_toml(path).whole("seed") == 3
    for content in (b"seed = ", b"\xff"):
        path.write_bytes(content)
        with pytest.raises(GapError, match="not TOML"):
            read_toml(path)


def test_text_is_cleaned():
    assert clean("a\u202eb\u2066c\x1b[0m\tx\r\n") == "a�b�c�[0m x\n"
    assert len(clean("x" * 10_000)) == 2_000
    clean("\udcff").encode()


def test_a_figure_is_an_address_of_its_bytes(tmp_path):
    (tmp_path / "a.svg").write_text(FIGURE)
    kind, _, held = address_of(tmp_path, "a.svg").partition(",")
    assert kind == "data:image/svg+xml;base64"
    assert base64.b64decode(held).decode() == FIGURE


def test_saved_figures_are_taken(tmp_path):
    save_figure(Figure("a study", [layers("conv1")]), tmp_path / "a.svg")
    assert address_of(tmp_path, "a.svg")


@each_row("name", ["../a.svg", "/etc/passwd", "a.png", "sub/a.svg", "", "..", "a.svg/"])
def test_names_that_lead_elsewhere_are_refused(name, tmp_path):
    with pytest.raises(GapError, match=r"beside result\.json"):
        address_of(tmp_path, name)


def test_links_and_other_content_are_refused(tmp_path, monkeypatch):
    (tmp_path / "real.svg").write_text(FIGURE)
    (tmp_path / "link.svg").symlink_to(tmp_path / "real.svg")
    (tmp_path / "page.svg").write_text("<html><svg></svg></html>")
    (tmp_path / "grows.svg").write_text(f'<!DOCTYPE svg [<!ENTITY a "aaaa">]>{FIGURE}')
    for name, said in (("link", "a link"), ("page", "no SVG"), ("grows", "no SVG"), ("none", "missing")):
        with pytest.raises(GapError, match=said):
            address_of(tmp_path, f"{name}.svg")
    monkeypatch.setattr(picture, "LARGEST_FIGURE", 10)
    with pytest.raises(GapError, match="more than"):
        address_of(tmp_path, "real.svg")


def test_a_long_prologue_is_read_in_no_time(tmp_path):
    (tmp_path / "a.svg").write_text("<!-- -->" * 20_000 + " " * 20_000 + "<no>")
    with pytest.raises(GapError, match="no SVG"):
        address_of(tmp_path, "a.svg")
