"""The page in a real browser: no request, no complaint, every size, in the dark."""

import re

import pytest

from bntt.studies.report import save_page, subjects_of
from tests.evidence import RESULTS
from tests.studies.report.browser import CHROMIUM, Browser
from tests.studies.report.results import write_run, write_study

pytestmark = [
    pytest.mark.browser,
    pytest.mark.skipif(CHROMIUM is None, reason="there is no chromium on the path"),
]
CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = (c) => { const [r, g, b] = c.slice(0, 3).map((v) => { v /= 255;
    return v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4; }); return 0.2126 * r + 0.7152 * g + 0.0722 * b; };
  const behind = (e) => { for (; e; e = e.parentElement) { const c = parse(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0) return c; } return [255, 255, 255]; };
  let worst = [99, ""];
  for (const e of document.querySelectorAll("body *")) {
    const own = [...e.childNodes].some((n) => n.nodeType === 3 && n.textContent.trim());
    if (!own || e.tagName === "SCRIPT") continue;
    const style = getComputedStyle(e), ink = parse(e.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(e))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < worst[0]) worst = [ratio, e.outerHTML.slice(0, 120)];
  }
  return worst;
})()
"""


@pytest.fixture(scope="module")
def pages(tmp_path_factory):
    root = tmp_path_factory.mktemp("pages")
    several = [write_study(root / "study"), write_run(root / "a"), write_run(root / "b", "bn", 7)]
    for name, folders in {"run": [RESULTS / "cifar10-small-bd63a9e48c3d"], "several": several}.items():
        save_page(subjects_of(folders), root / f"{name}.html")
    return root


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    with Browser(tmp_path_factory.mktemp("profile")) as opened:
        yield opened


@pytest.fixture(params=["run", "several"])
def opened(request, pages, browser):
    browser.requests.clear()
    browser.said.clear()
    browser.shape(1280)
    browser.open(pages / f"{request.param}.html")
    return browser


def test_nothing_is_asked_of_anywhere_and_nothing_is_amiss(opened):
    outside = [url for url in opened.requests if not url.startswith("data:image/")]
    assert [url.partition(":")[0] for url in outside] == ["file"]
    assert not opened.said
    assert opened.ask("[...document.images].every((image) => image.complete && image.naturalWidth > 0)")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 820, 1280])
def test_every_size_fits_and_can_be_read(opened, width, dark):
    opened.shape(width, dark=dark)
    assert opened.ask("document.documentElement.scrollWidth") == width
    ratio, where = opened.ask(CONTRAST)
    assert ratio >= 4.5, where
    ground = [int(v) for v in re.findall(r"\d+", opened.ask("getComputedStyle(document.body).backgroundColor"))]
    assert (sum(ground[:3]) < 150) == dark


def test_a_screen_reader_finds_tables_figures_and_landmarks(pages, browser):
    browser.open(pages / "run.html")
    nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
    named = {(node["role"]["value"], node.get("name", {}).get("value", "")) for node in nodes if "role" in node}
    roles = {role for role, _ in named}
    assert {"main", "navigation", "banner", "contentinfo", "table", "columnheader", "rowheader", "image"} <= roles
    assert all(name for role, name in named if role in ("image", "table", "button", "link", "region"))
