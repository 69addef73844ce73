"""The text of docs/evidence/findings.md around its numbers; it holds whatever the numbers are."""

from __future__ import annotations

from functools import partial

from pages.evidence import Evidence
from pages.findings import (
    alone_rows,
    attack_rows,
    by_margin,
    change_rows,
    floor_rows,
    floors,
    shown,
)
from pages.findings_conclusions import CHOOSE, choices, in_short, setting_of
from pages.findings_rates import rates
from pages.kept import table

FLOOR = """## Without a gradient, decay alone sets γ

Weight decay acts on γ, in the released code and here. A γ without gradient ends at **exp(-Σ lr · decay / (1 - m))**,
whatever the network needs. The γ of the first layer at the last step comes closest to this: its output can reach the
readout only within that same step. The table compares this value, computed update by update, with the γ that was
observed, in all runs of BNTT whose number of updates is known:
"""
EXIT = """So the paper's threshold of 0.1 can have an effect only after a training that is long enough for the floor to fall below
it. That is not sufficient: the exit waits until the γ of *every* layer is below, and that of the last layer falls last.
The table shows VGG9 at a quarter of the channels on CIFAR-10 (JPEG copy, 12,000 of the training images, six epochs) and
at half of the channels on all of CIFAR-10 (ten epochs, the released batch size, the paper's rate and schedule), and
VGG6 on Fashion-MNIST and on recordings of it by a simulated event camera:
"""
ELSEWHERE = """On all of CIFAR-10, ten epochs of large batches are too few updates for decay to reach 0.1: at the last step the γ of
all eight layers lie between {low} and {high}, whatever they are at earlier steps; decay alone would give {floor}. On
Fashion-MNIST and on the recordings, the γ of fc1 is still above 0.1 at the last step. So the paper's threshold stops
nothing in these three settings. A threshold chosen on validation saves about a quarter of the steps or more there; so
does plain truncation. γ can stop only at steps at which truncation can stop too, so it never saves more; no difference
is shown."""
DECAY = """## Silence comes from the decay

The same network with decay 5e-4 on γ and without (three epochs, T = 8, firing in % of its peak):
"""
CURVE = """Without decay the last step fires as much as any other. Whether decay makes exits earlier is not decided. More decay
costs more accuracy and saves more spikes; here at T = 4, with direct coding, one start per point:
"""
PARTS = """## Statistics per step, γ per step

BNTT differs from one BN over all steps in two ways: it has statistics per step, and a γ per step. Each of them alone,
and both:
"""
PARTED = """On Fashion-MNIST, with decay on γ, **a γ per step saves spikes** and silences late steps: {gamma_shared} spikes with one
γ, {bntt} with one for each step. It costs accuracy if statistics are shared ({statistics_right} against
{neither_right}), and **statistics per step win part of that back** ({bntt_right}). The most accurate of the four
networks shares both. BNTT is {behind} below it, a comparison that the study did not plan, with a third fewer spikes.
Whether statistics per step help with one γ is not decided.

On CIFAR-10 at T = 25 and BNTT's rate of 0.3 the order is different, in both starts of each (two starts are shown, not
tested): a γ per step and statistics per step each make the network more accurate, with and without the other, and γ has
the larger effect. If γ is shared, there are several times as many spikes. Pooled BN, which differs from "both shared"
by its β, learned nothing at that rate; at its own rate it is ahead of all of these, and BNTT at 0.03 is ahead of pooled
BN (above).
"""
NORMS = """## Compared with other norms

Norms that pool statistics over all steps (tdBN, TEBN) or over the steps so far (TAB) separate the two in other ways.
With the same budget for all:
"""
TDBN = """tdBN has θ = 0.5 here, because at α θ = 1 it equals pooled BN. With θ = 0.5 and the factor α·θ, BNTT loses accuracy too:
tdBN is then {ahead} ahead of it (a comparison that the study did not plan), at {spikes} times its spikes.
"""
LASTS = """A lead after three epochs need not last: after ten epochs (table of statistics and γ per step, above) BNTT is {behind}
below the network that shares both. On CIFAR-10 at T = 25, pooled BN at 0.01 is ahead of BNTT at 0.3, and behind BNTT at
0.03. The same network on Fashion-MNIST over ten and thirty epochs, with the schedule stretched accordingly; "gap" is
training accuracy minus test accuracy, in points:
"""
LASTED = """Pooled BN takes twice as many spikes as BNTT after ten epochs and after thirty, and no difference in accuracy is shown
after either. On average a network without a norm gains most from longer training, which three starts do not decide. One
standard BN varies most from start to start.
"""
PIXELS = """The lead is largest with one pixel per step, 784 steps (Fashion-MNIST, 6,000 images, ten epochs, 2,000 test images); but
parameters for each step also tell a network which pixel it is reading:
"""
NO_BETTER = """## Where BNTT was not shown to be better

"""
NOISE = """Noise of σ = 0.4 costs a network trained with T/4 steps less than one trained with T steps, which is more accurate
without noise (the same 1,000 test images, {starts} starts):

{table}
"""
ATTACKS = """Under FGSM of 2/255 and more BNTT stays above an ANN on CIFAR-10 at T = 25; at 1/255 no difference is shown, {one}.
Pooled BN stays above the ANN too ({pooled} % at 2/255, BNTT {bntt}, the ANN {ann}, on 1,000 images): the reason may be random
coding rather than the norm. The gradient of a spiking network is a mean over two draws there; the gradient of the
ANN is exact.

Adversarial images, one start each: accuracy in % on 500 images at ε = 8/255. The worst case is over FGSM and PGD with
gradients averaged over 16 draws, and a search without gradients:
"""
ALONE = """## Recipes for accuracy, and one change at a time

These recipes aim at accuracy, not at few spikes. Numbers are those of the runs, in float32; the packaged networks
([list](../reference/zoo.md)) can be rounded to float16 and differ slightly:
"""
CHANGES = """`fashion-mnist-best` at half its width, four epochs, one thing changed at a time, one start each: half a point in either
direction may be chance.
"""
ABLATED = {
    "both-by-step": "BNTT: statistics and γ per step",
    "gamma-shared": "statistics per step, one γ",
    "statistics-shared": "one pair of statistics, γ per step",
    "both-shared": "both shared",
    "pooled": "both shared, with β (pooled BN)",
}


def picture(files: dict[str, str], place: str, alt: str) -> list[str]:
    """Show a picture where there is one."""
    return ["", f"![{alt}](../pictures/{files[place]})", ""] if place in files else [""]


def text_of(evidence: Evidence) -> str:
    """Write the page below its introduction."""
    files = shown(evidence)
    heads = ("data", "network", "T", "fires", "epochs", "rate", "decay of γ", "by decay alone", "observed", "runs")
    parts = [in_short(evidence), FLOOR, *table(heads, floor_rows(floors()))]
    parts += picture(
        files,
        "floor",
        "observed γ against γ by decay alone: the points lie on the line, except above it for T of 2 and 4 and for 30 epochs",
    )
    parts += [EXIT, *_exits(evidence)]
    parts += picture(
        files, "cifar10-steps25", "firing rate and mean γ of every layer over 25 steps, a conversion over 250"
    )
    parts += [DECAY, *_decays(evidence), "", CURVE]
    parts += picture(files, "decay", "accuracy against spikes at five decays of γ")
    parts += [*rates(evidence), ""]
    parts += [PARTS, *_ablation(evidence), "", _parted(evidence), NORMS]
    parts += picture(files, "norms", "accuracy against spikes of every norm")
    parts += [f"{setting_of(evidence, 'norms-anew')}:\n", *_beside(evidence), "", _at_one_threshold(evidence)]
    parts += [LASTS.format(behind=_behind(evidence))]
    parts += [*_longer(evidence), "", LASTED]
    heads = ("", "accuracy, %", "spikes per sequence")
    parts += [PIXELS, *table(heads, evidence.rows("pixels", ("accuracy", "spikes"))), ""]
    parts += [NO_BETTER, *_no_better(evidence)]
    parts += picture(files, "figure-8", "accuracy against the deviation of the noise")
    parts += [_noise(evidence), _attacks(evidence)]
    parts += table(("network", "clean", "FGSM", "worst case"), attack_rows())
    parts += ["", CHOOSE, *choices(evidence), "", ALONE]
    parts += table(("recipe", "data", "T", "test accuracy, each start", "spikes per image"), alone_rows())
    parts += ["", CHANGES, *table(("changed", "test accuracy", "points", "spikes per image"), change_rows())]
    return "\n".join(parts) + "\n"


def _exits(evidence: Evidence) -> list[str]:
    """Tabulate the floor and three ways to stop of four trainings."""
    runs = (
        ("cifar10-steps25", "bntt"),
        ("cifar10-whole", "bntt"),
        ("figure-7-elsewhere", "images"),
        ("figure-7-elsewhere", "events"),
    )
    ways = (
        ("stopped by γ at the paper's threshold of 0.1", "paper-exit"),
        ("by γ at the threshold chosen on validation", "exit"),
        ("plain truncation, chosen on validation", "truncation"),
    )
    told = (
        ("accuracy with all steps, %", "accuracy"),
        ("γ by decay alone", "gamma-floor"),
        ("smallest mean |γ| of a layer and step", "gamma-smallest"),
    )
    rows = [[said, *(evidence.cell(*run, key) for run in runs)] for said, key in told]
    for said, way in ways:
        rows.append([f"{said}: steps saved, %", *(evidence.cell(*run, f"{way}-saved") for run in runs)])
        rows.append(["points lost", *(evidence.cell(*run, f"{way}-lost") for run in runs)])
    each = f"If each image stops by its own margin (`bntt exit --per-sample`), it takes {by_margin()}."
    heads = ("", "CIFAR-10, T = 25", "CIFAR-10 whole, T = 25", "Fashion-MNIST, T = 20", "recordings, T = 10")
    last = evidence.last_gamma("cifar10-whole")
    elsewhere = ELSEWHERE.format(
        low=f"{min(last):.3f}", high=f"{max(last):.3f}", floor=evidence.cell("cifar10-whole", "bntt", "gamma-floor")
    )
    return [*table(heads, rows), "", elsewhere, "", each]


def _decays(evidence: Evidence) -> list[str]:
    keys = ("accuracy", "spikes", "last-step", "exit-saved", "exit-lost")
    heads = (
        "",
        "accuracy, %",
        "spikes per image",
        "firing at the last step",
        "steps saved by the exit, %",
        "points lost",
    )
    return table(heads, evidence.rows("gamma-decay", keys))


def _noise(evidence: Evidence) -> str:
    """Tabulate what noise costs by number of steps, on the same images."""
    rows = evidence.rows("noise-steps", ("noise-0", "noise-04", "lost-04"))
    heads = ("trained with", "accuracy without noise, %", "at σ = 0.4, %", "points lost")
    return NOISE.format(
        table="\n".join(table(heads, rows)), starts=evidence.row("noise-steps", "whole")["cells"]["noise-04"]["n"]
    )


def _ablation(evidence: Evidence) -> list[str]:
    study, keys = "per-step-ablation", ("accuracy", "spikes")
    rows = [
        [
            label,
            *(evidence.cell(study, run, key) for key in keys),
            *(evidence.cell(study, f"cifar10-{run}", key) for key in keys),
        ]
        for run, label in ABLATED.items()
    ]
    heads = ("", "Fashion-MNIST, T = 8: accuracy, %", "spikes", "CIFAR-10, T = 25: accuracy, %", "spikes")
    claims = table(
        ("", "verdict", "why"), evidence.claims(study, "statistics by step", "a γ by step", "late steps", "CIFAR-10")
    )
    return [*table(heads, rows), "", *claims]


def _parted(evidence: Evidence) -> str:
    of = partial(evidence.cell, "per-step-ablation")

    return PARTED.format(
        gamma_shared=of("gamma-shared", "spikes"),
        bntt=of("both-by-step", "spikes"),
        bntt_right=of("both-by-step", "accuracy", " %"),
        statistics_right=of("statistics-shared", "accuracy", " %"),
        neither_right=of("both-shared", "accuracy", " %"),
        behind=_behind(evidence),
    )


def _behind(evidence: Evidence) -> str:
    """Say how far BNTT is below the network with shared statistics and γ, after ten epochs."""
    return evidence.difference("per-step-ablation", "both-shared", "both-by-step")


def _at_one_threshold(evidence: Evidence) -> str:
    """Compare tdBN with BNTT at the same threshold and scale."""
    ahead = evidence.difference("norms-anew", "tdbn", "bntt-scaled")
    return TDBN.format(ahead=ahead, spikes=f"{evidence.times('norms-anew', 'tdbn', 'bntt-scaled'):.1f}")


def _attacks(evidence: Evidence) -> str:
    of = {run: evidence.cell("cifar10-steps25", run, "fgsm-2") for run in ("bntt", "pooled", "ann")}
    one = evidence.difference("cifar10-steps25", "bntt", "ann", "fgsm-1")
    return ATTACKS.format(one=one, **of)


def _beside(evidence: Evidence) -> list[str]:
    """Tabulate the claims that compare BNTT with other norms, and their verdicts."""
    asked = (
        "BNTT is more accurate",
        "BNTT is as accurate",
        "BNTT at θ = 1 is more",
        "BNTT takes fewer spikes than pooled BN, tdBN",
    )
    return table(("claim or question", "verdict", "why"), evidence.claims("norms-anew", *asked))


def _longer(evidence: Evidence) -> list[str]:
    """Tabulate what longer training does, and whether BNTT's leads last."""
    study, keys = "longer-training", ("accuracy", "spikes", "gap")
    short = evidence.rows(study, keys, ("bntt", "pooled", "bn", "none"))
    longer = evidence.rows(study, keys, ("bntt-longer", "pooled-longer", "bn-longer", "none-longer"))
    rows = [[*row, *after[1:]] for row, after in zip(short, longer, strict=True)]
    heads = ("", "10 epochs: accuracy, %", "spikes", "gap", "30 epochs: accuracy, %", "spikes", "gap")
    claims = evidence.claims(study, "after longer training BNTT is more accurate", "BNTT's lead")
    return [*table(heads, rows), "", *table(("claim or question", "verdict", "why"), claims)]


def _no_better(evidence: Evidence) -> list[str]:
    """Tabulate claims of an advantage of BNTT that do not hold or are not decided."""
    rows = [
        *evidence.claims(
            "cifar10-steps25", "BNTT is more accurate than pooled BN", "BNTT costs less arithmetic than that ANN"
        ),
        *evidence.claims("table-2", "BNTT is more accurate than no norm"),
        *evidence.claims(
            "figure-8", "BNTT bears noise better than the surrogate", "BNTT bears noise better than conversion"
        ),
        *evidence.claims("section-3.3", "a threshold that varies with time"),
        *evidence.claims("stability", "fewer starts fail with BNTT than with one"),
    ]
    spikes = "; ".join(f"{label} {cell}" for label, cell in evidence.rows("table-2", ("spikes",)))
    open_ = [row for row in rows if not row[1].startswith("**holds")]
    return [*table(("claim or question", "verdict", "why"), open_), "", f"Spikes per simulated recording: {spikes}."]
