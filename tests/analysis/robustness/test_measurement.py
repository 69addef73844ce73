"""What the noise measurement declares."""

from bntt.analysis.measurement import Facts
from bntt.analysis.robustness.measurement import ROBUST, RobustArguments


def test_clean_images_are_always_measured_and_each_sigma_once():
    assert RobustArguments(sigmas=(0.5, 0.2, 0.5)).grid == (0, 0.2, 0.5)


def test_files_of_the_other_split_are_their_own_and_an_ann_is_measured_too():
    assert (ROBUST.stem(RobustArguments()), ROBUST.stem(RobustArguments(split="validation"))) == (
        "robust",
        "robust-validation",
    )
    assert ROBUST.refusal(Facts("vgg6", "none", "expected", 1, True, 1, False), RobustArguments()) == ""
