"""Whole networks on the Triton kernels: on a GPU where there is one, in the interpreter elsewhere; and what a GPU needs
of the code around them, on the meta device: nothing may be asked of the host, nothing may be made on it."""

from __future__ import annotations

from functools import partial
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

import bntt
from bntt.engine.graph import layer
from bntt.engine.kernels import BackendError, has_bf16
from bntt.nn import SpikingNetwork
from bntt.nn import fuse as plan
from tests.engine.triton import DEVICE
from tests.grids import pairs
from tests.kernels import choose, needs_kernels
from tests.nn import networks
from tests.nn.networks import FORMS, OPTIONS, alike, close, residual, small, spikes_of

pair = partial(networks.pair, backend="triton", device=DEVICE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("make", "recompute"),
    [
        (lambda: small(7, **OPTIONS[0]), "never"),  # so many that the last layer is reached under every rule
        (lambda: small(7, **OPTIONS[3]), 2),
        (lambda: small(7, **OPTIONS[6]), 2),
        *((lambda form=form: residual(form, 7, dropout=0.3), "never") for form in FORMS),
    ],
)
def test_logits_gradients_statistics_and_traces(make, recompute, rng):
    (ours, theirs), x = pair(make()), spikes_of(7, 3, rng).to(DEVICE)
    choose(ours, recompute=recompute)
    assert not ours.plan(x.shape).reason
    for training in (True, False):
        alike(ours.train(training), theirs.train(training), x, all_learn=True)
    traces = [net.trace(x.to(torch.int8)) for net in (ours, theirs)]
    assert close(traces[0].logits, traces[1].logits)
    assert all(torch.equal(traces[0].spikes[name].cpu(), traces[1].spikes[name].cpu()) for name in traces[1].spikes)


@needs_kernels
def test_a_network_on_the_processor_is_refused_where_there_is_a_gpu(monkeypatch, rng):
    net = small(3)
    choose(net, backend="triton")
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda: "a GPU")
    with pytest.raises(BackendError, match=r"'conv1'.*cuda"):
        net(spikes_of(3, 2, rng))


def residual_of(form: str, *, num_steps: int, **_: object) -> SpikingNetwork:
    return residual(form, num_steps)


def door() -> SimpleNamespace:
    """Kernels that only make what they should fill."""

    def table(x: Tensor, dtype: torch.dtype = torch.float32) -> Tensor:
        return x.new_empty(x.shape[0], x.shape[-1], dtype=dtype)

    return SimpleNamespace(
        moments=lambda x, copy: (table(x), table(x)),
        scan=lambda x, *rest: table(x, torch.int64),
        scan_sums=lambda r, *, leak: torch.stack([table(r.current, torch.float64)] * 2),
        scan_reverse=lambda r, *rest: None,
    )


@pairs(
    backend=["reference", "triton"],
    recompute=["never", 2],
    precision=["fp32", "bf16"] if has_bf16() else ["fp32"],
    build=[bntt.models.vgg6, *(partial(residual_of, form) for form in FORMS)],
)
def test_a_training_step_touches_no_other_device_and_waits_for_no_value(
    build, backend, recompute, precision, monkeypatch
):
    """A tensor on the meta device has no values and meets no tensor of the processor: what runs there can be captured
    in a CUDA graph, as far as the host is concerned."""
    monkeypatch.setattr(layer, "open_kernels", lambda kernels: door())
    monkeypatch.setattr(plan, "why_not_here", lambda x, kernels: "")
    net = build(num_classes=10, in_channels=2, image_size=12, num_steps=5, width=0.2).to("meta")
    choose(net, backend=backend, recompute=recompute)
    choose(net, precision=precision if backend == "triton" else "fp32")
    optimizer = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x = torch.empty(5, 3, 2, 12, 12, device="meta")
    for _ in range(2):
        nn.functional.cross_entropy(net(x), torch.zeros(3, dtype=torch.int64, device="meta")).backward()
        optimizer.step()
    assert all(p.grad is not None and p.grad.device.type == "meta" for p in net.parameters())
    assert net.trace(x).logits.device.type == "meta"


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("backend", ["triton", "reference"])
def test_a_training_step_in_a_cuda_graph(backend, rng):
    """Captured and replayed, it trains as it does without."""
    nets = [small(4).to("cuda") for _ in range(2)]
    batches = [spikes_of(4, 6, rng).to("cuda") for _ in range(4)]
    optimizers = [torch.optim.SGD(net.parameters(), lr=0.01) for net in nets]
    for net in nets:
        choose(net, backend=backend, recompute="never")

    def step(which: int, x: Tensor) -> None:
        optimizers[which].zero_grad(set_to_none=True)
        nets[which](x).square().sum().backward()
        optimizers[which].step()

    static, graph = batches[0].clone(), torch.cuda.CUDAGraph()
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for x in batches[:2]:
            step(0, x), step(1, x)
    torch.cuda.current_stream().wait_stream(stream)
    with torch.cuda.graph(graph):
        step(1, static)
    for x in batches[2:]:
        static.copy_(x)
        graph.replay()
        step(0, x)
    for p, q in zip(*(net.parameters() for net in nets), strict=True):
        assert torch.allclose(p, q, rtol=1e-4, atol=1e-5)
