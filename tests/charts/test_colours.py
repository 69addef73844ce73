"""One name, one colour."""

from bntt.charts.files import METHODS, OTHERS, SHADES, looks_of
from bntt.charts.records import Axis, Bar, Bars, Entry, Forest, Line, Lines
from bntt.nn.kinds import NORMS
from tests.charts.every_kind import layers


def lines(*names):
    return Lines("", Axis("x"), Axis("y"), [Line(name, [1], [1.0], name) for name in names])


def test_every_norm_has_its_colour_in_every_chart():
    assert NORMS.keys() <= METHODS.keys()
    for charts in (
        [lines("none", "bntt")],
        [lines("a", "b", "BNTT")],
        [Bars("", Axis("y"), ["x"], [Bar("bntt", [1.0])])],
    ):
        assert looks_of(charts).colour("bntt") == METHODS["bntt"][0]
    forest = Forest("", Axis("x"), [Entry("ours", 1.0, colour="bntt")])
    assert looks_of([forest]).colour("entry", "bntt") == METHODS["bntt"][0]


def test_no_other_name_gets_the_strongest_colour_or_that_of_a_method_beside_it():
    assert METHODS["bntt"] not in OTHERS
    looks = looks_of([lines("training", "bn", "validation")])
    assert len({looks.colour(name) for name in ("training", "validation", "bn")}) == 3


def test_layers_take_shades_in_order_and_the_same_in_all_charts():
    """A current has γ and no spikes, the neurons of a sum spikes and no γ."""
    looks = looks_of([layers("a", "sum"), layers("a", "b"), layers("c", "d")])
    at = {name: [light for light, _ in SHADES].index(looks.colour(name)) for name in ("a", "b", "sum", "c", "d")}
    assert 0 == at["a"] < at["sum"] < at["b"] < at["c"] < at["d"] == len(SHADES) - 1
    assert looks.colour("a, as promised", "a") == SHADES[0][0]


def test_many_names_go_round():
    names = [f"run {i}" for i in range(30)]
    looks = looks_of([lines(*names)])
    assert looks.colour(names[0]) == looks.colour(names[len(OTHERS)])
    assert [looks.numbers[name] for name in names] == list(range(30))
