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
from pages.kept import RUNS, Facts, epochs, introduction, read_json, table

CHANGES = "one-"
"""Runs that differ from ``one-base`` in one thing each."""
DRAWN = {
    "cifar10-steps25": ("γ and firing over time at T = 25", ("firing_rate", "gamma_magnitude")),
    "figure-8": ("Accuracy under noise on the image", ("noise",)),
}
"""Studies of which a picture is shown: its title, and which of the study's charts it has."""
VARIANTS = ("bntt", "tdbn", "learned-leak-bn", "bntt-scaled", "bntt-beta", "hard")
"""Runs of `norms-anew` that are not of `own-rates`, and BNTT beside them."""
ALONE = {
    "fashion-mnist-best": "Fashion-MNIST, VGG6",
    "fashion-mnist-record": "Fashion-MNIST, the same for 40 epochs, with erased rectangles",
    "cifar10-best": "CIFAR-10 (JPEG copy), VGG9 at half the channels",
    "cifar10-compact": "CIFAR-10 (JPEG copy), a small residual network",
    "cifar10-record": "a wider residual network, T grows, 60 epochs, the third recipe whose test result was seen",
    "cifar10-compact-ann": "that network as an ANN of 24 epochs",
    "cifar10-compact-hybrid": "that network for 40 epochs, started from that ANN and taught by it",
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
    lines = [
        Line(row["label"], row["cells"]["spikes"]["values"], row["cells"]["accuracy"]["values"], joined=False)
        for row in evidence.ran("own-rates")
        if row["cells"]["spikes"]
    ]
    charts = [
        Lines("", Axis("spikes per image", low=0), Axis("test accuracy (%)", low=80), lines, note="one mark per start")
    ]
    return Figure(f"Norms, each at its own rate ({evidence.studies['own-rates']['setting_about'].rstrip('.')})", charts)


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
        found = [
            fig for _, part, fig in figures_of(result) if (part.of if part.kind == "layers" else part.kind) in parts
        ]
        yield files[study], Figure(title, [chart for figure in found for chart in figure.charts])


EXITS = (
    ("cifar10-steps25", "bntt"),
    ("cifar10-whole", "bntt"),
    ("figure-7-elsewhere", "images"),
    ("figure-7-elsewhere", "events"),
)
"""The runs of which exits are shown."""
ABLATED = {
    "both-by-step": "BNTT: statistics and γ per step",
    "gamma-shared": "statistics per step, one γ",
    "statistics-shared": "one pair of statistics, γ per step",
    "both-shared": "both shared",
    "pooled": "both shared, with β (pooled BN)",
}
AT_25 = ("bntt", "bntt-lower-rate", "pooled", "bn", "none", "conversion", "ann")
LONGER = ("bntt", "pooled", "bn", "none")


def _exits(evidence: Evidence) -> list[list[str]]:
    """Tabulate the floor and three ways to stop of four trainings."""
    told = (
        ("accuracy with all steps, %", "accuracy"),
        ("γ by decay alone", "gamma-floor"),
        ("smallest mean |γ| of a layer and step", "gamma-smallest"),
        ("γ below 0.1: steps saved, %", "paper-exit-saved"),
        ("points lost", "paper-exit-lost"),
        ("γ below a threshold chosen on validation: steps saved, %", "exit-saved"),
        ("points lost", "exit-lost"),
        ("truncation chosen on validation: steps saved, %", "truncation-saved"),
        ("points lost", "truncation-lost"),
    )
    return [[said, *(evidence.cell(*run, key) for run in EXITS)] for said, key in told]


def _ablation(evidence: Evidence) -> list[list[str]]:
    """Tabulate statistics and γ per step, each alone and both, on two datasets."""
    runs = [
        (label, ("per-step-ablation", name), ("per-step-ablation", f"cifar10-{name}"))
        for name, label in ABLATED.items()
    ]
    keys = ("accuracy", "spikes")
    return [[label, *(evidence.cell(*run, key) for run in both for key in keys)] for label, *both in runs]


def _prices(evidence: Evidence) -> list[list[str]]:
    """Tabulate the energy of BNTT at both prices of a pooled value, beside the ANN's."""
    told, study = (("all arithmetic, µJ", "snn"), ("synapses alone, µJ", "snn_synaptic")), "cifar10-steps25"
    priced = (("bntt", "spikes"), ("bntt", "values"), ("ann", "either"))
    return [[said, *(evidence.priced(study, run, key, price) for run, price in priced)] for said, key in told]


def _longer(evidence: Evidence) -> list[list[str]]:
    """Tabulate ten and thirty epochs side by side."""
    keys = ("accuracy", "spikes")
    short, longer = (
        evidence.rows("longer-training", keys, runs) for runs in (LONGER, tuple(f"{run}-longer" for run in LONGER))
    )
    return [[*row, *after[1:]] for row, after in zip(short, longer, strict=True)]


def tables(evidence: Evidence) -> dict[str, list[str]]:
    """Make every table of the page, by its name in the text."""
    return {
        "exits": table(
            ("", "CIFAR-10, T = 25", "CIFAR-10 whole, T = 25", "Fashion-MNIST, T = 20", "recordings, T = 10"),
            _exits(evidence),
        ),
        "decays": table(
            (
                "",
                "accuracy, %",
                "spikes per image",
                "firing at the last step, % of its peak",
                "steps saved by the exit, %",
            ),
            evidence.rows("gamma-decay", ("accuracy", "spikes", "last-step", "exit-saved")),
        ),
        "at-25": table(
            (
                "",
                "accuracy, %",
                "spikes per image",
                "without noise, %",
                "at σ = 0.4, %",
                "energy, µJ",
                "γ by decay alone",
            ),
            evidence.rows(
                "cifar10-steps25", ("accuracy", "spikes", "noise-0", "noise-04", "energy", "gamma-floor"), AT_25
            ),
        ),
        "prices": table(("", "BNTT at 0.3, by spike", "by value", "ANN"), _prices(evidence)),
        "ablation": table(
            ("", "Fashion-MNIST, T = 8: accuracy, %", "spikes", "CIFAR-10, T = 25: accuracy, %", "spikes"),
            _ablation(evidence),
        ),
        "norms": table(
            ("", "accuracy, %", "statistics measured again, %", "spikes per image"),
            evidence.rows("own-rates", ("accuracy", "recalibrated", "spikes")),
        ),
        "variants": table(
            ("", "accuracy, %", "spikes per image"), evidence.rows("norms-anew", ("accuracy", "spikes"), VARIANTS)
        ),
        "longer": table(
            ("", "10 epochs: accuracy, %", "spikes", "30 epochs: accuracy, %", "spikes"), _longer(evidence)
        ),
        "pixels": table(("", "accuracy, %", "spikes per sequence"), evidence.rows("pixels", ("accuracy", "spikes"))),
        "noise": table(
            ("trained with", "accuracy without noise, %", "at σ = 0.4, %", "points lost"),
            evidence.rows("noise-steps", ("noise-0", "noise-04", "lost-04")),
        ),
        "attacks": table(("network", "clean", "FGSM", "worst case"), attack_rows()),
        "recordings": table(
            ("", "accuracy, %", "spikes per recording"), evidence.rows("table-2", ("accuracy", "spikes"))
        ),
        "alone": table(("recipe", "data", "T", "test accuracy, each seed", "spikes per image"), alone_rows()),
    }


CELL = re.compile(r"{([\w-]+)/([\w-]+)/([\w-]+)}")
DIFFERENCE = re.compile(r"{([\w-]+)/([\w-]+) - ([\w-]+)/([\w-]+)}")


def page() -> str:
    """Make the whole of findings.md: its text, with ``{table}``, ``{study/run/key}`` and ``{study/run - run/key}`` filled in."""
    evidence = Evidence()
    text = introduction("findings") + "\n"
    for name, lines in tables(evidence).items():
        before, place, after = text.partition(f"\n{{{name}}}\n")
        if not place:
            raise ValueError(f"docs/pages/findings.md has no line {{{name}}}: the table would not be shown")
        text = "\n".join((before, "\n".join(lines), after))
    text = DIFFERENCE.sub(lambda found: evidence.difference(*found.groups()), text)
    return CELL.sub(lambda found: evidence.cell(*found.groups()), text)
