"""Event-driven layers against dense ones in float64: forward, weight gradient, every geometry that they take."""

from __future__ import annotations

import copy
import math
import pickle
import warnings

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bntt.engine import synapse as module
from bntt.engine.compute import Compute
from bntt.engine.synapse import BIASES, Geometry, Prepared, Spikes, Synapse, crossover, goes_by_events, weights_changed
from tests.kernels import VARIANTS, needs_bf16, needs_kernels, using, variant
from tests.rows import each_row

pytestmark = needs_kernels
_ = variant

CASES: list[tuple] = [  # T, B, H, W, Ci, Co, kernel (None: a matrix), padding, largest count, stride unless it is 1
    (2, 3, 8, 8, 64, 64, 3, 1, 1),
    (1, 2, 7, 5, 3, 5, 3, 1, 1),
    (2, 1, 6, 9, 70, 33, 3, 1, 4),
    (1, 2, 5, 5, 20, 40, 3, 0, 4),
    (1, 2, 4, 4, 17, 16, 3, 2, 9),
    (1, 2, 9, 9, 40, 12, 5, 2, 1),
    (3, 2, 3, 3, 8, 8, 1, 0, 64),
    (1, 1, 1, 1, 6, 50, 3, 1, 1),
    (1, 2, 40, 40, 6, 20, 3, 1, 4),
    (4, 8, 1, 1, 64, 64, 1, 1, 1),
    (2, 3, 1, 1, 33, 40, 1, 2, 4),
    (2, 3, 2, 1, 33, 40, 1, 0, 1),
    (2, 2, 6, 5, 40, 70, 1, 0, 16),
    (2, 3, 8, 8, 64, 64, 3, 1, 1, 2),
    (1, 2, 7, 9, 33, 40, 3, 1, 4, (2, 3)),
    (1, 2, 9, 7, 5, 70, 3, 0, 1, (3, 1)),
    (2, 1, 6, 5, 17, 33, 3, 2, 9, 2),
    (1, 2, 1, 1, 6, 50, 3, 1, 1, 2),
    (1, 3, 2, 1, 8, 5, 3, 2, 4, (1, 2)),
    (1, 2, 11, 10, 20, 12, 5, 2, 1, 2),
    (1, 2, 8, 9, 12, 20, (1, 5), (0, 2), 4, (2, 1)),
    (1, 2, 7, 8, 20, 33, (4, 2), (1, 0), 1, (1, 3)),
    (1, 2, 9, 8, 10, 24, (7, 3), (3, 1), 1),
    (1, 2, 10, 9, 12, 8, 2, 0, 1, 4),
    (3, 2, 8, 7, 70, 70, 1, 0, 4, 2),
    (2, 3, 5, 6, 70, 65, 1, 0, 1, (3, 1)),
    (2, 3, 1, 1, 33, 40, 1, 0, 4, 2),
    (2, 2, 4, 5, 20, 10, 1, 1, 4, 2),
    (2, 2, 3, 3, 20, 10, 1, 1, 4, 2),
    (2, 2, 4, 5, 20, 10, 1, (0, 2), 1),
    (1, 2, 5, 500, 6, 20, 3, 1, 1, (1, 2)),
    (1, 1, 1, 33000, 2, 3, 3, 1, 1),
    (2, 3, 1, 1, 300, 40, None, 0, 1),
    (1, 200, 1, 1, 70, 65, None, 0, 4),
    (5, 1, 1, 1, 1, 7, None, 0, 1),
    (3, 150, 1, 1, 513, 130, None, 0, 16),
]


def pair(size: int | tuple[int, int]) -> tuple[int, int]:
    return size if isinstance(size, tuple) else (size, size)


def make(case: tuple, rng: torch.Generator, rate: float = 0.3) -> tuple[Synapse, Spikes]:
    steps, batch, height, width, inputs, outputs, kernel, padding, largest, *stride = case
    weight = torch.randn(outputs, inputs, *(pair(kernel) if kernel else ()), generator=rng)
    fired = torch.rand(steps, batch, height, width, inputs, largest, generator=rng) < rate
    geometry = Geometry(pair(*stride or (1,)), pair(padding))
    synapse = Synapse(weight, torch.randn(outputs, generator=rng), geometry)
    return synapse, Spikes(fired.sum(-1).to(torch.uint8), 1 / largest, largest)


def double_images(x: Spikes) -> Tensor:
    return (x.values.double() * x.scale).flatten(0, 1).permute(0, 3, 1, 2)


def convolved(synapse: Synapse, images: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """By PyTorch, ``[T·B, H', W', Co]``; a matrix is a kernel of 1x1."""
    kernels, geometry = weight if weight.ndim == 4 else weight[..., None, None], synapse.geometry
    return F.conv2d(images, kernels, bias, geometry.stride, geometry.padding).permute(0, 2, 3, 1)


WAYS = [*((True, name) for name in VARIANTS), (False, VARIANTS[-1])]
"""Event-driven on every instruction set, and dense."""


@each_row("case, rate", [*((case, 0.3) for case in CASES), (CASES[2], 0.0), (CASES[20], 1.0)])
def test_forward(case, rate, rng):
    synapse, x = make(case, rng, rate)
    assert synapse.has_event_way
    wanted = convolved(synapse, double_images(x), synapse.weight.double(), synapse.bias.double())
    for events, name in WAYS:
        unset = torch.full((*x.values.shape[:2], *wanted.shape[1:]), float("nan"))
        with using(name):
            out = synapse.forward(x, events=events, out=unset).flatten(0, 1)
        assert out.shape == wanted.shape
        assert (out - wanted).abs().max() <= 5e-6 * wanted.abs().max(), (events, name)


@each_row("case, rate", [*((case, 0.3) for case in CASES), (CASES[2], 0.0), (CASES[20], 1.0)])
def test_weight_and_input_gradient(case, rate, rng):
    synapse, x = make(case, rng, rate)
    images, weight = (one.requires_grad_() for one in (double_images(x), synapse.weight.double()))
    y = convolved(synapse, images, weight)
    gradient, steps = torch.randn(y.shape, generator=rng), x.values.shape[:2]
    y.backward(gradient.double())
    start = torch.randn(synapse.weight.shape, generator=rng)
    tolerance = 1e-5 if x.largest > 9 or rate == 1 else 5e-6  # a count of 16 is 16 sums
    for events, name in WAYS:
        total = start.clone()
        with using(name):
            synapse.add_weight_grad(total, x, gradient.unflatten(0, steps), events=events)
        limit = tolerance * max(1e-3, float(weight.grad.abs().max()))
        assert (total - start - weight.grad).abs().max() <= limit, (events, name)
    towards = synapse.input_grad(gradient.unflatten(0, steps), tuple(x.values.shape[2:]))
    towards = towards.flatten(0, 1).permute(0, 3, 1, 2)
    assert (towards - images.grad).abs().max() <= 3e-6 * images.grad.abs().max()


@each_row("case", CASES[::3])
def test_the_same_bits_on_any_number_of_threads(case, rng):
    synapse, x = make(case, rng)
    for name in VARIANTS:
        results = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            with using(name):
                out, total = synapse.forward(x, events=True), torch.zeros(synapse.weight.shape)
                synapse.add_weight_grad(total, x, out, events=True)
            results.append((out, total))
        for other in results[1:]:
            assert all(torch.equal(a, b) for a, b in zip(results[0], other, strict=True)), name


@needs_bf16
@each_row("case", CASES[::3])
def test_bf16_rounds_to_eight_bits(case, rng):
    """Forward only where all is bf16; both gradients in either, into a float32 sum."""
    exact, x = make(case, rng)
    found = {}
    for precision in ("fp32", "bf16-grad", "bf16"):
        synapse = Synapse(exact.weight, exact.bias, exact.geometry, precision)
        out = synapse.forward(x, events=False)
        assert out.dtype == synapse.forward_dtype
        gradient = torch.randn(out.shape, generator=torch.Generator().manual_seed(2)).to(synapse.backward_dtype)
        total = torch.zeros(synapse.weight.shape)
        synapse.add_weight_grad(total, x, gradient, events=False)
        found[precision] = out.float(), total, synapse.input_grad(gradient, tuple(x.values.shape[2:])).float()
    for precision, low in (("bf16-grad", (False, True, True)), ("bf16", (True, True, True))):
        for ours, theirs, rounded in zip(found[precision], found["fp32"], low, strict=True):
            off = float((ours - theirs).norm() / theirs.norm())
            assert 1e-4 < off < 1e-2 if rounded else off == 0


@pytest.mark.parametrize("largest", [4, 255])
def test_counts_over_time_do_not_overflow(largest, rng):
    counts = torch.randint(0, largest + 1, (600, 2, 3, 1, 5), generator=rng, dtype=torch.uint8)
    counts[:, 0] = largest
    assert torch.equal(Spikes(counts, 0.5, largest).count_over_time(), counts.sum(0, dtype=torch.float32))


STRIDED = [  # Ci, Co, kernel, stride, padding, dilation, height and width: where oneDNN 3.12 goes wrong or crashes
    (1, 70, (2, 2), (1, 2), (1, 1), (1, 1), (4, 1)),
    (70, 19, (1, 1), (2, 2), (0, 1), (2, 2), (1, 1)),
    (9, 1, (3, 3), (2, 3), (1, 1), (1, 1), (1, 1)),
    (8, 8, (3, 3), (2, 2), (1, 1), (1, 1), (3, 1)),
]


@pytest.mark.parametrize("case", STRIDED)
@pytest.mark.parametrize("precision", ["fp32", pytest.param("bf16", marks=needs_bf16)])
def test_strided_convolutions_against_float64(case, precision, rng):
    inputs, outputs, kernel, stride, padding, dilation, size = case
    weight = torch.randn(outputs, inputs, *kernel, generator=rng)
    synapse = Synapse(weight, None, Geometry(stride, padding, dilation), precision)
    x = torch.randn(2, 3, *size, inputs, generator=rng)
    wide, wide_weight = (
        t.double().requires_grad_() for t in (x.flatten(0, 1).permute(0, 3, 1, 2).contiguous(), weight)
    )
    with warnings.catch_warnings(action="ignore"):  # of a kernel of two and padding
        expected = F.conv2d(wide, wide_weight, None, stride, padding, dilation)
    out = synapse.forward(Spikes(x), events=False)
    grad = torch.randn(out.shape, generator=rng).to(synapse.backward_dtype)
    expected.backward(grad.double().flatten(0, 1).permute(0, 3, 1, 2))
    total = torch.zeros_like(weight)
    synapse.add_weight_grad(total, Spikes(x), grad, events=False)
    found = [out.flatten(0, 1).permute(0, 3, 1, 2), total]
    found.append(synapse.input_grad(grad, (*size, inputs)).flatten(0, 1).permute(0, 3, 1, 2))
    limit = 1e-5 if precision == "fp32" else 2e-2
    for ours, theirs in zip(found, (expected.detach(), wide_weight.grad, wide.grad), strict=True):
        assert float((ours - theirs).abs().max()) <= limit * float(theirs.abs().max())


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_strided_convolution_gets_its_weights_channels_first(layout, rng):
    """A kernel of 1x1 with its channels last calls itself contiguous; with it oneDNN 3.12 writes beyond its memory on
    processors that have AVX2 alone."""
    weight = torch.randn(68, 2, 1, 1, generator=rng).to(memory_format=layout)
    synapse = Synapse(weight, None, Geometry((2, 1)))
    assert synapse._weight(torch.float32).stride() == (2, 1, 1, 1)
    assert torch.equal(synapse._weight(torch.float32), weight)


PLACE = Geometry(padding=(1, 1))
BLOCKED = [  # images, height, width, Ci, Co, kernel, padding
    (5, 4, 4, 16, 24, (3, 3), (1, 1)),
    (7, 8, 8, 33, 16, (3, 3), (1, 1)),
    (3, 6, 5, 7, 9, (3, 3), (0, 0)),
    (4, 5, 6, 8, 8, (5, 3), (2, 0)),
    (4, 7, 7, 8, 8, (1, 4), (0, 3)),
    (6, 1, 1, 12, 5, (3, 3), (1, 1)),
    (2, 3, 3, 4, 6, (1, 1), (0, 0)),
]


def oracle(x: torch.Tensor, grad: torch.Tensor, weight: torch.Tensor, padding: tuple[int, int]) -> torch.Tensor:
    images, grad = (one.double().permute(0, 3, 1, 2) for one in (x, grad))
    mask = [False, True, False]
    found = torch.ops.aten.convolution_backward(
        grad, images, weight.double(), None, [1, 1], padding, [1, 1], False, [0, 0], 1, mask
    )
    return found[1]


def drawn(case: tuple, rng: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    images, height, width, inputs, outputs, kernel, padding = case
    places = Geometry(padding=padding).out_size((height, width), kernel)
    x = torch.randn(images, height, width, inputs, generator=rng)
    return x, torch.randn(images, *places, outputs, generator=rng), torch.zeros(outputs, inputs, *kernel)


@each_row("case", BLOCKED)
def test_it_is_the_gradient_whatever_the_blocks(case, rng, monkeypatch):
    x, grad, weight = drawn(case, rng)
    expected = oracle(x, grad, weight, case[-1])
    for images in (1, 2, 100):
        rows = 4 * math.prod(grad.shape[1:3]) * math.prod(weight.shape[1:])
        monkeypatch.setattr(module, "BLOCK_BYTES", images * rows)
        total = torch.ones_like(weight)
        module.add_by_columns(total, x, grad, case[-1])
        torch.testing.assert_close(total.double(), 1 + expected, rtol=1e-4, atol=1e-4)


@needs_bf16
@each_row("precision", ["bf16", "fp32"])
def test_a_layer_in_bfloat16_takes_it_and_rounds_as_bfloat16(precision, rng, monkeypatch):
    taken, real = [], module.add_by_columns
    monkeypatch.setattr(module, "has_tiles", lambda: True)
    monkeypatch.setattr(module, "add_by_columns", lambda *given: taken.append(real(*given)))
    x, grad, weight = drawn((6, 8, 8, 32, 16, (3, 3), (1, 1)), rng)
    counts, synapse = Spikes((x > 1).to(torch.uint8)[None], scale=0.5), Synapse(weight, None, PLACE, precision)
    total, grad = torch.zeros_like(weight), grad.to(synapse.backward_dtype)
    synapse.add_weight_grad(total, counts, grad[None], events=False)
    expected = oracle(counts.floats()[0], grad, weight, (1, 1))
    assert len(taken) == (precision == "bf16")
    assert (total - expected).norm() / expected.norm() < 2**-8


@each_row(
    "pays, tiles, size, stride, dilation, groups",
    [
        (True, True, (8, 8), (1, 1), (1, 1), 1),
        (False, False, (8, 8), (1, 1), (1, 1), 1),
        (False, True, (9, 8), (1, 1), (1, 1), 1),
        (False, True, (8, 8), (2, 1), (1, 1), 1),
        (False, True, (8, 8), (1, 1), (1, 2), 1),
        (False, True, (8, 8), (1, 1), (1, 1), 2),
    ],
)
def test_it_is_taken_for_small_plain_maps_on_a_processor_with_tiles(
    pays, tiles, size, stride, dilation, groups, monkeypatch
):
    monkeypatch.setattr(module, "has_tiles", lambda: tiles)
    assert module.columns_pay(size, stride, dilation, groups) is pays


def test_what_has_no_event_driven_way_goes_dense():
    x = Spikes(torch.zeros(1, 1, 8, 8, 64, dtype=torch.uint8), 1.0, 1, 0.0)
    weight = torch.zeros(64, 64, 3, 3)
    for geometry in (Geometry(dilation=(2, 2)), Geometry(groups=2)):
        synapse = Synapse(weight[:, : 64 // geometry.groups], None, geometry)
        assert goes_by_events(synapse, x, Compute(events="measured")) == (False, False)
    floats = Spikes(torch.zeros(1, 1, 8, 8, 64))
    assert goes_by_events(Synapse(weight, None, Geometry()), floats, Compute(events="fixed")) == (False, False)


@each_row("deterministic, below", [(True, (0.5, 2.0)), (False, (0.5, 0.5))])
def test_the_fixed_rule_and_what_deterministic_algorithms_ask_for(deterministic, below):
    """Half of an event a place, forward and for the weight gradient; deterministic gradients always go by events."""
    torch.use_deterministic_algorithms(deterministic)

    def ways(channels: int, density: float, *kernel: int) -> tuple[bool, bool]:
        synapse = Synapse(torch.zeros(channels, channels, *kernel), None, PLACE if kernel else Geometry())
        x = Spikes(torch.zeros(1, 1, 8, 8, channels, dtype=torch.uint8), 1.0, 1, density)
        return goes_by_events(synapse, x, Compute(events="fixed"))

    for density in (0.1, 0.9):
        assert ways(64, density, 3, 3) == (density < below[0], density < below[1])
        assert ways(8, density, 3, 3) == (False, deterministic), "too small"
    assert ways(64, 0.1) == (True, deterministic), "a fully connected layer's weight gradient goes dense"


@each_row(
    "kernel, stride, padding",
    [((3, 3), (1, 1), (1, 1)), ((3, 3), (2, 2), (1, 1)), ((1, 1), (1, 1), (1, 1)), ((2, 3), (3, 1), (0, 2))],
)
def test_the_crossover_is_measured_once_and_decides(kernel, stride, padding, monkeypatch):
    torch.use_deterministic_algorithms(False)
    monkeypatch.setattr(module, "_MEASURED", {})
    synapse = Synapse(torch.zeros(16, 16, *kernel), None, Geometry(stride, padding))
    x = Spikes(torch.zeros(1, 1, 8, 7, 16, dtype=torch.uint8), 1.0, 1, 0.2)
    found = crossover(synapse, x)
    assert min(found) >= 0
    assert crossover(synapse, x) == found
    forward, weight_grad = module._MEASURED
    for measured, decision in (((0.3, 0.1), (True, False)), ((0.1, 0.3), (False, True))):
        module._MEASURED |= {forward: measured[0], weight_grad: measured[1]}
        assert goes_by_events(synapse, x, Compute(events="measured")) == decision
    assert goes_by_events(synapse, x, Compute(events="never")) == (False, False)
    low = Synapse(synapse.weight, None, synapse.geometry, "bf16-grad")
    assert crossover(low, x)[0] == 0.1, "precisions with one forward pass share its crossover"
    assert len(module._MEASURED) == 3


def parameter(*shape: int) -> nn.Parameter:
    return nn.Parameter(torch.ones(shape))


def synapse_of(held: Prepared, weight: nn.Parameter, bias: nn.Parameter | None = None) -> Synapse:
    return held.synapse(weight, bias, Geometry(), "fp32")


def test_a_weight_with_two_biases_is_two_synapses():
    held, weight, biases = Prepared(), parameter(2, 4), [parameter(2), parameter(2)]
    found = [synapse_of(held, weight, bias) for bias in biases]
    assert found[0] is not found[1]
    assert [synapse_of(held, weight, bias) for bias in biases] == found


CHANGES = {
    "in place": lambda weight: weight.add_(1),
    "another storage": lambda weight: weight.set_(torch.zeros(weight.shape)),
    "told": lambda weight: weights_changed(),
    "swapped": lambda weight: torch.utils.swap_tensors(weight, nn.Parameter(torch.zeros(weight.shape))),
}


@each_row("kind", CHANGES)
@each_row("which", [0, 1])
def test_a_change_of_weight_or_bias_makes_it_anew(which, kind):
    held, given = Prepared(), (parameter(2, 4), parameter(2))
    before = synapse_of(held, *given)
    with torch.no_grad():
        CHANGES[kind](given[which])
    assert synapse_of(held, *given) is not before


def test_a_tensor_of_one_pass_is_not_kept_nor_by_a_copy():
    held, weight, of_a_pass = Prepared(), parameter(2, 4), torch.ones(2, 4)
    with torch.inference_mode():
        of_inference = parameter(2, 4)
    for given in (of_a_pass, of_inference):
        assert synapse_of(held, given) is not synapse_of(held, given)
    first = synapse_of(held, weight)
    for other in (copy.deepcopy(held), pickle.loads(pickle.dumps(held))):
        assert synapse_of(other, weight) is not first


def test_biases_that_were_replaced_do_not_add_up():
    held, weight, last = Prepared(), parameter(2, 4), parameter(2)
    for _ in range(3 * BIASES):
        synapse_of(held, weight, parameter(2))
    kept = synapse_of(held, weight, last)
    assert synapse_of(held, weight, last) is kept
    assert len(held._held) == BIASES
