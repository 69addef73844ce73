"""What the kernels do for neurons and blocks."""

from bntt.nn import parts
from bntt.nn.parts import fused_parts


def test_all_are_fused():
    assert set(fused_parts().values()) == {"fused in training and evaluation"}


def test_one_that_is_not_says_why(monkeypatch):
    class Own(parts.Residual):
        pass

    monkeypatch.setattr(parts, "Residual", Own)
    assert fused_parts()["Residual"] == "plain PyTorch: it is Own, which the kernels do not know"
