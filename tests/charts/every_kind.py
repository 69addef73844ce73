"""A chart of every kind, with all that its record can say."""

from bntt.charts.records import (
    STEPS,
    Axis,
    Bar,
    Bars,
    Entry,
    Forest,
    HeatMap,
    Histogram,
    Image,
    Level,
    Line,
    Lines,
    over_steps,
)

SHARE = Axis("accuracy", percent=True, low=0, high=1)


def charts(name="bntt"):
    """All kinds, in which this is the name of everything."""
    line = Line(name, [0, 1, 2], [0.9, None, 0.4], name, [0.8, None, 0.3], [1.0, None, 0.5], invalid=[2])
    return [
        Lines(name, Axis(name), SHARE, [line], [Level(0.1, name), Level(1, "here", "x")], note=name),
        Bars(
            name, SHARE, [name, "b"], [Bar(name, [0.5, None], name, [0.4, None], [0.6, None], [[0.5], []])], note=name
        ),
        Forest(
            name,
            Axis(name, scale="log"),
            [Entry(name, 3.0, 2.0, 5.0, [2.5, 3.5], name), Entry("bad", 30.0, invalid=True)],
            [Level(10, name)],
            note=name,
        ),
        HeatMap(name, STEPS, [name, "b"], ["1", "2"], [[0.1, None], [10.0, 1.0]], Axis(name, scale="log"), note=name),
        Histogram(name, Axis(name), Axis(name), [0, 1, 2], {name: [1, 3]}, note=name),
        Image(name, [[0.0, 0.5], [1.0, 0.2]], note=name),
    ]


def layers(*names, steps=3):
    """Lines over time of layers of these names."""
    return Lines(
        "", STEPS, Axis("mean |γ|"), over_steps({name: [0.1 * (t + 1) for t in range(steps)] for name in names})
    )
