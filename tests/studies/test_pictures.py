"""What pictures a study may ask for."""

from bntt.studies.figures import CHARTS
from bntt.studies.measures import EVALUATE, MEASURES
from bntt.studies.pictures import FIGURES, Bars, Noise, Scatter


def test_every_kind_is_drawn_and_reads_a_kind_of_measure():
    assert FIGURES.keys() == CHARTS.keys()
    assert {part.reads for part in FIGURES.values()} <= {*MEASURES, EVALUATE, ""}


def test_what_a_picture_names():
    words = {"title": "t", "alt": "a"}
    assert Scatter(kind="scatter", x="a", y="b", **words).uses() == ([], ["a", "b"])
    assert Bars(kind="bars", column="c", runs=["r"], **words).uses() == (["r"], ["c"])
    assert Noise(kind="noise", **words).source == "robust"
    assert Noise(kind="noise", measure="mine", **words).source == "mine"
