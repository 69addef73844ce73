"""The numbers that a study's tables and claims are about: a closed dictionary, each read from what one kind of measure
found."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import mean
from typing import Any

Values = Mapping[str, Any]
Read = Callable[[Values, float | None], float | None]
"""What a measure found, and the place that is asked for, to a number; None where it has none."""


@dataclass(frozen=True)
class Metric:
    """One number of one start."""

    kind: str
    """Of the measure that it is read from."""
    title: str
    unit: str
    read: Read
    placed: bool = False
    """Whether it is read at a place, which must then be named."""
    digits: int = 1
    """After the point, when it is shown."""


def _points(share: float | None) -> float | None:
    return None if share is None else 100 * share


def _accuracy(values: Values, at: float | None) -> float | None:
    return _points(values["accuracy"])


def _accuracy_after(values: Values, at: float | None) -> float | None:
    over_time: Sequence[float] = values["accuracy_over_time"]
    step = round(at or 0)
    return _points(over_time[step - 1]) if 1 <= step <= len(over_time) else None


def _chosen(key: str) -> Read:
    def read(values: Values, at: float | None) -> float | None:
        found: float = values["chosen"][key]
        return found

    return read


def _saved(values: Values, at: float | None) -> float | None:
    return 100 * (1 - int(values["steps"]) / int(values["num_steps"]))


def _rates(values: Values) -> dict[str, list[float]]:
    """Spikes per neuron of each layer and step."""
    rows: dict[str, list[float]] = {}
    for row in values["steps"]:
        rows.setdefault(row["layer"], []).append(row["firing_rate"])
    return rows


def depth_correlation(peaks: Sequence[float | None]) -> float | None:
    """Spearman's rank correlation of each layer's peak with its place; None where all peak alike, or fewer than 3 do.

    >>> depth_correlation([1, 2, 3, 3]), depth_correlation([3, 2, 1]), depth_correlation([4, 4, 4])
    (0.9486832980505138, -1.0, None)
    """
    found = [float(peak) for peak in peaks if peak is not None]
    if len(found) < 3 or len(set(found)) == 1:
        return None
    one, other = _ranks(list(range(len(found)))), _ranks(found)
    a, b = [x - mean(one) for x in one], [x - mean(other) for x in other]
    over = sqrt(sum(x * x for x in a) * sum(x * x for x in b))
    return float(sum(x * y for x, y in zip(a, b, strict=True)) / over)


def _ranks(values: Sequence[float]) -> list[float]:
    """Equal ones share the mean of their ranks."""
    return [
        sum(other < value for other in values) + (sum(other == value for other in values) + 1) / 2 for value in values
    ]


def _later(key: str) -> Read:
    def read(values: Values, at: float | None) -> float | None:
        return depth_correlation([layer.get(key) for layer in values["layers"].values()])

    return read


def _peak_of_last(key: str) -> Read:
    """The peak of the deepest layer that has one."""

    def read(values: Values, at: float | None) -> float | None:
        found = [layer[key] for layer in values["layers"].values() if layer.get(key) is not None]
        return float(found[-1]) if found else None

    return read


def _rise_and_fall(key: str) -> Read:
    """The share of layers behind the first whose peak is neither at the first step nor at the last."""

    def read(values: Values, at: float | None) -> float | None:
        last = max(row["step"] for row in values["steps"])
        found = [layer[key] for layer in values["layers"].values() if layer.get(key) is not None][1:]
        return 100 * mean(1 < peak < last for peak in found) if found else None

    return read


def _silence(values: Values, at: float | None) -> float | None:
    """Firing rate at the last step beside the highest of any step, mean over layers."""
    found = [row[-1] / max(row) for row in _rates(values).values() if max(row) > 0]
    return 100 * mean(found) if found else None


def _energy(key: str) -> Read:
    """Of all steps by the 45 nm table, spikes in a pooled value added one by one."""

    def read(values: Values, at: float | None) -> float | None:
        steps = max(row["steps"] for row in values["energy"])
        rows = [row for row in values["energy"] if row["costs"] == "digital-45nm" and row["steps"] == steps]
        found = next((row[key] for row in rows if row["price"] in ("spikes", "either")), None)
        return None if found is None else found / 1e6 if key in ("snn", "ann") else found

    return read


def _drift(key: str) -> Read:
    """Mean over layers and the steps in which something arrives."""

    def read(values: Values, at: float | None) -> float | None:
        found = []
        for layer in values["layers"].values():
            first, last = layer["driven"]
            found += [value for value in layer[key][first - 1 : last] if value == value]
        return mean(found) if found else None

    return read


def _largest_drift(values: Values, at: float | None) -> float | None:
    return float(max(max(layer["distance"]) for layer in values["layers"].values()))


def _fold(name: str, key: str) -> Read:
    def read(values: Values, at: float | None) -> float | None:
        return _points(values["folds"][name][key]) if name in values["folds"] else None

    return read


def _noisy(values: Values, at: float | None) -> float | None:
    rows = values["runs"][0]["rows"]
    return next((_points(row["accuracy"]) for row in rows if abs(row["sigma"] - (at or 0)) < 1e-9), None)


def _noise_loss(values: Values, at: float | None) -> float | None:
    clean, noisy = _noisy(values, 0), _noisy(values, at)
    return None if clean is None or noisy is None else clean - noisy


def _attacked(attack: str) -> Read:
    """The lowest of all estimators, the clean images' at 0."""

    def read(values: Values, at: float | None) -> float | None:
        rows = [row for row in values["rows"] if row["attack"] == attack and not row["invalid"]]
        found = [row["accuracy"] for row in rows if abs(row["eps_255"] - (at or 0)) < 1e-6]
        return _points(min(found)) if found else None

    return read


def _failed(values: Values, at: float | None) -> float | None:
    failed = sum(row["failed"] for row in values["shares"])
    return float(100 * failed / sum(row["starts"] for row in values["shares"]))


def _reached(values: Values, at: float | None) -> float | None:
    """Validation accuracy after the last update, mean over networks and rates; chance where numbers were not finite."""
    cells = values["cells"]
    return _points(mean(cell["chance"] if cell["accuracy"] is None else cell["accuracy"] for cell in cells))


def _gradient_change(values: Values, at: float | None) -> float | None:
    """How much of a batch's gradient is another one after a step of the learning rate along it,
    ``‖g(w) - g(w - η g)‖ / ‖g(w)‖``: mean over networks and moments of the starts at this rate."""
    found = []
    for cell in values["cells"]:
        if abs(cell["rate"] - (at or 0)) > 1e-9:
            continue
        for along in (moment["along"] for moment in cell["moments"]):
            nearest = min(range(len(along["steps"])), key=lambda i: abs(along["steps"][i] - cell["rate"]))
            found.append(100 * along["change"][nearest] / along["norm"])
    return mean(found) if found else None


def _plain(key: str) -> Read:
    def read(values: Values, at: float | None) -> float | None:
        found: float | None = values[key]
        return found

    return read


METRICS: dict[str, Metric] = {
    "accuracy": Metric("evaluate", "test accuracy", "%", _accuracy),
    "accuracy-after": Metric("evaluate", "test accuracy after some steps", "%", _accuracy_after, placed=True),
    "steps": Metric("evaluate", "time steps", "", _plain("steps"), digits=0),
    "spikes": Metric("evaluate", "spikes an image", "", _plain("spikes_per_image"), digits=0),
    "updates": Metric("evaluate", "updates", "", _plain("updates"), digits=0),
    "exit-steps": Metric("exit", "steps until the exit", "", _chosen("steps"), digits=0),
    "exit-accuracy": Metric("exit", "accuracy at the exit", "%", lambda v, at: _points(v["chosen"]["test_accuracy"])),
    "exit-lost": Metric(
        "exit", "points lost at the exit", "points", lambda v, at: _points(v["chosen"]["test_lost"]), digits=2
    ),
    "exit-saved": Metric("exit", "steps saved by the exit", "%", _saved),
    "exit-threshold": Metric("exit", "threshold of γ", "", _chosen("threshold"), digits=3),
    "truncation-steps": Metric(
        "exit", "steps by plain truncation", "", lambda v, at: v["truncation"]["steps"], digits=0
    ),
    "gamma-later": Metric(
        "activity", "γ peaks later with depth (rank correlation)", "", _later("gamma_peak_step"), digits=2
    ),
    "gamma-peak": Metric("activity", "peak of γ in the last layer", "step", _peak_of_last("gamma_peak_step"), digits=0),
    "gamma-rises-falls": Metric(
        "activity", "layers whose γ rises and falls", "%", _rise_and_fall("gamma_peak_step"), digits=0
    ),
    "spikes-later": Metric(
        "activity", "spikes peak later with depth (rank correlation)", "", _later("peak_step"), digits=2
    ),
    "spikes-peak": Metric("activity", "peak of spikes in the last layer", "step", _peak_of_last("peak_step"), digits=0),
    "spikes-rise-fall": Metric(
        "activity", "layers whose spikes rise and fall", "%", _rise_and_fall("peak_step"), digits=0
    ),
    "last-step": Metric("activity", "firing at the last step, of the peak", "%", _silence, digits=0),
    "energy": Metric("energy", "energy an image (45 nm)", "µJ", _energy("snn"), digits=2),
    "ann-energy": Metric("energy", "energy of an ANN of the plan", "µJ", _energy("ann"), digits=2),
    "ann-over-snn": Metric("energy", "ANN's energy / own", "", _energy("ann_over_snn"), digits=2),
    "drift": Metric("drift", "distance from the held mean", "σ", _drift("distance"), digits=3),
    "largest-drift": Metric("drift", "largest distance from the held mean", "σ", _largest_drift, digits=2),
    "drift-if-shared": Metric("drift", "distance if all steps shared one", "σ", _drift("distance_if_shared"), digits=3),
    "exact-agreement": Metric("equivalence", "same answers, exact fold", "%", _fold("exact", "agreement")),
    "eq15-accuracy": Metric("equivalence", "accuracy by Eq. 15", "%", _fold("Eq. 15", "accuracy")),
    "eq15-agreement": Metric("equivalence", "same answers by Eq. 15", "%", _fold("Eq. 15", "agreement")),
    "full-accuracy": Metric("equivalence", "accuracy of the network itself", "%", _accuracy),
    "noisy-accuracy": Metric("robust", "accuracy under noise", "%", _noisy, placed=True),
    "noise-loss": Metric("robust", "points lost by noise", "points", _noise_loss, placed=True),
    "fgsm-accuracy": Metric("attack", "accuracy under FGSM", "%", _attacked("fgsm"), placed=True),
    "pgd-accuracy": Metric("attack", "accuracy under PGD", "%", _attacked("pgd"), placed=True),
    "retimed-accuracy": Metric("retiming", "accuracy at another T", "%", _accuracy),
    "failed-starts": Metric("stability", "starts that failed", "%", _failed, digits=0),
    "reached-accuracy": Metric("stability", "validation accuracy reached", "%", _reached),
    "gradient-change": Metric(
        "stability", "change of the gradient over a step", "%", _gradient_change, placed=True, digits=0
    ),
    "spiking-steps": Metric(
        "neuron", "steps with a spike", "", lambda v, at: sum(s["spike"] for s in v["steps"]), digits=0
    ),
}
"""By name."""
