"""Names become values once, in the builder."""

import pytest
from jaxtyping import TypeCheckError

from bntt.models import mlp
from bntt.nn import ArcTan, NoNorm, fire_before, hard_reset


def test_names_become_values():
    net = mlp(num_steps=2, fire="before", reset="hard", surrogate="arctan", threshold=0.5, leak=0.7)
    lif = net.blocks["fc1"].lif.neuron
    assert (lif.rule, lif.reset, lif.surrogate) == (fire_before, hard_reset, ArcTan())
    assert (lif.threshold, lif.leak) == (0.5, 0.7)


def test_values_are_taken_as_they_are():
    net = mlp(num_steps=2, fire=fire_before, norm=lambda channels, num_steps, threshold: NoNorm())
    assert net.blocks["fc2"].lif.neuron.rule is fire_before
    assert isinstance(net.blocks["fc2"].norm, NoNorm)


@pytest.mark.parametrize(
    ("option", "message"),
    [
        ({"norm": "bnnt"}, "unknown norm 'bnnt': choose one of bntt, bntt-scaled, tdbn"),
        ({"fire": "sometimes"}, "unknown fire rule 'sometimes': choose one of after, before"),
        ({"reset": "none"}, "unknown reset 'none': choose one of soft, hard"),
        ({"surrogate": "sin"}, "unknown surrogate 'sin': choose one of triangle, fast-sigmoid, arctan"),
        ({"num_classes": 0}, "num_classes must be 1 or more"),
    ],
)
def test_unknown_names_list_the_known(option, message):
    with pytest.raises(ValueError, match=message):
        mlp(num_steps=2, **option)


def test_every_layer_learns_its_own_leak():
    net = mlp(num_steps=2, learn_leak=True)
    assert [name for name, _ in net.named_parameters() if "leak" in name] == [
        "blocks.fc1.lif.leak_logit",
        "blocks.fc2.lif.leak_logit",
    ]


def test_a_leak_is_learned_by_layer_or_channel():
    assert mlp(num_steps=2, learn_leak="layer").blocks["fc1"].lif.leak_logit.shape == ()
    assert mlp(num_steps=2, learn_leak="channel").blocks["fc1"].lif.leak_logit.shape == (256,)
    with pytest.raises((ValueError, TypeCheckError), match="learn_leak"):
        mlp(num_steps=2, learn_leak="neuron")
