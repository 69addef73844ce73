"""A run beside what it folds to: which images, whose noise, and what is refused."""

import dataclasses

import pytest

from bntt.analysis import fold_equivalence
from bntt.analysis.equivalence.measure import measure_equivalence
from bntt.analysis.equivalence.measurement import EquivalenceArguments
from bntt.analysis.measurement import ArgumentError, Progress
from bntt.data import PartLoader, stratified
from bntt.models import resnet20
from bntt.nn import SpikingClassifier
from tests.runs.tiny import opened_run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    return opened_run(tmp_path_factory.mktemp("runs"))


def test_some_images_of_each_class_with_their_own_noise(run):
    progress, asked = Progress(), EquivalenceArguments(images=20)
    found = measure_equivalence(run, asked, progress)
    assert progress.done == progress.total == found.images == 20
    assert (found.arguments, found.split, found.epoch) == (asked, "validation", 0)
    held_out, seed = run.data.validation, run.recipe.seed
    expected = fold_equivalence(run.model, PartLoader(held_out, stratified(held_out, 20, seed), 50), seed=seed)
    assert found.accuracy == expected.accuracy
    assert found.firing_rate == {layer: row.tolist() for layer, row in expected.rate.items()}
    assert found.heard_steps["conv1"] == [1, 2, 3]
    assert list(found.folds) == ["exact", "no mean", "no ratio", "Eq. 15"]
    for name, fold in found.folds.items():
        theirs = expected.folds[name]
        assert (fold.accuracy, fold.agreement) == (theirs.accuracy, theirs.agreement)
        assert fold.differing_true_spikes == {layer: row.tolist() for layer, row in theirs.true.items()}
        assert fold.differing_own_spikes == {layer: row.tolist() for layer, row in theirs.own.items()}
    assert (found.folds["no mean"].keeps_mean, found.folds["no mean"].keeps_ratio) == (False, True)


def test_the_other_split_and_as_many_as_there_are(run):
    assert measure_equivalence(run, EquivalenceArguments("test", 70), Progress()).images == 70
    every = measure_equivalence(run, EquivalenceArguments(images=10**6), Progress())
    assert every.images == len(run.data.validation)


def test_a_network_that_is_no_sequence_is_refused_with_its_run(run):
    branched = SpikingClassifier(run.model.encoder, resnet20(in_channels=1, width=0.25, num_steps=3))
    with pytest.raises(ArgumentError, match=rf"{run.path.name}: block .* only networks of SpikingBlock"):
        measure_equivalence(dataclasses.replace(run, model=branched), EquivalenceArguments(), Progress())
