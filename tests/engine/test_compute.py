"""One choice, checked where it is made."""

import pytest
import torch

from bntt.engine.compute import Compute


def test_a_misspelt_or_impossible_choice_is_refused_where_it_is_made():
    for choice, message in (
        ({"events": "mesured"}, r'events must be "measured", "fixed" or "never", got .mesured.'),
        ({"backend": "refrence"}, r'backend must be "auto", "reference", "cpu" or "triton", got .refrence.'),
        ({"precision": "half"}, r'precision must be "fp32", "bf16-grad" or "bf16", got .half.'),
        (
            {"backend": "reference", "recompute": 5},
            r"recompute 5 needs the kernels, and backend 'reference' is plain PyTorch, which keeps all steps",
        ),
        (
            {"backend": "reference", "precision": "bf16"},
            r"'bf16' needs the kernels, and backend",
        ),
        *(
            ({"recompute": wrong}, r'recompute must be "auto", "never" or a whole number, 1 or more .steps., got')
            for wrong in (0, -1, "sometimes", 2.5, True)
        ),
    ):
        with pytest.raises(ValueError, match=message):
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
