"""What a recipe may say of its data: which values are refused, and with which words."""

import pytest
from pydantic import ValidationError

from bntt.runs.recipe.schema_data import Data, Encoder, Frames


def test_what_stands_where_nothing_is_said():
    data = Data(name="fashion-mnist")
    assert (data.root, data.order, data.augment, data.mix, data.validation) == ("", "", [], "", 0.1)
    assert data.images == 0
    assert (data.frames, Encoder().name) == (Frames(), "poisson")
    assert (Frames().size, Frames().by, Frames().cells, Frames().beyond) == (42, "time", "counts", "widen")


@pytest.mark.parametrize(
    ("table", "values", "message"),
    [
        (Data, {"name": "fashion-mnits"}, "did you mean 'fashion-mnist'"),
        (Data, {"name": "mnist", "order": "columns"}, "choose one of"),
        (Data, {"name": "mnist", "augment": ["flop"]}, "did you mean 'flip'"),
        (Data, {"name": "mnist", "validation": 1.0}, "less than 1"),
        (Data, {"name": "mnist", "images": -1}, "greater than or equal to 0"),
        (Data, {"name": "mnist", "images": 0.5}, "valid integer"),
        (Data, {"name": "mnist", "frames": {"sizes": 42}}, "Extra inputs are not permitted"),
        (Frames, {"size": 0}, "greater than or equal to 1"),
        (Frames, {"by": "events"}, "'time' or 'count'"),
        (Frames, {"sensor": [1, 2, 3]}, "at most 2 items"),
        (Encoder, {"name": "latency"}, "'poisson'"),
    ],
)
def test_what_is_refused(table, values, message):
    with pytest.raises(ValidationError, match=message):
        table(**values)
