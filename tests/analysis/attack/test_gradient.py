"""Input gradients: against autograd by hand, fused against plain, over draws; the model is left as it was."""

import pytest
import torch
import torch.nn.functional as F

import bntt
from bntt.analysis.attack.attacks import estimators_of, input_gradient, mean_loss
from bntt.nn import BNTT, DirectEncoder, NoisyEncoder, NoNorm, PoissonEncoder, SpikingClassifier
from tests.analysis.attack.models import MEAN, STD, Cut, Hidden, conv_model, some
from tests.kernels import VARIANTS, needs_kernels

STAND_IN = {"straight_through": lambda x: x, "expected": lambda x: (x / 2).clamp(-1, 1)}


def by_hand(model, images, labels, index, estimator, draws, draw):
    """Spikes as constants, with what stands in for them added and taken away: PyTorch differentiates the rest."""
    total, losses = torch.zeros_like(images), []
    for number in range(draws):
        x = images.clone().requires_grad_()
        normal = (x - MEAN) / STD
        spikes = model.encoder.spikes(normal.detach(), seed=3, index=index, draw=draw + number)
        soft = STAND_IN[estimator](normal)
        loss = F.cross_entropy(model.network(spikes + (soft - soft.detach())), labels, reduction="none")
        total += torch.autograd.grad(loss.sum(), x)[0] / draws
        losses.append(loss.detach())
    return total, torch.stack(losses).mean(0)


@pytest.mark.parametrize(("estimator", "draws"), [("straight_through", 3), ("expected", 1)])
def test_it_is_the_gradient_of_the_mean_loss(estimator, draws):
    model, (images, labels, index) = conv_model(), some()
    images[0, 0, 0, :3] = torch.tensor([0.999, 0.95, 0.0])  # beyond |x| = 2 the expected spike has no slope
    found = input_gradient(model, images, labels, estimator=estimator, draws=draws, seed=3, draw=7, index=index)
    gradient, loss = by_hand(model, images, labels, index, estimator, draws, 7)
    assert torch.allclose(found, gradient, rtol=1e-10, atol=1e-14)
    assert found.flatten(1).any(1).all()
    assert torch.allclose(mean_loss(model, images, labels, draws=draws, seed=3, draw=7, index=index), loss, rtol=1e-12)


@needs_kernels
def test_fused_and_plain_agree():
    plain, fused = (conv_model(steps=3, dtype=torch.float32, backend=name) for name in ("reference", "cpu"))
    images, labels, index = some(dtype=torch.float32)
    one, other = (input_gradient(m, images, labels, estimator="expected", draws=2, index=index) for m in (plain, fused))
    assert (one - other).norm() < 1e-5 * one.norm()


@pytest.mark.skipif(VARIANTS[-1] in ("none", "portable"), reason="needs fused multiply-add")
def test_it_never_goes_by_winograd_whose_errors_are_those_of_a_tile():
    """The same bits whatever the network's choice, which stays after errors too; gradients of a training differ."""
    net = bntt.models.vgg6(num_classes=4, num_steps=3, in_channels=3)
    model = SpikingClassifier(DirectEncoder(3), net)
    images, labels, index = some(dtype=torch.float32, shape=(3, 28, 28))
    found, trained = [], []
    for choice in ("winograd", "direct"):
        net.compute = bntt.Compute(input_grad=choice)
        found.append(input_gradient(model, images, labels, estimator="exact", index=index))
        x = images.clone().requires_grad_()
        F.cross_entropy(model.eval()(x, index=index), labels).backward()
        trained.append(x.grad)
        with pytest.raises(IndexError):
            input_gradient(model, images, labels + 9, estimator="exact", index=index)
        assert net.compute == bntt.Compute(input_grad=choice)
    assert found[0].any()
    assert torch.equal(*found)
    assert not torch.equal(*trained)


def test_direct_coding_has_its_own_derivative():
    model = conv_model(encoder=DirectEncoder(4, mean=3 * [MEAN], std=3 * [STD]))
    images, labels, _ = some()
    assert estimators_of(model) == ("exact",)
    noisy = SpikingClassifier(NoisyEncoder(PoissonEncoder(4), 0.1), model.network)
    assert estimators_of(noisy) == ("exact",)  # it is no PoissonEncoder: it has no estimator to set
    found = input_gradient(model, images, labels, estimator="exact")
    x = images.clone().requires_grad_()
    F.cross_entropy(model(x), labels, reduction="sum").backward()
    assert torch.allclose(found, x.grad, rtol=1e-12, atol=1e-16)


def test_what_was_asked_is_given_back_after_an_error():
    model, (images, labels, index) = conv_model(), some()
    model.train()
    with pytest.raises(IndexError):
        input_gradient(model, images, labels + 9, estimator="expected", index=index)
    assert model.training
    assert model.encoder.gradient is None
    assert all(p.requires_grad for p in model.parameters())


def test_an_encoder_that_hides_is_seen_and_one_that_cuts_is_refused():
    images, labels, index = some()
    hidden = conv_model(encoder=Hidden(4))
    found = input_gradient(hidden, images, labels, estimator="exact", draws=2, index=index)
    assert not found.any()
    with pytest.raises(ValueError, match="gradient"):
        input_gradient(conv_model(encoder=Cut(4)), images, labels, estimator="exact", index=index)


def hooked(model, images, labels, index, where):
    """E1, Sharmin et al. 2020: ``conv_transpose(Σ_t dL/da_t, W₁) / std``, where a leaves the first weights, or enters
    the membrane; there the factor γ_t / √(var_t + ε) is left out: only without a norm it is the same."""
    seen, block = [], model.network.blocks["conv1"]
    if where == "weights":
        handle = block.synapse.register_forward_hook(lambda module, args, out: seen.append(out.requires_grad_()))
    else:
        handle = block.lif.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    loss = F.cross_entropy(model(images, seed=3, index=index, draw=7), labels, reduction="sum")
    handle.remove()
    (slope,) = torch.autograd.grad(loss, seen[0])
    summed = slope.reshape(4, len(images), *slope.shape[-3:]).sum(0)
    return F.conv_transpose2d(summed, block.synapse.weight, padding=1) / STD


@pytest.mark.parametrize(("norm", "where"), [(BNTT, "weights"), (NoNorm, "weights"), (NoNorm, "membrane")])
def test_the_hooked_gradient_of_sharmin_is_the_straight_through_gradient(norm, where):
    model, (images, labels, index) = conv_model(norm), some()
    theirs = hooked(model, images, labels, index, where).detach()
    ours = input_gradient(model, images, labels, estimator="straight_through", seed=3, draw=7, index=index)
    assert (theirs - ours).norm() <= 1e-6 * ours.norm()
    assert torch.equal(theirs.sign(), ours.sign())
