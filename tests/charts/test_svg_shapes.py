"""Shapes and words of the page's charts."""

from bntt.charts.colours import METHODS
from bntt.charts.svg_shapes import mark, rectangle, shortened, swatch, text


def test_words_are_escaped_and_shortened():
    assert text(1, 2.0, "<b>", "end", "name") == '<text x="1" y="2" text-anchor="end" class="name">&lt;b&gt;</text>'
    assert shortened("a long name", 40) == "a lon…"
    assert shortened("short", 40) == "short"


def test_shapes_are_of_classes():
    assert 'class="m c-bntt"' in mark(1, 2, 9, METHODS["bntt"])
    assert rectangle(0, 0, 1, 2, "b c-bn", 0.5).endswith('class="b c-bn" fill-opacity="0.5"/>')
    assert "opacity" not in rectangle(0, 0, 1, 2, "b c-bn")
    assert 'aria-hidden="true"' in swatch(mark(1, 2, 0, METHODS["bn"]))
