"""What docs/evidence/findings.md says of CIFAR-10 at T = 25: learning rates, noise, energy, and gaps."""

from __future__ import annotations

from functools import partial

from pages.evidence import Evidence, ratio
from pages.kept import table

RATES = """The learning rate determines how far γ decays, so it trades accuracy for spikes as well; and a single rate for all norms
would suit only one of them. The table is for CIFAR-10 (JPEG copy), VGG9 at a quarter of the channels, T = 25, six
epochs on 12,000 of the 45,000 training images; its numbers cannot be compared with runs on all of them. BNTT is trained
at the paper's 0.3 unless stated otherwise. Decay alone takes {paper} % of a γ at 0.3, {lower} % at 0.03, where BNTT's firing
rises and stays high, as with pooled BN (the picture above), and as without decay on Fashion-MNIST. Accuracy and spikes
are of 10,000 test images (the conversion's of 1,000), both columns of noise of the same 1,000. Means over different
starts, whose number is in brackets, cannot be subtracted; the verdicts compare the same starts.
"""
UNTUNED = """One standard BN, whose running mean takes the batch of every step, was also trained at 0.3 and learned nothing; no
better rate was searched for. The network without a norm uses Adam's usual 0.001; its two starts are above BNTT's starts
with the same numbers at 0.3. The conversion of an ANN takes ten times the steps and five times the spikes of BNTT at
0.3.

Energy counts arithmetic only, at 45 nm, with zeros skipped, and includes the updates of neurons and norms at every
step. A pooled value that holds several spikes has two prices: "by spike" each of them is an addition, as in the table
above and in all studies; "by value" it is one multiply-accumulate:

{prices}

By either price the ANN, which is more accurate, takes less energy than BNTT unless it multiplies every value. Of
synapses alone it takes more by spike and less by value. By spike BNTT at 0.03 takes {times} times the energy of the same
starts at 0.3, by value {times_by_value} times.

The gap between training and test accuracy is smaller with BNTT at 0.3, {gap} points, than with pooled BN at 0.01,
{gap_pooled}. That does not show that BNTT regularises: it also fits the training images less well ({known} % correct
against {known_pooled}). At 0.03, where it fits {known_lower} %, its gap is {gap_lower}."""


def rates(evidence: Evidence) -> list[str]:
    """Tabulate the networks at T = 25, and say what their energy and their gaps are."""
    runs = (
        "bntt",
        "bntt-lower-rate",
        "pooled-same-rate",
        "pooled-higher-rate",
        "pooled",
        "bn",
        "none",
        "conversion",
        "ann",
    )
    rows = evidence.rows(
        "cifar10-steps25", ("accuracy", "spikes", "noise-0", "noise-04", "energy", "gamma-floor"), runs
    )
    claims = table(
        ("question", "verdict", "why"), evidence.claims("cifar10-steps25", "at 0.03 BNTT is", "BNTT fires less")
    )
    heads = (
        "",
        "accuracy, %",
        "spikes per image",
        "1,000 images: without noise, %",
        "at σ = 0.4, %",
        "energy by spike, µJ",
        "γ by decay alone",
    )
    said = RATES.format(lower=_decayed(evidence, "bntt-lower-rate"), paper=_decayed(evidence, "bntt"))
    return [said, *table(heads, rows), "", *claims, "", _untuned(evidence)]


def _untuned(evidence: Evidence) -> str:
    of = partial(evidence.cell, "cifar10-steps25")
    return UNTUNED.format(
        prices="\n".join(_prices(evidence)),
        times=_times(evidence, "spikes"),
        times_by_value=_times(evidence, "values"),
        gap=of("bntt", "gap"),
        gap_pooled=of("pooled", "gap"),
        gap_lower=of("bntt-lower-rate", "gap"),
        known=of("bntt", "on-training"),
        known_pooled=of("pooled", "on-training"),
        known_lower=of("bntt-lower-rate", "on-training"),
    )


def _prices(evidence: Evidence) -> list[str]:
    """Tabulate the energy of BNTT at both prices of a pooled value, beside the ANN's."""
    of = partial(evidence.priced, "cifar10-steps25")
    told = (("all arithmetic, µJ", "snn"), ("synapses alone, µJ", "snn_synaptic"))
    rows = [
        [said, of("bntt", key, "spikes"), of("bntt", key, "values"), of("ann", key, "either")] for said, key in told
    ]
    ratios = [of("bntt", "ann_over_snn", price) for price in ("spikes", "values")]
    rows.append(["an ANN that multiplies every value: times BNTT's energy", *ratios, ""])
    return table(("", "BNTT at 0.3, by spike", "by value", "ANN"), rows)


def _times(evidence: Evidence, price: str) -> str:
    """Return how many times the energy at 0.3 the same starts take at 0.03."""
    lower, paper = (evidence.energy("cifar10-steps25", run, "snn", price) for run in ("bntt-lower-rate", "bntt"))
    return f"{ratio(lower, paper):.1f}"


def _decayed(evidence: Evidence, run: str) -> str:
    """Return how many % of a γ without gradient decay takes."""
    return f"{100 * (1 - evidence.mean('cifar10-steps25', run, 'gamma-floor')):.0f}"
