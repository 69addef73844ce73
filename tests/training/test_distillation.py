"""A teacher's answers beside the labels: the loss against the oracle, and what a training keeps of the teacher."""

import numpy as np
import pytest
import torch

from bntt.training import Distillation, Method, Session, cross_entropy, distilled
from bntt.training.objective import BatchLoss
from tests.rows import each_row
from tests.training.test_batch_loss import INDEX, LABELS, X, model


def teacher(seed=1, steps=2):
    return model(steps, seed=seed)


def test_the_distance_from_the_answers_and_its_gradient(rng):
    """τ² Σ q (log q - log p), whose gradient is τ (p - q), both over the batch."""
    logits, answers = (torch.randn(6, 5, generator=rng, dtype=torch.float64).mul_(3) for _ in range(2))
    loss = distilled(logits.requires_grad_(), answers, 3.0)
    loss.backward()
    p, q = (
        np.exp(one / 3) / np.exp(one / 3).sum(1, keepdims=True) for one in (logits.detach().numpy(), answers.numpy())
    )
    assert loss.item() == pytest.approx(9 * (q * (np.log(q) - np.log(p))).sum(1).mean(), abs=1e-12)
    assert np.abs(logits.grad.numpy() - 3 * (p - q) / 6).max() < 1e-12


@each_row("method", [Method(label_smoothing=0.1), Method(loss="tet")])
def test_the_loss_is_mixed_with_it_on_the_batch_that_the_network_sees(method):
    """With the same noise, by the teacher's own steps and running statistics; only the network gets gradients."""
    made, known = model(), teacher().train()
    own = Distillation(known, share=0.3, temperature=2.5)
    before = {name: value.clone() for name, value in own.teacher.state_dict().items()}
    assert known.training
    of = BatchLoss(made, method, seed=4, own=own)
    mixed, right = of(X, LABELS, INDEX, draw=2, steps=2)
    usual, as_usual = BatchLoss(made, method, seed=4)(X, LABELS, INDEX, draw=2, steps=2)
    answers = known.eval()(X, seed=4, index=INDEX, draw=2).detach()
    assert not torch.equal(answers, known(X, seed=5, index=INDEX, draw=2))
    logits = made(X, seed=4, index=INDEX, draw=2, steps=2)
    assert mixed.item() == pytest.approx(0.7 * usual.item() + 0.3 * distilled(logits, answers, 2.5).item(), rel=1e-5)
    assert torch.equal(right, as_usual)
    weights = list(made.parameters())
    found = torch.autograd.grad(mixed, weights)
    parts = (torch.autograd.grad(one, weights) for one in (usual, distilled(logits, answers, 2.5)))
    expected = [0.7 * one + 0.3 * other for one, other in zip(*parts, strict=True)]
    torch.testing.assert_close(list(found), expected)
    torch.testing.assert_close(own.teacher.state_dict(), before, rtol=0, atol=0)
    assert all(one.requires_grad for one in known.parameters())


def test_a_network_can_teach_itself_as_it_was():
    """The copy stays; with a share of 1 the labels do not count, and the first distance is 0 where both run alike."""
    made = model().eval()
    of = BatchLoss(made, Method(), seed=4, own=Distillation(made, share=1.0))
    losses = [of(X, labels, INDEX, draw=0, steps=3)[0].item() for labels in (LABELS, LABELS.flip(0))]
    assert losses == pytest.approx([0, 0], abs=1e-6)
    with torch.no_grad():
        made.network.readout.synapse.weight.neg_()
    assert of(X, LABELS, INDEX, draw=0, steps=3)[0] > 0.01


def test_a_training_goes_on_with_the_same_teacher_only():
    def session(own):
        return Session(model(), [(X, LABELS)], epochs=1, loss=own)

    first = session(Distillation(teacher()))
    next(first.records())
    session(Distillation(teacher())).load(*first.state())
    others = (Distillation(teacher(2)), Distillation(teacher(), share=0.4), Distillation(teacher(), temperature=1.0))
    for own in (*others, None, cross_entropy):
        with pytest.raises(ValueError, match=r"minimises .*Distillation\(share=0.5"):
            session(own).load(*first.state())


@each_row("named, wrong", [("share", 0.0), ("share", 1.5), ("temperature", 0.0), ("temperature", float("inf"))])
def test_what_cannot_teach(named, wrong):
    with pytest.raises(ValueError, match=f"got .*{named} {wrong}"):
        Distillation(teacher(), **{named: wrong})
    with pytest.raises(TypeError, match="SpikingClassifier"):
        Distillation(teacher().network)
    with pytest.raises(ValueError, match="classes"):
        distilled(torch.zeros(5, 4), torch.zeros(5, 5))
