"""The page: whole, escaped, the same bytes, nothing from elsewhere, in an order that a screen reader follows."""

import itertools
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from bntt.charts.section import Cell, Table
from bntt.io.checkpoint import CheckpointError
from bntt.runs.recipe.file import RecipeError
from bntt.studies.report import (
    find_subjects,
    html_of,
    numeric,
    overview_of,
    save_page,
    subjects_in,
    subjects_of,
)
from tests.evidence import RESULTS
from tests.studies.report.results import study, write_run, write_study

HOSTILE = "</script></style><script>alert(1)</script><img src=x onerror=alert(2)>\"'&{{ 7 * 7 }}\x00\u202e"
TAGS = {
    "a", "article", "body", "caption", "dd", "details", "div", "dl", "dt", "figcaption", "figure", "footer", "h1", "h2",
    "h3", "h4", "head", "header", "html", "li", "main", "meta", "nav", "p", "path", "rect", "script",
    "section", "span", "strong", "style", "summary", "svg", "table", "tbody", "td", "text", "th", "thead",
    "title", "tr", "ul", "clippath", "defs", "g", "image", "use",
}  # fmt: skip
VOID = {"meta", "path", "rect", "use", "image"}


class Reader(HTMLParser):
    """What is in a page: elements with their attributes, in order, and whether all that opens is closed."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.open = [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def all(self, *tags):
        return [attributes for tag, attributes in self.elements if tag in tags]


@pytest.fixture(scope="module")
def several(tmp_path_factory):
    root = tmp_path_factory.mktemp("home")
    return [
        write_study(root / "study"),
        write_run(root / "a"),
        write_run(root / "b", "bn", 1),
        RESULTS / "rivals-noise",
    ]


@pytest.fixture(scope="module", params=["run", "study", "several"])
def text(request, several):
    folders = {"run": [RESULTS / "cifar10-small-bd63a9e48c3d"], "study": several[:1], "several": several}[request.param]
    return html_of(subjects_of(folders))


def test_it_is_whole_and_has_the_landmarks_of_a_page(text):
    page = Reader(text)
    assert page.all("html") == [{"lang": "en"}]
    assert len(page.all("main")) == len(page.all("h1")) == len(page.all("title")) == 1
    assert page.all("nav")[0]["aria-label"] == "Contents"
    first = next(attributes for tag, attributes in page.elements if tag == "a")
    assert first == {"class": "skip", "href": "#content"}


def test_headings_leave_no_level_out(text):
    levels = [int(tag[1]) for tag, _ in Reader(text).elements if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in itertools.pairwise(levels))


def test_every_place_is_there_once_and_every_link_leads_to_one(text):
    page = Reader(text)
    places = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    assert len(places) == len(set(places))
    links = [attributes["href"] for attributes in page.all("a")]
    assert {link[1:] for link in links} <= set(places)
    assert all(link.startswith("#") for link in links)
    named = {attributes["aria-labelledby"] for _, attributes in page.elements if "aria-labelledby" in attributes}
    assert named <= set(places)


def test_tables_have_captions_and_scopes_and_figures_their_words(text):
    page = Reader(text)
    assert len(page.all("caption")) == len(page.all("table")) > 0
    assert all(attributes.get("scope") in ("col", "row") for attributes in page.all("th"))
    assert all(attributes.get("aria-label") for attributes in page.all("svg") if attributes.get("role") == "img")
    assert all("role" in attributes or attributes["aria-hidden"] == "true" for attributes in page.all("svg"))


def test_nothing_is_from_elsewhere(text):
    page = Reader(text)
    assert not [a for _, a in page.elements for key in a if key in ("srcset", "style") or key.startswith("on")]
    assert not page.all("img", "link", "iframe", "object", "embed", "form", "base")
    assert not page.all("script")
    outside = re.sub(r"data:[^\"]*", "", text)
    assert not re.search(r"https?:|url\((?!#)|@import|fetch\(|XMLHttp", outside)
    (policy,) = [a["content"] for a in page.all("meta") if a.get("http-equiv") == "Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "unsafe" not in policy


def test_the_same_results_are_the_same_bytes(several, tmp_path):
    save_page(subjects_of(several[:2]), tmp_path / "new" / "a.html")
    save_page(subjects_of(several[:2]), tmp_path / "b.html")
    assert (tmp_path / "new" / "a.html").read_bytes() == (tmp_path / "b.html").read_bytes()
    assert {path.name for path in tmp_path.rglob("*")} == {"new", "a.html", "b.html"}
    assert b'id="overview"' in (tmp_path / "b.html").read_bytes(), "two have an index"


def hostile(values):
    """Every text of a nested value replaced."""
    if isinstance(values, dict):
        return {key if isinstance(key, str) else HOSTILE: hostile(value) for key, value in values.items()}
    if isinstance(values, list):
        return [hostile(value) for value in values]
    return HOSTILE if isinstance(values, str) else values


def test_what_files_say_is_text_and_nothing_else(tmp_path):
    spoilt = hostile(study())
    for spoilt_part, part in zip(
        [*spoilt["claims"], *(start for run in spoilt["runs"] for start in run["starts"])],
        [*study()["claims"], *(start for run in study()["runs"] for start in run["starts"])],
        strict=True,
    ):
        spoilt_part |= {key: part[key] for key in ("verdict", "state") if key in part}
    spoilt["table"]["columns"][0]["key"] = "accuracy"
    folder, run = write_study(tmp_path / "study", spoilt), write_run(tmp_path / "<b>run")
    for path in run.glob("*.json"):
        held = hostile(json.loads(path.read_text()))
        held |= {"gamma_magnitude": {HOSTILE: [0.1, 0.2]}, "mine": HOSTILE}
        path.write_text(json.dumps(held))
    quoted = json.dumps(HOSTILE).replace("\\u202e", "")
    (run / "recipe.toml").write_text(f"notes = {quoted}\n[network]\nname = {quoted}\n{quoted} = {quoted}\n")
    text = html_of(subjects_of([folder, run]))
    page = Reader(text)
    assert not page.all("script")
    assert {tag for tag, _ in page.elements} <= TAGS
    assert "&lt;script&gt;" in text
    assert "{{ 7 * 7 }}" in text
    assert "\x00" not in text
    assert "\u202e" not in text


def test_an_index_names_all_and_leads_to_each(several):
    studies, runs, measurements = overview_of(subjects_of(several))
    assert [row[0].link for row in (*studies.rows, *runs.rows, *measurements.rows)] == ["s1", "s2", "s3", "s4"]
    assert [row[6].text for row in runs.rows] == ["40.0%", "41.0%"]


def test_runs_of_one_name_are_told_apart_by_their_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = [write_run(tmp_path / name) for name in ("a/demo", "b/demo", "a/other")]
    subjects = subjects_of([folder.relative_to(tmp_path) for folder in made])
    titles = ["demo (a/demo)", "demo (b/demo)", "other"]
    assert [one.title for one in subjects] == titles
    assert [row[0].text for row in overview_of(subjects)[0].rows] == titles


def test_columns_of_numbers_are_told_from_words():
    rows = ((Cell("a"), Cell("1", 1.0), Cell("x")), (Cell("b"), Cell("–"), Cell("y", 2.0)))
    table = Table("t", ("", "n", "w"), rows)
    assert numeric(table) == [False, True, False]
    assert numeric(replace(table, rows=())) == [False] * 3


def test_weights_are_not_opened(tmp_path):
    run = write_run(tmp_path / "run")
    without = html_of(subjects_of([run]))
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "best.safetensors").write_bytes(b"no weights")
    assert html_of(subjects_of([run])) == without


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_run(tmp_path / "runs" / "b")
    write_run(tmp_path / "runs" / "pool" / "a")
    write_run(tmp_path / "runs" / ".hidden")
    write_run(tmp_path / "runs" / "b" / "checkpoints" / "inner")
    write_study(tmp_path / "runs" / "studies" / "table-1")
    return tmp_path


def names(found):
    return [path.name for path in found]


def test_a_folder_stands_for_what_it_holds_studies_first_and_names_keep_their_order(home):
    runs = home / "runs"
    (runs / "pool" / "loop").symlink_to(runs)  # links are not followed
    assert names(find_subjects([])) == names(find_subjects([runs])) == ["table-1", "b", "a"]
    assert names(subjects_in(runs)) == ["b", "a", "table-1"]
    asked = [runs / "b", runs / "studies" / "table-1" / "result.json", runs / "pool", runs / "b" / "."]
    assert names(find_subjects(asked)) == ["b", "table-1", "a"]


def test_what_is_neither_is_an_error(home, tmp_path, monkeypatch):
    (home / "empty").mkdir()
    for name in ("empty", "none"):
        with pytest.raises(CheckpointError, match=name):
            find_subjects([home / name])
    monkeypatch.chdir(home / "empty")
    with pytest.raises(RecipeError, match=f"{home}/empty/runs and {home}/empty/studies"):
        find_subjects([])
