"""Gradients and the loss along them: against autograd's own, a hand loop, and a network that is left as it was."""

import copy
import math
from functools import partial

import pytest
import torch
import torch.nn.functional as F

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.stability.gradients import AlongGradient, gradient_norms, loss_along_gradient
from bntt.models import resnet20, vgg6
from bntt.nn import PoissonEncoder, SpikingClassifier
from tests.kernels import choose, needs_kernels


def classifier(norm: str, kind: str = "vgg6", **options) -> SpikingClassifier:
    if kind == "vgg6":
        net = vgg6(num_steps=3, width=0.25, image_size=8, norm=norm, num_classes=4, **options)
    else:
        net = resnet20(num_steps=3, width=0.25, in_channels=1, norm=norm, residual=kind, num_classes=4, **options)
    if norm == "none":  # else hardly a neuron fires
        with torch.no_grad():
            for part in net.blocks.parameters():
                part.mul_(2)
    return SpikingClassifier(PoissonEncoder(3, mean=[0.5], std=[0.3]), net)


def double(norm: str) -> SpikingClassifier:
    """In float64 and plain PyTorch, where differences are exact enough."""
    model = classifier(norm).double()
    choose(model.network, backend="reference")
    return model


@pytest.fixture
def batch(rng):
    return torch.rand(6, 1, 8, 8, generator=rng), torch.tensor([0, 1, 2, 3, 0, 1])


def by_autograd(model, images, labels, **noise) -> tuple[float, dict[str, torch.Tensor]]:
    """The loss of a training pass in plain PyTorch, and the gradient norms of what hooks kept of it."""
    model, kept = copy.deepcopy(model).train(), {}
    choose(model.network, backend="reference")
    for name, layer in model.network.layers.items():
        if layer.norm is not None:

            def keep(module, args, name=name):
                args[0].retain_grad()
                kept[name] = args[0]

            layer.norm.register_forward_pre_hook(keep)
    loss = F.cross_entropy(model(images, **noise), labels)
    loss.backward()
    return float(loss.detach()), {name: x.grad.double().flatten(1).norm(dim=1) for name, x in kept.items()}


@pytest.mark.parametrize(("norm", "kind"), [*((norm, "vgg6") for norm in ("none", "bntt", "tdbn")), ("tab", "basic")])
def test_gradient_norms_are_autograds(norm, kind, batch):
    model, index = classifier(norm, kind), torch.arange(7, 13)
    choose(model.network, backend="reference")
    loss, theirs = by_autograd(model, *batch, seed=3, index=index, draw=FIRST_DRAW)
    ours = gradient_norms(model, *batch, seed=3, index=index)
    assert ours.loss == pytest.approx(loss, rel=1e-5)
    assert list(ours.norms) == list(theirs)
    for name, row in theirs.items():
        assert torch.allclose(ours.norms[name], row, rtol=1e-3), name
        assert row.gt(0).any()


@needs_kernels
@pytest.mark.parametrize("norm", ["bntt", "tdbn"])
def test_the_kernels_give_the_same(norm, batch):
    """But for membranes on the threshold's other side; also of a layer that is frozen."""
    model, found = classifier(norm), []
    for name, parameter in model.named_parameters():
        parameter.requires_grad_("conv1" not in name)
    for backend in ("reference", "auto"):
        choose(model.network, backend=backend)
        found += [gradient_norms(model, *batch), loss_along_gradient(model, *batch, steps=(0.1, 1.0))]
    plain, along, fused, fused_along = found
    assert list(fused.norms) == list(plain.norms) == list(model.network.blocks)
    exact = F.cross_entropy(copy.deepcopy(model).train()(batch[0], seed=0, draw=FIRST_DRAW), batch[1])
    assert fused.loss == pytest.approx(float(exact.detach()), rel=1e-5), "the seed and draw that it says"
    assert fused.loss == pytest.approx(plain.loss, rel=0.05)
    for name, row in plain.norms.items():
        assert row.gt(0).any(), name
        assert torch.allclose(fused.norms[name], row, rtol=0.2, atol=1e-4), name
    assert fused_along.norm == pytest.approx(along.norm, rel=0.2)
    assert fused_along.loss == pytest.approx(along.loss, rel=0.2)


def test_the_loss_along_the_gradient_is_a_hand_loops(batch):
    images, labels = batch[0].double(), batch[1]
    model, noise = double("bntt"), {"seed": 2, "index": torch.arange(4, 10), "draw": 9}
    found = loss_along_gradient(model, images, labels, (0.5, 0.1), **noise)
    start = copy.deepcopy(model).train()
    loss = F.cross_entropy(start(images, **noise), labels)
    loss.backward()
    flat = torch.cat([p.grad.flatten() for p in start.parameters()])
    assert found.steps == (0.5, 0.1)
    assert found.start == pytest.approx(float(loss.detach()), rel=1e-12)
    assert found.norm == pytest.approx(float(flat.norm()), rel=1e-12)
    promised = [float(loss.detach()) - eta * float(flat.square().sum()) for eta in (0.5, 0.1)]
    assert found.predicted == pytest.approx(promised, rel=1e-12)
    for eta, there, change in zip(found.steps, found.loss, found.change, strict=True):
        moved = copy.deepcopy(model).train()
        with torch.no_grad():
            for p, q in zip(moved.parameters(), start.parameters(), strict=True):
                p -= eta * q.grad
        moved_loss = F.cross_entropy(moved(images, **noise), labels)
        moved_loss.backward()
        away = torch.cat([p.grad.flatten() for p in moved.parameters()]) - flat
        assert there == pytest.approx(float(moved_loss.detach()), rel=1e-12)
        assert change == pytest.approx(float(away.norm()), rel=1e-10)
        assert there != found.start


def test_range_and_prediction():
    found = AlongGradient(steps=(0.5, 1.0), start=2.0, norm=2.0, loss=(1.5, 3.0), change=(3.0, 4.0))
    assert found.range == (1.5, 3.0)
    assert found.predicted == (0.0, -2.0)
    lost = found.model_copy(update={"loss": (None, 3.0), "change": (3.0, None)})
    assert lost.range == (None, None)


def test_another_loss_is_followed(batch):
    smooth = partial(F.cross_entropy, label_smoothing=0.5)
    model = classifier("bntt")
    assert gradient_norms(model, *batch, loss=smooth).loss != gradient_norms(model, *batch).loss
    assert loss_along_gradient(model, *batch, steps=(0.1,), loss=smooth).start == pytest.approx(
        gradient_norms(model, *batch, loss=smooth).loss, rel=1e-5
    )


def test_where_the_gradient_is_not_finite_there_is_no_way(batch):
    def steep(logits, labels):
        return 1e38 * F.cross_entropy(1e6 * logits, labels)

    found = loss_along_gradient(classifier("none"), *batch, steps=(0.1, 0.2), loss=steep)
    assert (found.norm, found.loss, found.change) == (None, (None, None), (None, None))


def test_steps_must_lead_somewhere(batch):
    for steps in ((), (0.1, 0.0), (math.nan,), (math.inf,), (-1.0,)):
        with pytest.raises(ValueError, match="step sizes"):
            loss_along_gradient(classifier("bntt"), *batch, steps=steps)
    still = classifier("bntt").requires_grad_(False)
    assert gradient_norms(still, *batch).norms.keys() == still.network.blocks.keys(), "currents have gradients"
    with pytest.raises(ValueError, match="no parameter"):
        loss_along_gradient(still, *batch, steps=(0.1,))
