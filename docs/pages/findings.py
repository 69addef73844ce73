"""docs/evidence/findings.md, from the summaries of studies and the files of kept runs; missing runs are marked."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from statistics import mean

from bntt.charts.records import Axis, Figure, Line, Lines
from bntt.runs.recipe.file import load_recipe, values_of
from bntt.studies.study_result import figures_of
from bntt.training.schedule import Rates, floor_of_decay
from pages.claims import recomputed
from pages.evidence import NOT_RUN, Evidence
from pages.kept import RUNS, Facts, epochs, introduction, read_json

CHANGES = "one-"
"""Runs that differ from ``one-base`` in one thing each."""
DRAWN = {
    "cifar10-steps25": ("γ and firing over time at T = 25", ("firing_rate", "gamma_magnitude")),
    "figure-8": ("Accuracy under noise on the image", ("noise",)),
}
"""Studies of which a picture is shown: its title, and which of the study's charts it has."""
NORMS = ("norms-anew", "table-4")
"""Studies of norms, the larger first; the first that was run is shown."""
ALONE = {
    "fashion-mnist-best": "Fashion-MNIST, VGG6",
    "fashion-mnist-record": "Fashion-MNIST, the same for 40 epochs, with erased rectangles",
    "fashion-mnist-compact": "Fashion-MNIST, a small residual network with crops (the previous recipe)",
    "cifar10-best": "CIFAR-10 (JPEG copy), VGG9 at half the channels",
    "cifar10-compact": "CIFAR-10 (JPEG copy), a small residual network",
    "cifar10-compact-ann-at-width-1": "the same, as an ANN of 30 epochs (an earlier recipe)",
    "cifar10-compact-hybrid-at-width-1": "the same, started from that ANN (an earlier recipe)",
    "cifar10-record-in-fp32": "CIFAR-10 (JPEG copy), that network at 1.5 times the channels, T grows (an earlier recipe)",
    "cifar10-record-in-48-epochs": "the same with erased rectangles and 98 % of the images, in bfloat16",
    "cifar10-record": "the same for 60 epochs",
    "cifar10-compact-ann": "the same, as an ANN of 24 epochs",
    "cifar10-compact-hybrid": "the same for 40 epochs, started from that ANN and taught by it",
}
"""Recipes for accuracy alone."""
ATTACKED = {"bntt": "BNTT", "surrogate": "surrogate gradient alone", "ann": "ANN"}


Training = tuple[str, ...]
"""Data, network, time steps, order of firing, epochs, rate and decay of γ."""
Floors = dict[Training, list[tuple[float, float]]]


def floors() -> Floors:
    """Find γ by decay alone, and the first layer's γ at the last step, of every BNTT run, grouped by training."""
    found, seen = defaultdict[Training, list[tuple[float, float]]](list), set[tuple[Training, int, float, float]]()
    for place in sorted(RUNS.glob("*/evaluation.json")):
        facts = read_json(place)
        gamma = facts.get("gamma_magnitude")
        if not gamma:
            continue
        recipe = load_recipe(place.parent / "recipe.toml", stored=True)
        train, network = recipe.train, recipe.network
        if network.norm != "bntt" or not train.epochs or train.average or train.grow:
            continue
        updates = facts.get("updates") or epochs(place.parent)[-1].get("updates")
        if not updates or recipe.init.source or recipe.convert.ann:
            continue
        each = updates // train.epochs
        floor = floor_of_decay(Rates(train, train.epochs, each), each * (facts["epoch"] + 1))
        last = next(iter(gamma.values()))[-1]
        data = re.sub(r"^images\b", "CIFAR-10 (JPEG copy)", facts["dataset"]).partition(", trained on")[0]
        size = (f"{network.name} × {network.width:g}", str(network.num_steps), network.fire)
        training = (data, *size, str(train.epochs), f"{train.lr:g}", f"{train.gamma_decay:g}")
        one = (training, recipe.seed, floor, last)  # a run may be there twice, and two starts may end alike
        if floor is not None and one not in seen:
            seen.add(one)
            found[training].append((floor, last))
    return dict(sorted(found.items(), key=lambda item: mean(floor for floor, _ in item[1])))


def floor_rows(found: Floors) -> list[list[str]]:
    """Tabulate them by training."""
    rows = []
    for training, pairs in found.items():
        expected, last = ([pair[i] for pair in pairs] for i in (0, 1))
        least, most = _gamma(min(last)), _gamma(max(last))
        between = f" ({least} to {most})" if least != most else ""
        rows.append([*training, _gamma(mean(expected)), f"{_gamma(mean(last))}{between}", str(len(last))])
    return rows


def _gamma(value: float) -> str:
    return f"{value:.3f}" if value > 0.01 else f"{value:.1g}"


def floor_figure() -> Figure:
    """Draw the observed γ against the prediction from decay alone."""
    pairs = [pair for row in floors().values() for pair in row]
    least = min(floor for floor, _ in pairs) / 2
    ends = [least ** (i / 60) for i in range(61)]
    lines = [
        Line("equal", ends, ends, "none", dashed=True),
        Line("a run", [floor for floor, _ in pairs], [last for _, last in pairs], "bntt", joined=False),
    ]
    x = Axis("γ by decay alone, exp(-Σ lr · decay / (1 - m))", scale="log")
    y = Axis("mean |γ| of the first layer at the last step", scale="log")
    return Figure("γ that gets almost no gradient", [Lines("", x, y, lines)])


def changed_runs() -> dict[str, Facts]:
    """Read the base and the runs that differ from it in one thing; newer keys get their defaults."""
    return {
        place.name: {
            "recipe": values_of(load_recipe(place / "recipe.toml")),
            "evaluation": read_json(place / "evaluation.json"),
        }
        for place in sorted(RUNS.glob(f"{CHANGES}*"))
    }


def decay_figure() -> Figure:
    """Draw accuracy against spikes, by the decay of γ alone."""
    points = sorted(
        (facts["recipe"]["train"]["gamma_decay"], facts["evaluation"])
        for name, facts in changed_runs().items()
        if name == f"{CHANGES}base" or "gamma-decay" in name
    )
    spikes, accuracy = ([found[key] for _, found in points] for key in ("spikes_per_image", "accuracy"))
    bounds = [found["accuracy_wilson_95"] for _, found in points]
    lines = [Line("one start each", spikes, accuracy, "none", dashed=True)]
    lines += [
        Line(f"decay {value:g}", [x], [y], low=[low], high=[high], joined=False)
        for (value, _), x, y, (low, high) in zip(points, spikes, accuracy, bounds, strict=True)
    ]
    x = Axis("spikes per image, all layers and steps", low=0)
    y = Axis("test accuracy, 95 % interval", percent=True, low=min(low for low, _ in bounds) - 0.005, high=0.93)
    return Figure("What the decay of γ buys and costs (Fashion-MNIST, T = 4)", [Lines("", x, y, lines)])


def norms_figure(evidence: Evidence) -> Figure:
    """Draw accuracy against spikes of every norm, one mark per start."""
    study = norms_study(evidence)
    lines = [
        Line(row["label"], row["cells"]["spikes"]["values"], row["cells"]["accuracy"]["values"], joined=False)
        for row in evidence.ran(study)
        if row["cells"]["spikes"]
    ]
    charts = [
        Lines("", Axis("spikes per image", low=0), Axis("test accuracy (%)", low=75), lines, note="one mark per start")
    ]
    return Figure(f"Norms by one budget ({evidence.studies[study]['setting_about'].rstrip('.')})", charts)


def norms_study(evidence: Evidence) -> str:
    """Return the largest study of norms in which all rivals of BNTT were run."""
    whole = [name for name in NORMS if {"tdbn", "tebn", "tab", "bn"} <= {row["run"] for row in evidence.ran(name)}]
    return whole[0]


def change_rows() -> list[list[str]]:
    """Tabulate the effect of each single change, the best first."""
    runs = changed_runs()
    base = runs[f"{CHANGES}base"]
    rows = []
    for facts in sorted(runs.values(), key=lambda one: -one["evaluation"]["accuracy"]):
        found, of_base = facts["evaluation"], base["evaluation"]["accuracy"]
        changed = [
            f"{group}.{key} = {value}"
            for group, values in facts["recipe"].items()
            if isinstance(values, dict)
            for key, value in values.items()
            if value != base["recipe"][group][key]
        ]
        difference = f"{100 * (found['accuracy'] - of_base):+.1f}" if changed else ""
        what = f"`{', '.join(changed)}`" if changed else "nothing: the base"
        rows.append([what, f"{found['accuracy']:.1%}", difference, f"{found['spikes_per_image']:,.0f}"])
    return rows


def alone_rows() -> list[list[str]]:
    """Tabulate the recipes for accuracy alone, each start."""
    rows = []
    for name, data in ALONE.items():
        places = sorted(RUNS.glob(f"{name}*/evaluation.json"))
        found = [read_json(place) for place in places if re.fullmatch(rf"{name}(-\d+)?", place.parent.name)]
        accuracies = ", ".join(f"{one['accuracy']:.1%}" for one in found) or NOT_RUN
        spikes = ", ".join(f"{one['spikes_per_image']:,.0f}" for one in found)
        rows.append([f"`{name}`", data, str(len(found[0]["accuracy_over_time"])) if found else "", accuracies, spikes])
    return rows


def attack_rows() -> list[list[str]]:
    """Tabulate the lowest accuracy under attack, for one start of each network."""
    rows = []
    for method, label in ATTACKED.items():
        place = RUNS / f"rivals-attack-{method}"
        one_step = [row for row in read_json(place / "attack-fgsm.json")["rows"] if row["attack"] == "fgsm"]
        worst = [row for row in read_json(place / "attack.json")["rows"] if row["attack"] == "worst case"]
        fgsm, all_ = (min((row for row in found if row["eps_255"] == 8), key=_right) for found in (one_step, worst))
        rows.append([label, *(f"{100 * value:.1f}" for value in (fgsm["clean_accuracy"], _right(fgsm), _right(all_)))])
    return rows


def by_margin() -> str:
    """Say how one network does if each image stops by its margin."""
    found = read_json(RUNS / "cifar10-small-bd63a9e48c3d" / "exit-per-sample.json")
    (row,) = (one for one in found["criteria"] if one["criterion"] == "margin")
    steps, whole = found["whole_steps"], found["whole_accuracy"]
    said = f"{row['mean_steps']:.1f} of {steps} steps on average, at {row['test_accuracy']:.2%} accuracy"
    return f"{said} (one start, T = {steps}; {whole:.2%} with all steps, on the same images and draw)"


def _right(row: Facts) -> float:
    return float(row["accuracy"])


def shown(evidence: Evidence) -> dict[str, str]:
    """Return the pictures of the page, file by place in the text; those of studies that were run."""
    places = {"floor": "findings-floor.svg", "decay": "findings-decay.svg", "norms": "findings-norms.svg"}
    return places | {study: f"findings-{study}.svg" for study in DRAWN if evidence.ran(study)}


def pictures() -> Iterator[tuple[str, Figure]]:
    """Yield the pictures of the page."""
    evidence = Evidence()
    files = shown(evidence)
    yield files["floor"], floor_figure()
    yield files["decay"], decay_figure()
    yield files["norms"], norms_figure(evidence)
    studies = [study for study in DRAWN if study in files]
    for study, result in zip(studies, recomputed(studies), strict=True):
        title, parts = DRAWN[study]
        found = [fig for _, part, fig in figures_of(result) if part.kind in parts or getattr(part, "of", "") in parts]
        yield files[study], Figure(title, [chart for figure in found for chart in figure.charts])


def page() -> str:
    """Make the whole of findings.md."""
    from pages.findings_text import text_of

    return introduction("findings") + "\n\n" + text_of(Evidence())
