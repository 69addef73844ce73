"""One choice, checked where it is made."""

import pytest
import torch

from bntt.engine.compute import Compute
from tests.rows import each_row


@each_row(
    "named, choice",
    [
        ("events", {"events": "mesured"}),
        ("backend", {"backend": "refrence"}),
        ("precision", {"precision": "half"}),
        ("recompute", {"backend": "reference", "recompute": 5}),
        ("precision", {"backend": "reference", "precision": "bf16"}),
        *(("recompute", {"recompute": wrong}) for wrong in (0, -1, "sometimes", 2.5, True)),
        ("reduce", {"reduce": 3}),
    ],
)
def test_a_misspelt_or_impossible_choice_is_refused_where_it_is_made(named, choice):
    with pytest.raises(ValueError, match=f"^{named}"):
        Compute(**choice)


def test_what_insists_on_kernels():
    insisting = [Compute("cpu"), Compute("triton"), Compute(precision="bf16-grad")]
    assert all(choice.insists for choice in insisting)
    assert not any(choice.insists for choice in (Compute(), Compute("reference"), Compute(recompute=3)))
    assert [Compute(name).kernels for name in ("auto", "cpu", "triton")] == ["cpu", "cpu", "triton"]


def test_what_connects_processes_is_no_part_of_what_is_chosen():
    connected = Compute("cpu", reduce=torch.clone)
    assert connected == Compute("cpu")
    assert repr(connected) == repr(Compute("cpu"))
