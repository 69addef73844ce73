"""Which parameters decay, PyTorch's own classes, and a state that goes out by name and comes back."""

import json

import pytest
import torch

from bntt.models import mlp, vgg6
from bntt.nn import LIF, FrameEncoder, SpikeCount, SpikingClassifier
from bntt.training import Method, optimizer_of
from bntt.training.optimizer import check_given, optimizer_state, restored_state
from tests.rows import each_row


def net(**options):
    return mlp(in_features=3, hidden=(4,), num_classes=2, num_steps=2, **options)


def learn(model, step=0):
    """From rows that differ: of equal ones batch statistics leave no current, and every gradient is 0."""
    x = 3 * torch.randn(2, 8, 3, generator=torch.Generator().manual_seed(step))
    (model(x) + 1).square().mean().backward()
    assert all(parameter.grad.any() for parameter in model.parameters())


def decays(model, method):
    names = {id(p): name for name, p in model.named_parameters()}
    return {names[id(p)]: g["weight_decay"] for g in optimizer_of(model, method).param_groups for p in g["params"]}


def test_by_default_everything_decays_alike_gamma_too():
    model = vgg6(num_steps=2)
    found = decays(model, Method())
    assert set(found.values()) == {5e-4}
    assert len(found) == len(list(model.parameters()))
    assert "blocks.conv1.norm.gamma" in found


@each_row("norm", ["bntt", "tebn", "layer"])
def test_what_a_norm_learns_has_a_decay_of_its_own(norm):
    found = decays(net(norm=norm), Method(weight_decay=0.1, gamma_decay=0.2))
    assert {name: decay for name, decay in found.items() if ".norm." not in name} == {
        "blocks.fc1.synapse.1.weight": 0.1,
        "readout.synapse.weight": 0.1,
    }
    of_norms = {name.rpartition(".")[2]: decay for name, decay in found.items() if ".norm." in name}
    expected = {"tebn": {"gamma", "beta", "step_scale"}}.get(norm, {"gamma"})
    assert of_norms == dict.fromkeys(expected, 0.2)


def test_leaks_never_decay():
    found = decays(net(learn_leak="channel"), Method())
    assert [decay for name, decay in found.items() if "leak" in name] == [0.0]
    own = net(learn_leak="channel")
    own.readout = SpikeCount(own.readout.synapse, LIF(learn_leak=True))
    assert [decay for name, decay in decays(own, Method()).items() if "leak" in name] == [0.0, 0.0]


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


@each_row("name", ["sgd", "adam", "adamw"])
def test_a_state_goes_out_and_comes_back(name):
    method = Method(optimizer=name, lr=0.01, amsgrad=name == "adamw")
    model, other = net(seed=1), net(seed=2)
    optimizer, fresh = optimizer_of(model, method), optimizer_of(other, method)
    learn(model)
    optimizer.step()
    tensors, facts = optimizer_state(optimizer, model)
    assert any(key.startswith("blocks.fc1.norm.gamma.") for key in tensors)
    assert all(value.any() for value in tensors.values())
    fresh.load_state_dict(restored_state(fresh, other, tensors, facts))
    restored_state(fresh, other, tensors, facts, method)  # the settings are the method's, with no JSON between
    before, after = optimizer.state_dict(), fresh.state_dict()
    assert before["param_groups"] == after["param_groups"]
    for place, state in before["state"].items():
        assert state.keys() == after["state"][place].keys()
        assert all(torch.equal(value, after["state"][place][key]) for key, value in state.items())
        assert all(value is not after["state"][place][key] for value in state.values() for key in state)


def test_moments_of_rows_and_columns_come_back():
    model, other = net(seed=1), net(seed=2)
    first, second = (torch.optim.Adafactor(one.parameters(), lr=0.01) for one in (model, other))
    learn(model)
    first.step()
    tensors, facts = optimizer_state(first, model)
    second.load_state_dict(restored_state(second, other, tensors, facts))
    assert any(name.endswith("row_var") and value.shape[-1] == 1 for name, value in tensors.items())
    before, after = first.state_dict()["state"], second.state_dict()["state"]
    assert before.keys() == after.keys()
    for place, state in before.items():
        assert state.keys() == after[place].keys()
        assert all(value.any() and torch.equal(value, after[place][key]) for key, value in state.items())
    wide = mlp(in_features=5, hidden=(4,), num_classes=2, num_steps=2)
    with pytest.raises(ValueError, match=r"col_var is \["):
        restored_state(torch.optim.Adafactor(wide.parameters(), lr=0.01), wide, tensors, facts)


def test_a_rate_that_is_a_tensor_is_kept_as_a_number():
    first, second = (torch.optim.Adam(net().parameters(), lr=torch.tensor(rate)) for rate in (0.5, 0.25))
    tensors, facts = optimizer_state(first, model := net())
    assert json.loads(json.dumps(facts))["groups"][0]["lr"] == 0.5
    second.load_state_dict(restored_state(second, model, tensors, facts))
    assert torch.equal(second.param_groups[0]["lr"], torch.tensor(0.5))


def test_a_state_of_another_model_is_refused():
    model, other = net(), mlp(in_features=5, hidden=(4,), num_classes=2, num_steps=2)
    optimizer, fresh = optimizer_of(model), optimizer_of(other)
    model(torch.ones(2, 3, 3)).sum().backward()
    optimizer.step()
    tensors, facts = optimizer_state(optimizer, model)
    with pytest.raises(
        ValueError, match=r"fc1.synapse.1.weight.momentum_buffer is \[4, 3\], the parameter is \[4, 5\]"
    ):
        restored_state(fresh, other, tensors, facts)
    renamed = {name.replace("fc1", "fc9"): value for name, value in tensors.items()}
    with pytest.raises(ValueError, match=r"fc9.* is no parameter of this optimiser"):
        restored_state(optimizer, model, renamed, facts)
    with pytest.raises(ValueError, match=r"groups of \[1\] parameters"):
        restored_state(optimizer, model, tensors, {**facts, "groups": [{**facts["groups"][0], "params": [0]}]})


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
    outside = [torch.nn.Parameter(torch.zeros(size)) for size in (2, 3)]
    stepped = [torch.optim.Adam([*model.parameters(), one]) for one in outside]
    (model(torch.ones(2, 8, 3)).sum() + outside[0].sum()).backward()
    stepped[0].step()
    with pytest.raises(ValueError, match=r"other3.exp_avg is \[2\], the parameter is \[3\]"):
        restored_state(stepped[1], model, *optimizer_state(stepped[0], model))


def test_a_state_of_adam_is_none_of_adamw():
    """Their groups have the same keys, and only a flag tells them apart."""
    model = net()
    adam, adamw = torch.optim.Adam(model.parameters()), torch.optim.AdamW(model.parameters())
    with pytest.raises(ValueError, match="trained with decoupled_weight_decay False, this training has True"):
        restored_state(adamw, model, *optimizer_state(adam, model))


def test_an_optimizer_that_does_not_step_the_model():
    model = SpikingClassifier(FrameEncoder(2), net())
    check_given(model, None, torch.optim.SGD(model.network.blocks.parameters(), lr=0.1))
    with pytest.raises(ValueError, match=r"steps no parameter of the model that learns: make the optimizer"):
        check_given(model, None, torch.optim.SGD(net().parameters(), lr=0.1))
