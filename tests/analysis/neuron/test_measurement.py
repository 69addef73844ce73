"""What the neuron measurement declares."""

import pytest

from bntt.analysis.measurement import ArgumentError
from bntt.analysis.neuron.measurement import NEURON, NeuronArguments
from bntt.analysis.result import checked_arguments


def test_files_of_the_other_split_are_their_own():
    assert NEURON.stem(NeuronArguments(layer="conv2")) == "neuron"
    assert NEURON.stem(NeuronArguments(split="validation")) == "neuron-validation"


def test_images_are_counted_from_0():
    assert checked_arguments(NeuronArguments, {"place": [1, 2]}) == NeuronArguments(place=(1, 2))
    with pytest.raises(ArgumentError, match="--image must be 0 or more, got -1"):
        checked_arguments(NeuronArguments, {"image": -1})
