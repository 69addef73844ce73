"""The text of docs/evidence/findings.md around its numbers: what is said holds whatever the numbers are."""

from __future__ import annotations

from functools import partial

from pages.findings import (
    Evidence,
    alone_rows,
    attack_rows,
    by_margin,
    change_rows,
    floor_rows,
    floors,
    shown,
)
from pages.findings_conclusions import CHOOSE, choices, in_short, setting_of
from pages.kept import table

FLOOR = """## Where γ learns nothing, its decay decides

Weight decay acts on γ, in the released code and here. A γ without gradient ends at **exp(-Σ lr · decay / (1 - m))**, whatever the
network needs. Nearest to that is the γ of the first layer at the last step: its output can reach the readout only within
that same step. The product, computed update by update, against what was seen, in all runs of BNTT whose number of updates is known:
"""
EXIT = """So the paper's threshold of 0.1 can say something only after a training long enough for the floor to lie below it. That is not
enough: the exit waits until γ of *every* layer is below, and the last layer's sinks last. VGG9 at a quarter of the channels on CIFAR-10
(JPEG copy, 12,000 of the training images, six epochs) and at half of them on all of its images (ten epochs, the released batch, the paper's rate
and schedule), VGG6 on Fashion-MNIST and on a simulated event camera's recordings of it:
"""
ELSEWHERE = """On the whole of CIFAR-10 ten epochs of large batches are too few updates for decay to reach 0.1: at the last step the γ of all eight
layers lie between {low} and {high}, whatever they were before, by decay alone at {floor}. On Fashion-MNIST and the
recordings the γ of fc1 is still above 0.1 at the last step. The paper's threshold stops nothing there. A threshold chosen on validation saves about a quarter of the steps or more there; so does plain truncation. γ can stop only at steps at which
truncation can too, so that it never saves more; no difference is shown."""
DECAY = """## Silence comes from the decay

The same network with decay 5e-4 on γ and without (three epochs, T = 8, firing in % of its peak):
"""
CURVE = """Without decay the last step fires as much as any. Whether decay makes exits earlier is not decided. What decay costs in accuracy and
saves in spikes is a curve; here at T = 4, with direct coding, one start a point:
"""
RATES = """The rate decides how far γ decays, so it trades accuracy for spikes as well, and norms compared at one rate are compared at a rate
that suits one of them. CIFAR-10 (JPEG copy), VGG9 at a quarter of the channels, T = 25, six epochs on 12,000 of the 45,000 training
images, so that no number here can be compared with runs on all of them; BNTT is at the paper's 0.3 unless it says otherwise. At 0.03
γ hardly decays, and BNTT's firing rises and stays, as pooled BN's does (the picture above), and as without decay on Fashion-MNIST.
"""
UNTUNED = """One standard BN, whose running mean takes the batch of every step, is at 0.3 as well and learned nothing there: no rate of its own
was looked for. The network without a norm has Adam's usual 0.001; its two starts are above BNTT's of the same number at 0.3.
The conversion of an ANN (1,000 test images) takes ten times the steps, and five times the spikes of BNTT at 0.3. Energy is that of
arithmetic alone, at 45 nm, zeros skipped, with the updates of neurons and norms at every step. The ANN, which is the more accurate, takes
more than BNTT only if it multiplies every value ({dense} times as much), or if synapses alone are counted ({synapses} µJ against
{synapses_bntt}). BNTT at 0.03 takes three times the energy of BNTT at 0.3.

The smaller gap between training and test accuracy, {gap} points with BNTT at 0.3 and {gap_pooled} with pooled BN at 0.01, does not show
that BNTT regularises: it also fits the training images less well ({known} % of the training images against {known_pooled}). At 0.03, where it learned {known_lower} %, its gap is {gap_lower}."""
PARTS = """## Statistics by step, γ by step

BNTT changes two things against one BN over all steps: the statistics are of one step each, and so is γ. Each alone and both:
"""
PARTED = """With decay on γ, and on Fashion-MNIST, **a γ by step saves spikes** and silences late steps: {gamma_shared} spikes with one γ,
{bntt} with one for each step. It costs accuracy where statistics are shared ({statistics_right} against {neither_right}), and
**statistics by step win a part of that back** ({bntt_right}). The most accurate of the four shares both. BNTT is {behind} below it, a
comparison that the study did not plan, with a third fewer spikes. Whether statistics by step help with one γ is not decided.

On CIFAR-10 at T = 25 and BNTT's rate of 0.3 the order is another, in both starts of each (two are shown, not tested): a γ by step and
statistics by step each make the network more accurate, with and without the other, γ by more; and where γ is shared, spikes multiply. Pooled BN, which differs from
"both shared" by its β, learned nothing at that rate; at a rate of its own it is ahead of all of these, and BNTT at 0.03 of it (above).
"""
NORMS = """## Beside other norms

Norms that pool statistics over steps (tdBN, TEBN) or over the steps so far (TAB) separate the two in another way. By one budget:
"""
TDBN = """tdBN has θ = 0.5 here, since at α θ = 1 it is pooled BN. With θ = 0.5 and α·θ, BNTT loses accuracy too, and tdBN is {ahead} ahead of it
(a comparison that the study did not plan), at {spikes} times its spikes.
"""
LASTS = """A lead after three epochs need not last: after ten, in the table further above, BNTT lies {behind} below its twin that shares both, and on
CIFAR-10 at T = 25 pooled BN at 0.01 is ahead of BNTT at 0.3, and behind BNTT at 0.03. The same network on Fashion-MNIST over ten epochs
and thirty, the schedule stretched with them; "gap" is by how many points training images are better known than test images:
"""
LASTED = """Pooled BN takes twice BNTT's spikes after ten epochs and after thirty, and no difference in accuracy is shown at either. By mean a network without
a norm gains most by longer training, which three starts do not decide. One standard BN differs most from start to start.
"""
PIXELS = """A pixel a step, 784 steps (Fashion-MNIST, 6,000 images, ten epochs, 2,000 test images), gives the widest lead of all; but
parameters for each step also tell a network which pixel it is reading:
"""
NO_BETTER = """## Where BNTT was not shown to be better

"""
NOISE = """Noise of σ = 0.4 takes {quarter} from a network trained with T/4 steps, {whole} from one trained with T.
"""
ATTACKS = """Under FGSM of 2/255 and more BNTT stays above an ANN on CIFAR-10 at T = 25; at 1/255 no difference is shown, {one}. So does
pooled BN ({pooled} % at 2/255, BNTT {bntt}, the ANN {ann}): random coding may do it, rather than the norm. The gradient of a spiking
network is a mean over two draws there; that of the ANN is exact.

Images changed on purpose, one start each, % right of 500 images at ε = 8/255; the worst case is over FGSM and PGD with gradients
averaged over 16 draws, and a search without gradients:
"""
ALONE = """## Accuracy alone, and one change at a time

Recipes for accuracy, not for few spikes. Numbers are of the runs, in float32; packaged networks ([list](../reference/zoo.md)) may be rounded to float16 and differ a little:
"""
CHANGES = """`fashion-mnist-best` at half its width, four epochs, one thing changed at a time, one start each: half a point either way may be chance.
"""
ABLATED = {
    "both-by-step": "BNTT: statistics and γ by step",
    "gamma-shared": "statistics by step, one γ",
    "statistics-shared": "one pair of statistics, γ by step",
    "both-shared": "both shared",
    "pooled": "both shared, with β (pooled BN)",
}


def picture(files: dict[str, str], place: str, alt: str) -> list[str]:
    """Show a picture where there is one."""
    return ["", f"![{alt}](../pictures/{files[place]})", ""] if place in files else [""]


def text_of(evidence: Evidence) -> str:
    """Write the page below its introduction."""
    files = shown(evidence)
    heads = ("data", "network", "T", "fires", "epochs", "rate", "decay of γ", "by decay alone", "seen", "runs")
    parts = [in_short(evidence), FLOOR, *table(heads, floor_rows(floors()))]
    parts += picture(files, "floor", "γ seen against γ by decay alone: the points lie on the line; for T = 2 and for 30 epochs above it")
    parts += [EXIT, *_exits(evidence)]
    parts += picture(files, "cifar10-steps25", "firing rate and mean γ of every layer over 25 steps, a conversion over 250")
    parts += [DECAY, *_decays(evidence), "", CURVE]
    parts += picture(files, "decay", "accuracy against spikes at five decays of γ")
    parts += [RATES, *_rates(evidence), ""]
    parts += [PARTS, *_ablation(evidence), "", _parted(evidence), NORMS]
    parts += picture(files, "norms", "accuracy against spikes of every norm")
    parts += [f"{setting_of(evidence, 'norms-anew')}:\n", *_beside(evidence), "", _at_one_threshold(evidence)]
    parts += [LASTS.format(behind=_behind(evidence))]
    parts += [*_longer(evidence), "", LASTED]
    parts += [PIXELS, *table(("", "accuracy, %", "spikes a sequence"), evidence.rows("pixels", ("accuracy", "spikes"))), ""]
    parts += [NO_BETTER, *_no_better(evidence)]
    parts += picture(files, "figure-8", "accuracy against the deviation of the noise")
    parts += [NOISE.format(**{run: evidence.cell("noise-steps", run, "lost-04", " points") for run in ("quarter", "whole")}), _attacks(evidence)]
    parts += table(("network", "clean", "FGSM", "worst case"), attack_rows())
    parts += ["", CHOOSE, *choices(evidence), "", ALONE]
    parts += table(("recipe", "data", "T", "test accuracy, each start", "spikes an image"), alone_rows())
    parts += ["", CHANGES, *table(("changed", "test accuracy", "points", "spikes an image"), change_rows())]
    return "\n".join(parts) + "\n"


def _exits(evidence: Evidence) -> list[str]:
    """Tabulate the floor and three ways to stop of four trainings."""
    runs = (("cifar10-steps25", "bntt"), ("cifar10-whole", "bntt"), ("figure-7-elsewhere", "images"), ("figure-7-elsewhere", "events"))
    ways = (
        ("stopped by γ at the paper's threshold of 0.1", "paper-exit"),
        ("by the threshold that validation chose", "exit"),
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
    each = f"Where each image stops by its own margin (`bntt exit --per-sample`), it takes {by_margin()}."
    heads = ("", "CIFAR-10, T = 25", "CIFAR-10 whole, T = 25", "Fashion-MNIST, T = 20", "recordings, T = 10")
    last = evidence.last_gamma("cifar10-whole")
    elsewhere = ELSEWHERE.format(low=f"{min(last):.3f}", high=f"{max(last):.3f}", floor=evidence.cell("cifar10-whole", "bntt", "gamma-floor"))
    return [*table(heads, rows), "", elsewhere, "", each]


def _decays(evidence: Evidence) -> list[str]:
    keys = ("accuracy", "spikes", "last-step", "exit-saved", "exit-lost")
    heads = ("", "accuracy, %", "spikes an image", "firing at the last step", "steps saved by the exit, %", "points lost")
    return table(heads, evidence.rows("gamma-decay", keys))


def _rates(evidence: Evidence) -> list[str]:
    runs = ("bntt", "bntt-lower-rate", "pooled-same-rate", "pooled-higher-rate", "pooled", "bn", "none", "conversion", "ann")
    rows = evidence.rows("cifar10-steps25", ("accuracy", "spikes", "noise-04", "energy", "gamma-floor"), runs)
    claims = table(("question", "verdict", "why"), evidence.claims("cifar10-steps25", "at 0.03 BNTT is", "BNTT fires less"))
    heads = ("", "accuracy, %", "spikes an image", "right at noise of σ = 0.4, %", "energy, µJ", "γ by decay alone")
    return [*table(heads, rows), "", *claims, "", _untuned(evidence)]


def _untuned(evidence: Evidence) -> str:
    of = partial(evidence.cell, "cifar10-steps25")
    return UNTUNED.format(
        dense=of("bntt", "ann-over-snn"),
        synapses=of("ann", "energy-synaptic"),
        synapses_bntt=of("bntt", "energy-synaptic"),
        gap=of("bntt", "gap"),
        gap_pooled=of("pooled", "gap"),
        gap_lower=of("bntt-lower-rate", "gap"),
        known=of("bntt", "on-training"),
        known_pooled=of("pooled", "on-training"),
        known_lower=of("bntt-lower-rate", "on-training"),
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
    claims = table(("", "verdict", "why"), evidence.claims(study, "statistics by step", "a γ by step", "late steps", "CIFAR-10"))
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
    """Say how far BNTT lies below one pair of statistics and one γ for all steps, after ten epochs."""
    return evidence.difference("per-step-ablation", "both-shared", "both-by-step")


def _at_one_threshold(evidence: Evidence) -> str:
    """Say what tdBN does beside a BNTT of its threshold and scale."""
    ahead = evidence.difference("norms-anew", "tdbn", "bntt-scaled")
    spikes = [evidence.mean("norms-anew", run, "spikes") for run in ("tdbn", "bntt-scaled")]
    return TDBN.format(ahead=ahead, spikes=f"{spikes[0] / spikes[1]:.1f}")


def _attacks(evidence: Evidence) -> str:
    of = {run: evidence.cell("cifar10-steps25", run, "fgsm-2") for run in ("bntt", "pooled", "ann")}
    one = evidence.difference("cifar10-steps25", "bntt", "ann", "fgsm-1")
    return ATTACKS.format(one=one, **of)


def _beside(evidence: Evidence) -> list[str]:
    """Tabulate BNTT beside other norms, with the verdicts as they are."""
    asked = ("BNTT is more accurate", "BNTT is as accurate", "BNTT at θ = 1 is more", "BNTT takes fewer spikes than pooled BN, tdBN")
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
    """Tabulate the claims in which BNTT may be no better, but those that hold."""
    rows = [
        *evidence.claims("cifar10-steps25", "BNTT is more accurate than pooled BN", "BNTT costs less arithmetic than that ANN"),
        *evidence.claims("table-2", "BNTT is more accurate than no norm"),
        *evidence.claims("figure-8", "BNTT bears noise better than the surrogate", "BNTT bears noise better than conversion"),
        *evidence.claims("section-3.3", "a threshold that varies with time"),
        *evidence.claims("stability", "fewer starts fail with BNTT than with one"),
    ]
    spikes = "; ".join(f"{label} {cell}" for label, cell in evidence.rows("table-2", ("spikes",)))
    open_ = [row for row in rows if not row[1].startswith("**holds")]
    return [*table(("claim or question", "verdict", "why"), open_), "", f"Spikes of a simulated recording: {spikes}."]
