"""The spikes of a network under batch statistics: those of a training pass, which leaves no trace."""

import copy
import itertools

import pytest
import torch

from bntt.analysis.accuracy.evaluation import FIRST_DRAW
from bntt.analysis.activity import spike_activity
from bntt.analysis.activity.spike_activity import untrained_activity
from bntt.models import mlp, resnet20, vgg6
from bntt.nn import NORMS, PoissonEncoder, SpikingClassifier, TemporalNorm
from tests.kernels import choose, needs_kernels


def classifier(norm: str, kind: str = "vgg6", steps: int = 4, **options) -> SpikingClassifier:
    if kind == "vgg6":
        net = vgg6(num_steps=steps, width=0.25, image_size=8, norm=norm, **options)
    else:
        net = resnet20(num_steps=steps, width=0.25, in_channels=1, norm=norm, residual=kind, **options)
    return SpikingClassifier(PoissonEncoder(steps, mean=[0.5], std=[0.3]), net)


def counted(model: SpikingClassifier, images: torch.Tensor, **noise) -> dict[str, torch.Tensor]:
    """Spikes by layer, as hooks on the neurons of a copy count them in a training pass in plain PyTorch."""
    model, found = copy.deepcopy(model).train(), {}
    choose(model.network, backend="reference")
    for name, layer in model.network.layers.items():
        if layer.lif is not None:

            def count(module, args, out, name=name):
                spikes = out[0]
                found[name] = spikes.double().sum((1, *range(3, spikes.ndim)))

            layer.lif.register_forward_hook(count)
    with torch.no_grad():
        model(images, **noise)
    return found


@pytest.mark.parametrize(("norm", "kind"), list(zip(NORMS, itertools.cycle(["vgg6", "basic", "sew", "ms"]))))
def test_it_counts_what_a_training_pass_fires(norm, kind, rng):
    model, images, index = classifier(norm, kind), torch.rand(5, 1, 8, 8, generator=rng), torch.arange(7, 12)
    choose(model.network, backend="reference")
    theirs = counted(model, images, seed=3, index=index, draw=FIRST_DRAW)
    ours = untrained_activity(model, images, seed=3, index=index)
    assert ours.presentations == 5
    assert list(ours.spikes) == list(theirs)
    assert all(torch.equal(ours.spikes[name], counts) for name, counts in theirs.items())
    assert ours.neurons.keys() == theirs.keys()
    assert norm == "none" or all(counts.any() for counts in theirs.values())


@needs_kernels
@pytest.mark.parametrize(("norm", "kind"), [("bntt", "vgg6"), ("tdbn", "basic")])
def test_the_kernels_count_the_same(norm, kind, rng):
    """A few membranes may lie on the threshold's other side, for rounding."""
    model, images, found = classifier(norm, kind), torch.rand(5, 1, 8, 8, generator=rng), []
    for backend in ("cpu", "reference"):
        choose(model.network, backend=backend)
        found.append(untrained_activity(model, images).spikes)
    for name, counts in found[1].items():
        assert (found[0][name] - counts).abs().sum() <= 3 + 0.002 * counts.sum(), name


def test_running_statistics_are_not_asked_and_nothing_is_dropped(rng):
    model, images = classifier("bntt", dropout=0.5), torch.rand(5, 1, 8, 8, generator=rng)
    plain = untrained_activity(classifier("bntt"), images).spikes
    for norm in model.modules():
        if isinstance(norm, TemporalNorm):
            norm.running_mean.fill_(100)
    assert all(torch.equal(counts, plain[name]) for name, counts in untrained_activity(model, images).spikes.items())


@pytest.mark.parametrize("norm", ["bntt", "tdbn"])
def test_many_steps_are_taken_in_parts_where_the_norm_allows_it(norm, rng, monkeypatch):
    model, images, calls = classifier(norm, steps=5), torch.rand(5, 1, 8, 8, generator=rng), []
    choose(model.network, backend="reference")
    whole, advance = untrained_activity(model, images), SpikingClassifier.advance
    monkeypatch.setattr(spike_activity, "STEPS_AT_ONCE", 2)

    def watched(*args, **options):
        calls.append(options["steps"])
        assert not torch.is_grad_enabled()
        return advance(*args, **options)

    monkeypatch.setattr(SpikingClassifier, "advance", watched)
    parts = untrained_activity(model, images)
    assert calls == ([5] if norm == "tdbn" else [2, 2, 1])
    assert all(torch.equal(parts.spikes[name], counts) for name, counts in whole.spikes.items())


def test_a_single_sample_where_it_has_no_statistics_is_refused_and_changes_nothing():
    net = mlp(in_features=4, hidden=(8,), num_steps=3).eval()
    model = SpikingClassifier(PoissonEncoder(3), net)
    with pytest.raises(ValueError, match=r"fc1\.norm"):
        untrained_activity(model, torch.ones(1, 1, 2, 2))
    assert not any(part.training for part in net.modules())
    assert net.blocks["fc1"].norm.put_off is None
