"""What the kernels do for neurons and blocks."""

from dataclasses import replace

from bntt.nn import NORMS, TDBN
from bntt.nn import fuse as parts
from bntt.nn.call import Call
from bntt.nn.fuse import fused_norms, fused_parts


def test_which_norms_are_fused():
    found = fused_norms()
    assert found == dict.fromkeys(NORMS, "fused in training and evaluation")


def test_a_norm_that_is_fused_in_evaluation_alone_says_why(monkeypatch):
    monkeypatch.setattr(parts, "SITE", replace(parts.SITE, call=Call(whole=False)))
    reason = "tdBN takes its training statistics over all steps, and the call does not have all"
    assert TDBN(2, 2).method.pooling.looks_ahead
    assert fused_norms()["tdbn"] == f"fused in evaluation; training in plain PyTorch: {reason}"


def test_all_parts_are_fused():
    found = fused_parts()
    assert "relu" in found
    assert found == dict.fromkeys(found, "fused in training and evaluation")


def test_one_that_is_not_says_why(monkeypatch):
    class Own(parts.CurrentBlock):
        pass

    monkeypatch.setattr(parts, "CurrentBlock", Own)
    assert fused_parts()["CurrentBlock"] == "plain PyTorch: it is Own, which the kernels do not support"
