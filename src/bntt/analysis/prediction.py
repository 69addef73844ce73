"""Answers of a network for an image after every step, and the step from which the answer no longer changes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from bntt.analysis.accuracy.evaluation import FIRST_DRAW, check_draws, check_logits, check_weights
from bntt.charts.records import STEPS, Axis, Chart, Figure, Image, Level, Lines, over_steps
from bntt.nn.network.classifier import SpikingClassifier, check_answers
from bntt.nn.tensor_checks import check_tensor

CONFIDENCE = Axis("confidence", percent=True, low=0, high=1)
LONGEST = 20
"""Largest number of characters of a name that are shown."""


@dataclass(frozen=True)
class Prediction:
    """The confidence in every class after every step.

    >>> seen = Prediction(("cat", "dog"), torch.tensor([[0.5, 0.5], [0.4, 0.6], [0.1, 0.9]]))
    >>> seen.label, seen.stable_from
    ('dog', 2)
    """

    classes: tuple[str, ...]
    """Names of the K classes."""
    confidence: Float[Tensor, "T K"]
    """Row t: the softmax of the logits of a network stopped after step t + 1, mean over the draws."""

    @property
    def label(self) -> str:
        """The class with the highest confidence after the last step; the first of equal ones, as in accuracy."""
        return self.classes[int(self.confidence[-1].argmax())]

    @property
    def stable_from(self) -> int:
        """Number of steps, 1 to T: stopping after this many, or more, gives the same class as after the last.

        A tie counts as no answer: before the first spike arrives, all classes are equal.
        """
        final = int(self.confidence[-1].argmax())
        others = self.confidence.clone()
        others[:, final] = -1.0
        open_steps = (self.confidence[:, final] <= others.amax(1)).nonzero()
        first = int(open_steps[-1]) + 2 if len(open_steps) else 1
        return min(first, len(self.confidence))

    def leading(self, count: int) -> list[int]:
        """Return the final class, then those with the highest mean confidence over the steps: ``count`` at most."""
        average = self.confidence.mean(0)
        average[int(self.confidence[-1].argmax())] = 2.0
        return average.argsort(descending=True, stable=True)[:count].tolist()


def predict(
    model: SpikingClassifier,
    images: Float[Tensor, "B *shape"],
    classes: Sequence[str],
    *,
    seed: int = 0,
    draws: int = 1,
) -> list[Prediction]:
    """Return the prediction for each image, in evaluation mode: ``mean_d softmax(logits[t])`` after every step t.

    Images are shown one at a time, each with the noise of sample 0: the answer for one does not depend on the others.
    The model is left unchanged.

    Args:
        model: the classifier.
        images: as the encoder takes them, pixels in [0, 1]; sequences for a model of sequences.
        classes: names of the K classes.
        seed: of the noise; draw d is the noise's ``draw`` number 2**32 + d, as in :func:`~bntt.analysis.evaluate`.
        draws: number of times an image is shown, each with fresh noise.

    Raises:
        ValueError: if ``draws`` is below 1, or the number of names is not that of classes; any error of the model on
            images that it does not take.

    >>> import bntt
    >>> images, classes = bntt.data.fashion_mnist_bundled().test, bntt.models.pretrained_facts().classes
    >>> [said.label for said in predict(bntt.models.pretrained(), images.batch(torch.tensor([333, 555])), classes)]
    ['Sneaker', 'Trouser']
    """
    check_answers(model, "predict() takes")
    check_tensor(images, "predict()", "images [B, ...]")
    check_draws(draws)
    check_weights(model)
    device = next(model.parameters()).device
    first = torch.zeros(1, dtype=torch.int64, device=device)
    found = []
    for row in range(len(images)):
        image, shares = images[row : row + 1].to(device), list[Tensor]()
        for draw in range(draws):
            logits = model.trace(image, seed=seed, index=first, draw=FIRST_DRAW + draw).logits
            if logits.shape[2] != len(classes):
                raise ValueError(f"the model has {logits.shape[2]} classes, but {len(classes)} names were given")
            check_logits(logits)
            shares.append(logits[:, 0].double().softmax(1))
        found.append(Prediction(tuple(classes), torch.stack(shares).mean(0).cpu()))
    return found


def prediction_figure(predicted: Sequence[tuple[str, Tensor, Prediction]], leading: int = 3) -> Figure:
    """Draw a row for each name, pixels (uint8 ``[C, H, W]``) and prediction: the confidence in its leading classes."""
    charts = list[Chart]()
    for picture, pixels, prediction in predicted:
        shown = pixels.permute(1, 2, 0).double() / 255
        charts.append(Image(_short(picture), (shown if len(pixels) == 3 else shown.squeeze(2)).tolist()))
        rows = {}
        for number in prediction.leading(leading):
            name = distinct_name(prediction.classes[number], number, LONGEST, LONGEST - 1)
            rows[name] = prediction.confidence[:, number].tolist()
        highest, first = float(prediction.confidence[-1].max()), prediction.stable_from
        title = f"{_short(prediction.label)}, {highest:.1%}; from step {first} on"
        charts.append(Lines(title, STEPS, CONFIDENCE, over_steps(rows, methods=True), [Level(first, at="x")]))
    return Figure("Confidence in the leading classes", charts, columns=2)


def distinct_name(name: str, number: int, longest: int, kept: int) -> str:
    """Return the name of a class; a long one is cut, and its number tells it from others that begin alike."""
    return name if len(name) <= longest else f"{name[:kept]}… ({number})"


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else name[: LONGEST - 1] + "…"
