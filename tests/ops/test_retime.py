"""Tables for another number of steps, held to their formulas written out."""

import pytest
import torch

from bntt.ops.retime import retiming
from tests.rows import each_row


@each_row("how, wanted", [("truncate", 1), ("truncate", 3), ("truncate", 5), ("hold", 5), ("hold", 6), ("hold", 11)])
def test_rows_are_left_out_or_repeated(how, wanted, rng):
    rows = torch.rand(5, 2, generator=rng, dtype=torch.float64)
    assert torch.equal(retiming(5, wanted, how) @ rows, torch.stack([rows[min(t, 4)] for t in range(wanted)]))


@each_row("steps, wanted", [(5, 5), (5, 9), (4, 11), (2, 3), (1, 4), (1, 1)])
def test_interpolated_tables_step_by_step(steps, wanted, rng):
    rows = torch.rand(steps, 2, generator=rng, dtype=torch.float64)
    found = retiming(steps, wanted, "interpolate") @ rows
    for t in range(wanted):
        place = t * (steps - 1) / (wanted - 1) if wanted > 1 else 0
        before = min(int(place), steps - 1)
        after = min(before + 1, steps - 1)
        assert torch.allclose(found[t], rows[before] + (place - before) * (rows[after] - rows[before]))


@each_row(
    "steps, wanted, how",
    [(4, 5, "truncate"), (4, 3, "hold"), (4, 3, "interpolate"), (4, 0, "truncate"), (4, 5, "stretch")],
)
def test_what_cannot_be_is_refused(steps, wanted, how):
    with pytest.raises(ValueError, match=how):
        retiming(steps, wanted, how)
