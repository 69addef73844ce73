"""The door into the kernels is shut: nothing gets through that a kernel would misread, and no buffer leaves open what
it is."""

import ast
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine.workspace import KernelInputError, address, is_plain

ENGINE = Path(bntt.__file__).parent / "engine"
FILES = sorted(ENGINE.rglob("*.py"))
MAKERS = {"empty", "zeros", "ones", "full", "tensor", "arange", "rand", "randn", "eye", "linspace"}
"""Functions of torch whose result depends on the default dtype or device where it is not said."""


class Wrapped(Tensor):
    """A tensor of somebody's."""


def negated() -> Tensor:
    """Real numbers of which memory has the other sign."""
    return torch._neg_view(torch.ones(4))


WRONG = {
    "another type": torch.zeros(4, dtype=torch.float64),
    "another size": torch.zeros(5),
    "strides": torch.zeros(8)[::2],
    "expanded": torch.zeros(1).expand(4),
    "elsewhere": torch.zeros(4, device="meta"),
    "a subclass": torch.zeros(4).as_subclass(Wrapped),
    "a layout": torch.zeros(4).to_sparse(),
    "a lazy sign": negated(),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_a_kernel_would_misread_is_refused(kind):
    with pytest.raises(KernelInputError, match="a kernel takes bias for a contiguous float32 of 4 elements, it is"):
        address((WRONG[kind], torch.float32, 4), "bias")


def test_a_tensor_without_its_memory_is_refused():
    weight = torch.zeros(4)
    weight.untyped_storage().resize_(0)
    with pytest.raises(KernelInputError, match="it is a Tensor"):
        address((weight, torch.float32, 4), "weight")


def test_plain_tensors_go_through():
    for kind in (torch.clone, nn.Parameter, nn.Buffer):
        values = kind(torch.zeros(4))
        assert is_plain(values)
        assert address((values, torch.float32, 4), "bias") == values.data_ptr()


def test_what_may_be_missing_is_null():
    assert address((None, torch.float32, 4), "bias") is None


def unsaid(source: str) -> list[str]:
    """Makers of tensors in a piece of source that do not say both dtype and device."""
    found = []
    for node in ast.walk(ast.parse(source)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        of_torch = isinstance(node.func.value, ast.Name) and node.func.value.id == "torch"
        if of_torch and node.func.attr in MAKERS and not {"dtype", "device"} <= {word.arg for word in node.keywords}:
            found.append(f"line {node.lineno}: torch.{node.func.attr}")
    return found


def test_a_buffer_that_leaves_its_type_or_place_open_is_seen():
    assert unsaid("x = torch.empty(3, dtype=torch.float32)") == ["line 1: torch.empty"]
    assert unsaid("x = torch.empty(3, device=d)") == ["line 1: torch.empty"]
    assert not unsaid("x = torch.empty(3, dtype=torch.float32, device=d)")


def test_every_buffer_of_the_engine_says_its_type_and_place():
    assert not {path.name: found for path in FILES if (found := unsaid(path.read_text("utf-8")))}


def test_addresses_are_given_away_at_the_door_alone():
    """Elsewhere a place in memory is compared with another, or is a key."""
    allowed = {"workspace.py", "synapse.py", "layer.py"}
    sources = {path: path.read_text("utf-8") for path in FILES}
    assert {path.name for path, source in sources.items() if ".data_ptr(" in source} <= allowed
    asserting = [path.name for path, source in sources.items() if path.parent.name == "cpu" and "assert " in source]
    assert not asserting
