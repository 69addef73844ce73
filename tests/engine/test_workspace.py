"""Buffers that are used again, never by two at once, and found when they are used too long."""

from __future__ import annotations

import ast
import contextlib
import gc
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine import workspace
from bntt.engine.compute import Compute
from bntt.engine.cpu import launch
from bntt.engine.graph import layer as engine_layer
from bntt.engine.graph.layer import Layer
from bntt.engine.graph.node import PassContext
from bntt.engine.graph.recording import Measure
from bntt.engine.graph.stack import run_stack
from bntt.engine.synapse import Spikes
from bntt.engine.workspace import Workspace, address, is_plain
from tests.engine.graph.test_stack import layers
from tests.grids import all_pairs
from tests.kernels import needs_kernels, poisoned
from tests.rows import each_row


def test_a_buffer_belongs_to_its_lease_until_it_is_given_back():
    space = Workspace()
    one, other = space.lease(), space.lease()
    first, second = one.take(1000, 100), other.take(1000, 100)
    assert first.data_ptr() != second.data_ptr()
    place = first.data_ptr()
    one.give(first)
    assert other.take(100, 1000).data_ptr() == place
    assert other.take(100, 1000).data_ptr() != place


@each_row("inference", [False, True])
def test_a_view_gives_the_whole_buffer_back_to_any_type_and_mode(inference):
    lease = Workspace().lease()
    with torch.inference_mode(inference):
        buffer = lease.take(400_000, dtype=torch.uint8)
        place = buffer.data_ptr()
        lease.give(buffer[1000:2000])
    again = lease.take(100_000)
    assert (again.data_ptr(), again.dtype) == (place, torch.float32)
    assert again.zero_().sum() == 0, "written over outside of the mode"


@pytest.mark.parametrize("size", [7, 100_000], ids=["small", "large"])
def test_what_is_not_out_of_a_lease_cannot_be_given_back_or_kept(size):
    space = Workspace()
    lease, other = space.lease(), space.lease()
    once, kept, foreign = lease.take(size), lease.take(size), other.take(size)
    lease.give(once, None)
    assert lease.keep(kept) is kept
    for buffer in (once, kept, foreign, torch.empty(size)):
        assert not lease.owns(buffer)
        for way in (lease.give, lease.keep):
            with pytest.raises(RuntimeError, match="not out of this lease"):
                way(buffer)
    nothing = lease.take(0, 5), lease.take(0, 5)
    lease.give(*nothing)


def test_the_end_of_a_lease_gives_back_what_is_out_also_by_an_error():
    space = Workspace()
    with contextlib.suppress(KeyboardInterrupt), space.lease() as lease:
        early, kept, popped = (lease.take(100_000) for _ in range(3))
        lease.give(early)
        lease.keep(kept)
        later = lease.pop_all()
        late = lease.take(200_000)
        raise KeyboardInterrupt
    assert {held.data_ptr() for held in space._free} == {early.data_ptr(), late.data_ptr()}
    lease.close()
    assert space.free_bytes() == 1_200_000
    assert later.owns(popped)
    later.close()
    assert space.free_bytes() == 1_600_000


def test_a_buffer_more_than_twice_too_large_is_left_for_others_and_clear_frees_all():
    space = Workspace()
    lease = space.lease()
    large = lease.take(10_000_000, dtype=torch.uint8)
    place = large.data_ptr()
    lease.give(large)
    assert lease.take(1_000_000, dtype=torch.uint8).data_ptr() != place
    space.clear()
    assert not space._free


def test_buffers_of_growing_sizes_do_not_add_up_and_two_networks_in_turn_keep_theirs():
    """Twice the most that was in use at once, whatever came before; a buffer that is dropped is not in use."""
    space = Workspace()
    for size in range(1_000_000, 5_000_000, 100_000):
        with space.lease() as lease:
            lease.take(size, dtype=torch.uint8)
    assert space.free_bytes() <= 2 * 4_900_000
    dropped = space.lease()
    dropped.take(4_000_000, dtype=torch.uint8)
    del dropped
    assert space._alive == space.free_bytes()
    space.clear()
    assert space._alive == 0
    turns = []
    for _ in range(2):
        for size in (3_000_000, 800_000):  # neither fits in the other's
            with space.lease() as lease:
                turns.append({lease.take(size, dtype=torch.uint8).data_ptr() for _ in range(2)})
    assert turns[:2] == turns[2:]


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
    with pytest.raises(TypeError, match="bias"):
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


MEASURES = (Measure(), Measure(True, True, True, (-1.0, 1.0), True, True))


def train_and_evaluate(made: list[Layer], x: Tensor, compute: Compute, measure: Measure) -> list[Tensor]:
    """Three steps in two parts each, the second from the first one's ends; with a kept graph, and evaluation between.

    What is found is held to the end, so that it is also read when everything else has come and gone.
    """
    held: list[Tensor] = []
    parameters = [one.gamma for one in made]
    for _ in range(3):
        given = x.clone().requires_grad_()
        first = run_stack(made, Spikes(given[:4]), PassContext(compute, measure, goes_on=True), mean_over_time=False)
        second = run_stack(
            made, Spikes(given[2:]), PassContext(compute, measure, goes_on=True), first.ends, mean_over_time=True
        )
        with torch.no_grad():
            alone = run_stack(
                made, Spikes(x), PassContext(compute, measure, goes_on=True), first.ends, mean_over_time=False
            )
        loss = (first.out * torch.arange(5)).sum() + second.out.square().sum()
        loss = loss + sum(end.membrane.square().sum() for end in second.ends)
        for keep in (True, True, False):
            held += torch.autograd.grad(loss, [given, *parameters], retain_graph=keep)
        for ran in (first, second, alone):
            held += [
                ran.out,
                *(end.membrane for end in ran.ends),
                *(t for m in ran.moments if m is not None for t in (m.mean, m.var)),
            ]
            held += [t for seen in ran.seen for t in vars(seen).values() if isinstance(t, Tensor)]
    return held


@needs_kernels
@pytest.mark.parametrize(
    ("recompute", "measure", "chunk"), all_pairs(["never", 1, 3], MEASURES, [1, 16 << 20]), ids=str
)
def test_poison_changes_nothing(recompute, measure, chunk, rng, monkeypatch):
    monkeypatch.setattr(engine_layer, "CHUNK_BYTES", chunk)
    made, x, compute = (
        layers(rng),
        torch.randn(6, 4, 8, 8, 3, generator=rng),
        Compute(events="fixed", recompute=recompute),
    )
    expected = train_and_evaluate(made, x, compute, measure)
    with poisoned():
        found = train_and_evaluate(made, x, compute, measure)
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one.isnan(), other.isnan())
        assert torch.equal(one.nan_to_num(), other.nan_to_num())


@needs_kernels
@pytest.mark.parametrize("grad", [True, False])
@pytest.mark.parametrize(("where", "name"), [(launch, "scan"), (launch, "scan_reverse")], ids=["scan", "reverse"])
def test_what_an_error_interrupts_gives_its_buffers_back(where, name, grad, rng, monkeypatch):
    """All of those that were taken: nothing is lost, so that the next pass takes no fresh memory."""
    made, x = layers(rng), Spikes(torch.randn(6, 4, 8, 8, 3, generator=rng))
    gc.collect()  # what tests before this one left, such as graphs that an error's traceback holds
    with poisoned(), torch.set_grad_enabled(grad):
        space, calls, real = workspace.WORKSPACE, [], getattr(where, name)

        def failing(*args, **kwargs):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return real(*args, **kwargs)

        alive = space._alive
        monkeypatch.setattr(where, name, failing)
        try:
            out = run_stack(made, x, PassContext(Compute(events="fixed")), mean_over_time=True).out
            if grad:
                out.sum().backward()
        except KeyboardInterrupt:
            pass
        assert (len(calls) == 3) == (grad or name == "scan")
        assert space.free_bytes() == space._alive - alive > 0


@needs_kernels
def test_a_graph_without_a_backward_pass_goes_with_what_it_gave(rng):
    """A circle of tensor and graph would stay for ever: the collector of garbage does not see PyTorch's part of it."""
    made, x = layers(rng), Spikes(torch.randn(6, 4, 8, 8, 3, generator=rng))
    with poisoned():
        space, alive = workspace.WORKSPACE, workspace.WORKSPACE._alive
        ran = run_stack(made, x, PassContext(Compute(events="fixed"), goes_on=True), mean_over_time=True)
        assert ran.ends[0].membrane.requires_grad
        assert space._alive - alive > space.free_bytes()
        del ran
        assert space._alive - alive == space.free_bytes()
