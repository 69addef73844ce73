"""Tables for another number of steps, held to their formulas written out."""

import pytest
import torch

from bntt.ops.retime import RETIMINGS, retiming
from tests.rows import each_row


@each_row("wanted", [1, 3, 5])
def test_truncated_tables_are_the_first_rows(wanted, rng):
    rows = torch.rand(5, 2, generator=rng, dtype=torch.float64)
    assert torch.equal(retiming(5, wanted, "truncate") @ rows, rows[:wanted])


@each_row("wanted", [5, 6, 11])
def test_held_tables_repeat_the_last_row(wanted, rng):
    rows = torch.rand(5, 2, generator=rng, dtype=torch.float64)
    assert torch.equal(retiming(5, wanted, "hold") @ rows, torch.cat([rows, rows[-1:].expand(wanted - 5, 2)]))


@each_row("steps, wanted", [(5, 5), (5, 9), (4, 11), (2, 3), (1, 4), (1, 1)])
def test_interpolated_tables_step_by_step(steps, wanted, rng):
    rows = torch.rand(steps, 2, generator=rng, dtype=torch.float64)
    found = retiming(steps, wanted, "interpolate") @ rows
    for t in range(wanted):
        place = t * (steps - 1) / (wanted - 1) if wanted > 1 else 0
        before = min(int(place), steps - 1)
        after = min(before + 1, steps - 1)
        assert torch.allclose(found[t], rows[before] + (place - before) * (rows[after] - rows[before]))
    assert torch.allclose(found[0], rows[0])
    assert torch.allclose(found[-1], rows[-1])


def test_a_straight_line_stays_one():
    line = torch.arange(4, dtype=torch.float64)[:, None]
    assert torch.allclose(retiming(4, 7, "interpolate") @ line, torch.arange(7, dtype=torch.float64)[:, None] / 2)


@each_row("how", RETIMINGS)
def test_rows_are_shares(how):
    matrix = retiming(6, 6 if how == "truncate" else 13, how)
    assert matrix.min() >= 0
    assert torch.allclose(matrix.sum(1), torch.ones(len(matrix), dtype=torch.float64))


@each_row(
    "steps, wanted, how",
    [(4, 5, "truncate"), (4, 3, "hold"), (4, 3, "interpolate"), (4, 0, "truncate"), (4, 5, "stretch")],
)
def test_what_cannot_be(steps, wanted, how):
    with pytest.raises(ValueError, match=f"got {how!r} from {steps} to {wanted}"):
        retiming(steps, wanted, how)
