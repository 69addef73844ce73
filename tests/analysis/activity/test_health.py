"""What is wrong with layers: every kind by hand, and what the firing rule explains is none."""

import math
from dataclasses import replace

import pytest
import torch

from bntt.analysis import Activity
from bntt.analysis.activity import Finding
from bntt.analysis.activity.spike_activity import health, untrained_activity
from bntt.models import mlp, resnet20
from bntt.nn import DirectEncoder, SpikingClassifier

STEPS, CHANNELS, SEEN = 5, 4, 10


def chain(layers: int = 3, fire: str = "after", norm: str = "bntt", steps: int = STEPS):
    return mlp(in_features=2, hidden=(CHANNELS,) * layers, num_steps=steps, fire=fire, norm=norm)


def activity(**layers: torch.Tensor) -> Activity:
    """Spikes by layer, of neurons that are as many as the channels."""
    return Activity(SEEN, layers, dict.fromkeys(layers, CHANNELS))


def firing(*silent: int, steps: int = STEPS) -> torch.Tensor:
    """Every channel fires in every step but these."""
    counts = torch.full((steps, CHANNELS), 3.0, dtype=torch.float64)
    counts[list(silent)] = 0
    return counts


def kinds(found: tuple[Finding, ...]) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(one.layer, one.kind, one.steps) for one in found]


def test_dead_layers_and_those_behind_them():
    assert health(activity(fc1=firing(), fc2=firing(), fc3=firing()), chain()) == ()
    found = health(activity(fc1=firing(), fc2=0 * firing(), fc3=0 * firing()), chain())
    assert kinds(found) == [("fc2", "dead", (0, 1, 2, 3, 4)), ("fc3", "dead", (0, 1, 2, 3, 4))]
    assert [one.share for one in found] == [1.0, 1.0]
    assert "weight decay" in found[0].text
    assert "fc2 comes before" in found[1].text
    bare = health(activity(fc1=0 * firing(), fc2=firing(), fc3=firing()), chain(norm="none"))
    assert "give it a norm" in bare[0].text


def test_silent_after_its_first_spike():
    found = health(activity(fc1=firing(1, 2), fc2=firing(3, 4), fc3=firing(0, 1, 2)), chain())
    assert kinds(found) == [("fc1", "silent", (1, 2)), ("fc2", "silent", (3, 4))]
    assert [one.share for one in found] == [0.4, 0.4]
    assert ["fewer steps" in one.text for one in found] == [False, True]


def test_saturated_above_a_rate_of_95_percent():
    full = firing()
    full[2:4] = 0.95 * SEEN
    assert not health(activity(fc1=full, fc2=firing(), fc3=firing()), chain())
    full[2:4] = 0.97 * SEEN
    (found,) = health(activity(fc1=full, fc2=firing(), fc3=firing()), chain())
    assert (found.layer, found.kind, found.steps, found.share) == ("fc1", "saturated", (2, 3), 0.4)
    assert "97.0%" in found.text


def test_channels_that_never_fired():
    some = firing()
    some[:, 1:3] = 0
    once = some.clone()
    once[4, 1] = 1
    found = health(activity(fc1=firing(), fc2=some, fc3=once), chain())
    assert [(one.layer, one.kind, one.share) for one in found] == [("fc2", "idle", 0.5), ("fc3", "idle", 0.25)]


def test_silence_that_the_rule_explains_is_no_fault():
    """In fire_before layer l of 3 is silent in its first l steps, and nobody hears its last 3 - l."""
    net = chain(fire="before")
    by_rule = {"fc1": (0, 3, 4), "fc2": (0, 1, 4), "fc3": (0, 1, 2)}
    assert health(activity(**{name: firing(*steps) for name, steps in by_rule.items()}), net) == ()
    for layer, step in (("fc1", 2), ("fc2", 3), ("fc3", 4)):
        more = by_rule | {layer: (*by_rule[layer], step)}
        found = health(activity(**{name: firing(*steps) for name, steps in more.items()}), net)
        assert kinds(found) == [(layer, "silent", (step,))]


def test_too_few_steps_for_the_rule_are_named():
    net = chain(fire="before", steps=3)
    counts = {"fc1": firing(0, steps=3), "fc2": firing(0, 1, steps=3), "fc3": 0 * firing(steps=3)}
    (found,) = health(activity(**counts), net)
    assert (found.layer, found.kind) == ("fc3", "dead")
    assert "take num_steps=4 or more, or fire='after'" in found.text


def test_variances_that_collapsed_and_what_they_amplify():
    net = chain()
    norm = net.layers["fc2"].norm
    with torch.no_grad():
        norm.running_var[1, 2] = 0.5e-4
        norm.running_var[3, :2] = 0.9e-4
        norm.running_var[4, 0] = 1.1e-4
        norm.gamma[3, 1] = -2.0
    (found,) = health(activity(fc1=firing(), fc2=firing(), fc3=firing()), net)
    assert (found.layer, found.kind, found.steps, found.share) == ("fc2", "collapsed", (1, 3), 3 / 20)
    assert "3 of 20 (step, channel) pairs, at steps 2, 4:" in found.text
    assert found.text.endswith(f" {2 / math.sqrt(1.9e-4):.3g}")


def test_variances_that_the_rule_lets_collapse_are_no_fault():
    """The first l - 1 of layer l; and those of steps from which nothing reaches the readout."""
    net, counts = chain(fire="before"), activity(fc1=firing(0), fc2=firing(0, 1), fc3=firing(0, 1, 2))
    by_rule = {"fc1": (2, 3, 4), "fc2": (0, 3, 4), "fc3": (0, 1, 4)}
    with torch.no_grad():
        for name, steps in by_rule.items():
            net.layers[name].norm.running_var[list(steps)] = 0
        assert health(counts, net) == ()
        net.layers["fc3"].norm.running_var[2] = 0
        net.layers["fc1"].norm.running_var[1] = 0
    found = health(counts, net)
    assert kinds(found) == [("fc1", "collapsed", (1,)), ("fc3", "collapsed", (2,))]
    assert found[0].text.endswith(" 100")


@pytest.mark.parametrize("norm", ["tdbn", "tebn"])
def test_one_variance_for_all_steps(norm):
    net = chain(norm=norm, fire="before")
    with torch.no_grad():
        net.layers["fc2"].norm.running_var[0, 1] = 0
        net.layers["fc2"].norm.gamma[0, 1] = 0.5
        if norm == "tebn":
            net.layers["fc2"].norm.step_scale[3] = 3.0
    (found,) = health(activity(fc1=firing(0), fc2=firing(0, 1), fc3=firing(0, 1, 2)), net)
    assert (found.kind, found.steps, found.share) == ("collapsed", (0, 1, 2, 3, 4), 0.25)
    assert "1 of 4 channels" in found.text
    assert found.text.endswith(" 150" if norm == "tebn" else " 50")


def test_other_layers_are_refused():
    with pytest.raises(ValueError, match="fc3"):
        health(activity(fc1=firing()), chain())


def test_a_layer_whose_threshold_nothing_reaches_is_found_in_a_real_network(rng):
    net = mlp(in_features=8, hidden=(12, 12, 12), num_steps=3)
    net.blocks["fc2"].lif.neuron = replace(net.blocks["fc2"].lif.neuron, threshold=50.0)
    model = SpikingClassifier(DirectEncoder(3), net)
    found = health(untrained_activity(model, torch.rand(32, 1, 2, 4, generator=rng)), net)
    assert [(one.layer, one.kind) for one in found if one.kind == "dead"] == [("fc2", "dead"), ("fc3", "dead")]
    assert {one.layer for one in found} == {"fc2", "fc3"}


@pytest.mark.parametrize(("form", "fire"), [("basic", "before"), ("sew", "before"), ("ms", "after")])
def test_untrained_residual_networks_are_in_order(form, fire, rng):
    """With as many steps as the longest way takes; with fewer, what is wrong is said to be that."""
    net = resnet20(num_steps=20, width=0.5, residual=form, fire=fire)
    model, images = SpikingClassifier(DirectEncoder(20), net), torch.rand(6, 3, 8, 8, generator=rng)
    spikes = untrained_activity(model, images)
    assert health(spikes, net) == ()
    with torch.no_grad():
        net.layers["block2.conv2"].norm.running_var[6] = 0
    assert kinds(health(spikes, net)) == [("block2.conv2", "collapsed", (6,))]
    short = Activity(6, {name: counts[:10] for name, counts in spikes.spikes.items()}, spikes.neurons)
    texts = [one.text for one in health(short, net) if one.kind == "dead"]
    assert bool(texts) == ((form, fire) == ("basic", "before"))
    assert all("take num_steps=20 or more" in text or "never fires either" in text for text in texts)
