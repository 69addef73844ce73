"""What is kept of an attack: round trips, what is damaged, and sums over batches."""

import json

import pytest
import torch

from bntt.io.checkpoint import CheckpointError
from bntt.runs.measures.attack_cell import Cell, Piece, as_bits, cell_path, read_cell, write_cell
from bntt.runs.measures.attack_plan import Job

FIRST = Piece((("110", "100"), ("000", "111")), "010", (0.5, None, 1.0), (0.1, 0.0, 0.2), (4, 8, 8), 1.5)
SECOND = Piece((("1", "0"), ("0", "1")), "1", (None,), (0.3,), (0,), 0.5)
SETTINGS = {"attack": "pgd", "eps": 0.1}


def test_batches_add_up():
    cell = Cell(Job(0, "square"), (FIRST, SECOND))
    assert cell.right(0).tolist() == [[True, True, False, True], [True, False, False, False]]
    assert cell.right(1).int().tolist() == [[0, 0, 0, 0], [1, 1, 1, 1]]
    assert cell.zero.tolist() == [False, True, False, True]
    assert (cell.agreement, cell.change, cell.queries, cell.seconds) == (0.75, 0.3, 5.0, 2.0)
    assert (FIRST.images, SECOND.images) == (3, 1)
    assert Cell(Job(0, "signs"), (Piece((("1",),), "", (), (0.1,), (), 0.0),)).agreement is None


def test_they_are_kept_as_they_are(tmp_path):
    path = tmp_path / "x.json"
    assert read_cell(path, SETTINGS) == ()
    write_cell(path, [FIRST], SETTINGS, complete=False)
    assert json.loads(path.read_text())["complete"] is False
    assert read_cell(path, SETTINGS) == (FIRST,)
    write_cell(path, [FIRST, SECOND], SETTINGS, complete=True)
    assert read_cell(path, SETTINGS) == (FIRST, SECOND)


def test_other_settings_have_another_name(tmp_path):
    job = Job(0, "pgd", 8 / 255, "expected")
    one, other = cell_path(tmp_path, job, SETTINGS), cell_path(tmp_path, job, SETTINGS | {"eps": 0.2})
    assert one != other
    assert one.name.startswith("pgd-expected-8-")
    assert one == cell_path(tmp_path, job, dict(reversed(SETTINGS.items())))


@pytest.mark.parametrize(
    "harm",
    [
        lambda values: values["batches"][0]["right"][0].__setitem__(0, "11"),
        lambda values: values["batches"][0]["right"][0].__setitem__(0, "12x"),
        lambda values: values["batches"][0].pop("seconds"),
        lambda values: values.pop("settings"),
        lambda values: values["settings"].update(eps=9),
        lambda values: values["batches"].append({}),
    ],
)
def test_what_is_damaged_is_refused(harm, tmp_path):
    path = tmp_path / "x.json"
    write_cell(path, [FIRST], SETTINGS, complete=False)
    values = json.loads(path.read_text())
    harm(values)
    path.write_text(json.dumps(values))
    with pytest.raises(CheckpointError, match=r"x.json is damaged .*delete it, and this attack is made again"):
        read_cell(path, SETTINGS)
    path.write_text("{")
    with pytest.raises(CheckpointError, match="is damaged"):
        read_cell(path, SETTINGS)


def test_bits():
    assert as_bits(torch.tensor([False, True, True])) == "011"
