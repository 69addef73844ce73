"""The door into the kernels is shut: nothing gets through that a kernel would misread, and no buffer leaves open what
it is."""

import ast
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine.workspace import KernelInputError, address, is_plain
from tests.rows import each_row

ENGINE = Path(bntt.__file__).parent / "engine"
FILES = sorted(ENGINE.rglob("*.py"))
MAKERS = {"empty", "zeros", "ones", "full", "tensor", "arange", "rand", "randn", "eye", "linspace"}
"""Functions of torch whose result depends on the default dtype or device where it is not said."""


class Wrapped(Tensor):
    """A tensor of somebody's."""


def without_memory() -> Tensor:
    made = torch.zeros(4)
    made.untyped_storage().resize_(0)
    return made


WRONG = {
    "another type": torch.zeros(4, dtype=torch.float64),
    "another size": torch.zeros(5),
    "strides": torch.zeros(8)[::2],
    "expanded": torch.zeros(1).expand(4),
    "elsewhere": torch.zeros(4, device="meta"),
    "a subclass": torch.zeros(4).as_subclass(Wrapped),
    "a layout": torch.zeros(4).to_sparse(),
    "a lazy sign": torch._neg_view(torch.ones(4)),  # of which memory has the other one
    "no memory": without_memory(),
}


@each_row("kind", WRONG)
def test_what_a_kernel_would_misread_is_refused(kind):
    with pytest.raises(KernelInputError, match="bias"):
        address((WRONG[kind], torch.float32, 4), "bias")


@each_row("kind", [torch.clone, nn.Parameter, nn.Buffer])
def test_plain_tensors_go_through_and_what_may_be_missing_is_null(kind):
    values = kind(torch.zeros(4))
    assert is_plain(values)
    assert address((values, torch.float32, 4), "bias") == values.data_ptr()
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


def test_every_buffer_of_the_engine_says_its_type_and_place():
    assert not {path.name: found for path in FILES if (found := unsaid(path.read_text("utf-8")))}


def test_addresses_are_given_away_at_the_door_alone():
    """Elsewhere a place in memory is compared with another, or is a key."""
    allowed = {"workspace.py", "synapse.py", "layer.py"}
    sources = {path: path.read_text("utf-8") for path in FILES}
    assert {path.name for path, source in sources.items() if ".data_ptr(" in source} <= allowed
    asserting = [path.name for path, source in sources.items() if path.parent.name == "cpu" and "assert " in source]
    assert not asserting
