"""Which parameters decay, PyTorch's own classes, and a state that goes out by name and comes back."""

import json

import pytest
import torch

from bntt.models import mlp
from bntt.nn import LIF, SpikeCount
from bntt.training import Method, optimizer_of
from bntt.training.optimizer import optimizer_state, restored_state
from tests.rows import each_row


def net(**options):
    return mlp(in_features=3, hidden=(4,), num_classes=2, num_steps=2, **options)


def learn(model, step=0):
    """From rows that differ: of equal ones batch statistics leave no current, and every gradient is 0."""
    x = 3 * torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(step))
    (model(x) + 1).square().mean().backward()
    assert all(parameter.grad.any() for parameter in model.parameters())


def spike_counted():
    """With leaks that learn, in its readout too."""
    own = net(learn_leak="channel")
    own.readout = SpikeCount(own.readout.synapse, LIF(learn_leak=True))
    return own


@each_row(
    "model, of_norms",
    [
        (net(), {"gamma"}),
        (net(norm="layer"), {"gamma"}),
        (net(norm="tebn"), {"gamma", "beta", "step_scale"}),
        (spike_counted(), {"gamma"}),
    ],
)
def test_what_a_norm_learns_has_a_decay_of_its_own_and_leaks_have_none(model, of_norms):
    optimizer = optimizer_of(model, Method(weight_decay=0.1, gamma_decay=0.2))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    found = {names[id(p)]: group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert found.keys() == set(names.values())
    for name, decay in found.items():
        assert decay == (0.2 if ".norm." in name else 0.0 if "leak" in name else 0.1), name
    assert {name.rpartition(".")[2] for name in found if ".norm." in name} == of_norms


@each_row(
    ("method", "make"),
    [
        (Method(), lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.9, weight_decay=5e-4)),
        (
            Method(nesterov=True, momentum=0.8),
            lambda p: torch.optim.SGD(p, lr=0.3, momentum=0.8, weight_decay=5e-4, nesterov=True),
        ),
        (Method(optimizer="adam", lr=0.01), lambda p: torch.optim.Adam(p, lr=0.01, weight_decay=5e-4)),
        (
            Method(optimizer="adamw", lr=0.01, momentum=0.8, beta2=0.9, amsgrad=True, weight_decay=0.1),
            lambda p: torch.optim.AdamW(p, lr=0.01, betas=(0.8, 0.9), amsgrad=True, weight_decay=0.1),
        ),
    ],
)
def test_updates_are_pytorchs(method, make):
    mine, theirs = net(seed=1), net(seed=1)
    first, second = optimizer_of(mine, method), make(theirs.parameters())
    for step in range(3):
        for model, optimizer in ((mine, first), (theirs, second)):
            optimizer.zero_grad()
            learn(model, step)
            optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(mine.parameters(), theirs.parameters(), strict=True))


def assert_restored(first, second):
    before, after = first.state_dict()["state"], second.state_dict()["state"]
    assert before.keys() == after.keys()
    for place, state in before.items():
        assert state.keys() == after[place].keys()
        for key, value in state.items():
            assert value.any()
            assert torch.equal(value, after[place][key])
            assert value is not after[place][key]


@each_row("make", [optimizer_of, lambda one: torch.optim.Adafactor(one.parameters(), lr=0.01)])
def test_a_state_goes_out_and_comes_back(make):
    """Adafactor has moments of rows and of columns."""
    model, other, wide = net(seed=1), net(seed=2), mlp(in_features=5, hidden=(4,), num_classes=2, num_steps=2)
    first, second = make(model), make(other)
    learn(model)
    first.step()
    tensors, facts = optimizer_state(first, model)
    assert any(name.startswith("blocks.fc1.norm.gamma.") for name in tensors)
    second.load_state_dict(restored_state(second, other, tensors, facts))
    restored_state(second, other, tensors, facts, Method())  # the settings are the method's, with no JSON between
    assert_restored(first, second)
    with pytest.raises(ValueError, match=r"fc1.synapse.1.weight.* the parameter is \[4, 5\]"):
        restored_state(make(wide), wide, tensors, facts)


def test_a_rate_that_is_a_tensor_is_kept_as_a_number():
    first, second = (torch.optim.Adam(net().parameters(), lr=torch.tensor(rate)) for rate in (0.5, 0.25))
    tensors, facts = optimizer_state(first, model := net())
    assert json.loads(json.dumps(facts))["groups"][0]["lr"] == 0.5
    second.load_state_dict(restored_state(second, model, tensors, facts))
    assert torch.equal(second.param_groups[0]["lr"], torch.tensor(0.5))


def test_a_state_of_another_model_or_kind_is_refused():
    model = net()
    optimizer, adam = optimizer_of(model), torch.optim.Adam(model.parameters())
    learn(model)
    optimizer.step()
    tensors, facts = optimizer_state(optimizer, model)
    renamed = {name.replace("fc1", "fc9"): value for name, value in tensors.items()}
    with pytest.raises(ValueError, match="fc9"):
        restored_state(optimizer, model, renamed, facts)
    with pytest.raises(ValueError, match=r"groups of \[1\] parameters"):
        restored_state(optimizer, model, tensors, {**facts, "groups": [{**facts["groups"][0], "params": [0]}]})
    with pytest.raises(ValueError, match="decoupled_weight_decay"):  # only this flag tells Adam from AdamW
        restored_state(torch.optim.AdamW(model.parameters()), model, *optimizer_state(adam, model))


def grouped(model, order, rate=7.0):
    """Adam whose norms have a group of their own; ``order`` turns the groups, and the parameters in them."""
    norms = [one for name, one in model.named_parameters() if ".norm." in name]
    rest = [one for name, one in model.named_parameters() if ".norm." not in name]
    groups = [{"params": rest[::order], "lr": rate}, {"params": norms[::order], "lr": rate / 50, "betas": (0.5, 0.6)}]
    return torch.optim.Adam(groups[::order])


def test_groups_are_found_by_their_parameters_in_whatever_order():
    model, other = net(norm="bntt-beta"), net(norm="bntt-beta")
    first, second = grouped(model, 1, 0.1), grouped(other, -1)
    learn(model)
    first.step()
    tensors, facts = optimizer_state(first, model)
    second.load_state_dict(restored_state(second, other, tensors, json.loads(json.dumps(facts))))
    assert [group["lr"] for group in second.param_groups] == [0.002, 0.1]
    other.load_state_dict(model.state_dict())
    for one, optimizer in ((model, first), (other, second)):
        optimizer.zero_grad()
        learn(one, 1)
        optimizer.step()
    assert all(torch.equal(a, b) for a, b in zip(model.parameters(), other.parameters(), strict=True))


def test_groups_of_other_parameters_are_refused_and_older_states_taken_by_position():
    model, other = net(), net()
    first, second = grouped(model, 1, 0.1), grouped(other, 1)
    second.param_groups[0]["params"][0], second.param_groups[1]["params"][0] = (
        group["params"][0] for group in second.param_groups[::-1]
    )
    tensors, facts = optimizer_state(first, model)
    with pytest.raises(ValueError, match=r"none here steps just .*weight"):
        restored_state(second, other, tensors, facts)
    old = {key: value for key, value in facts.items() if key != "names"}
    assert [group["lr"] for group in restored_state(second, other, tensors, old)["param_groups"]] == [0.1, 0.002]
    with pytest.raises(ValueError, match=r"groups of \[2, 1\] parameters"):
        restored_state(grouped(other, -1), other, tensors, old)
