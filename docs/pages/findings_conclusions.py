"""Conclusions of docs/evidence/findings.md: in short, and what to choose for which purpose."""

from __future__ import annotations

from pages.evidence import Evidence, between
from pages.findings import norms_study
from pages.kept import table

CHOOSE = """## What to choose, when

According to these runs, at their size:
"""

SHORT = """## In short

- **Silence comes from the decay of γ.** A γ without gradient ends at exp(-Σ lr · decay / (1 - m)): after six epochs at
  T = 25 this predicts {floor}, and {seen} was observed. On Fashion-MNIST without decay the last step fires as much as
  any other, and an image takes {no_decay} spikes instead of {decay}.
- **A γ per step saves spikes; adding statistics per step improves accuracy.** Fashion-MNIST, ten epochs: {shared}
  spikes with one γ, {by_step} with a γ per step; statistics per step add {statistics} points there, and sharing both
  is {ahead} above BNTT. On CIFAR-10 at T = 25 each of the two made both starts more accurate.
- **The learning rate matters as much as the norm.** CIFAR-10, T = 25: BNTT reaches {at_03} % at the paper's rate of
  0.3, pooled BN {pooled} % at 0.01, and BNTT {at_003} % at 0.03, where it fires {times} times as much as the same starts
  at 0.3.
- **A lead can vanish.** Fashion-MNIST, three epochs: BNTT is {least} points above pooled BN, {most} above layer norm.
  After ten and thirty epochs no difference from pooled BN is shown, at half its spikes. With one pixel per step its
  lead is {pixel_least} to {pixel_most} points.
- **The paper's exit, at γ below 0.1,** saves {saved} % of the steps on CIFAR-10 at T = 25 and loses {lost} points, where
  plain truncation, chosen on validation, saves {cut} % and loses {cut_lost}. In three other settings the paper's exit
  saves nothing.
- **Not better:** on CIFAR-10 at T = 25 BNTT costs more arithmetic than an ANN that skips zeros, whether a pooled value
  is priced by spike or by value; in study `energy` the difference is {by_spike} by spike and
  {by_value} by value (three starts). No advantage is shown over a network without a norm under
  noise, or on simulated recordings at a rate of 0.1.
"""


def in_short(evidence: Evidence) -> str:
    """Summarise the page in six points with their numbers."""

    def points(study: str, *beginnings: str) -> list[float]:
        found = [one for one in evidence.studies[study]["claims"] if one["says"].startswith(beginnings)]
        return sorted(one["effects"][0]["mean"] for one in found)

    at_25, alone = "cifar10-steps25", "per-step-ablation"
    pixels = points("pixels", "at a rate of")
    costs = {
        price: between(*(evidence.energy("energy", run, "snn", price) for run in ("bntt", "ann")), "µJ")
        for price in ("spikes", "values")
    }
    return SHORT.format(
        floor=f"{evidence.mean(at_25, 'bntt', 'gamma-floor'):.3f}",
        seen=f"{evidence.mean(at_25, 'bntt', 'gamma-smallest'):.3f}",
        decay=f"{evidence.mean('gamma-decay', 'decay', 'spikes'):,.0f}",
        no_decay=f"{evidence.mean('gamma-decay', 'no-decay', 'spikes'):,.0f}",
        shared=f"{evidence.mean(alone, 'gamma-shared', 'spikes'):,.0f}",
        by_step=f"{evidence.mean(alone, 'both-by-step', 'spikes'):,.0f}",
        ahead=evidence.difference(alone, "both-shared", "both-by-step"),
        statistics=f"{points(alone, 'statistics by step make it more accurate, with a γ by step')[0]:.1f}",
        at_03=f"{evidence.mean(at_25, 'bntt', 'accuracy'):.1f}",
        pooled=f"{evidence.mean(at_25, 'pooled', 'accuracy'):.1f}",
        at_003=f"{evidence.mean(at_25, 'bntt-lower-rate', 'accuracy'):.1f}",
        times=f"{evidence.times(at_25, 'bntt-lower-rate', 'bntt'):.1f}",
        least=f"{points('norms-anew', 'BNTT is more accurate than pooled BN')[0]:.1f}",
        most=f"{points('norms-anew', 'BNTT is more accurate than layer')[0]:.1f}",
        pixel_least=f"{pixels[0]:.0f}",
        pixel_most=f"{pixels[-1]:.0f}",
        saved=f"{evidence.mean(at_25, 'bntt', 'paper-exit-saved'):.0f}",
        lost=f"{evidence.mean(at_25, 'bntt', 'paper-exit-lost'):.2f}",
        cut=f"{evidence.mean(at_25, 'bntt', 'truncation-saved'):.0f}",
        cut_lost=f"{evidence.mean(at_25, 'bntt', 'truncation-lost'):.2f}",
        by_spike=costs["spikes"],
        by_value=costs["values"],
    )


def setting_of(evidence: Evidence, study: str) -> str:
    """Describe what a study trained."""
    return str(evidence.studies[study]["setting_about"]).rstrip(".")


def choices(evidence: Evidence) -> list[str]:
    """Tabulate the best choice for each purpose, with the numbers behind it."""
    norms = norms_study(evidence)
    other = if_all_hold(
        evidence, norms, "BNTT", "BNTT is more accurate than TEBN", "BNTT is more accurate than pooled BN"
    )
    exits = if_all_hold(evidence, "cifar10-steps25", "either", "plain truncation", "the threshold of γ chosen")
    noisy = if_all_hold(evidence, "noise-steps", "with fewer steps", "with fewer steps noisy images are")
    alone = if_all_hold(evidence, "figure-8", "with BNTT", "BNTT bears noise better than the surrogate")
    half = evidence.difference("noise-steps", "half", "whole", "noise-04")
    events = if_all_hold(evidence, "table-2", "BNTT", "BNTT is more accurate than no norm")

    of = evidence.cell
    rows = [
        [
            "few spikes",
            "BNTT with decay 5e-4 on γ",
            f"{of('gamma-decay', 'decay', 'spikes')} spikes, without decay {of('gamma-decay', 'no-decay', 'spikes')}",
        ],
        [
            "accuracy rather than few spikes",
            f"decay 1e-4 or none on γ, or a lower rate, at which it decays less; of BNTT, TEBN and one BN over all steps (`bn-pooled`), after three "
            f"epochs: {other}; for longer trainings try `bn-pooled` too (above)",
            f"{of('gamma-decay', 'no-decay', 'accuracy', ' %')} without decay, {of('gamma-decay', 'decay', 'accuracy', ' %')} "
            f"with ({setting_of(evidence, 'gamma-decay')}); the norms {of(norms, 'bntt', 'accuracy', ' %')}, "
            f"{of(norms, 'tebn', 'accuracy', ' %')}, {of(norms, 'pooled', 'accuracy', ' %')} ({setting_of(evidence, norms)})",
        ],
        [
            "an early exit",
            f"γ or plain truncation, both chosen on validation images (`bntt exit`): {exits}",
            "; ".join(
                f"{of('cifar10-steps25', 'bntt', f'{way}-saved', ' %')} saved for "
                f"{of('cifar10-steps25', 'bntt', f'{way}-lost', ' points')} by {said}"
                for way, said in (("truncation", "truncation"), ("exit", "γ"), ("paper-exit", "γ at 0.1"))
            ),
        ],
        [
            "noisy images",
            f"BNTT rather than one BN over all steps; no norm or BNTT: {alone}; perhaps fewer steps: a quarter of the steps or all: {noisy}; "
            f"half of the steps was {half} above all (not planned)",
            f"accuracy of 1,000 images at σ = 0.4: BNTT {of('cifar10-steps25', 'bntt', 'noise-04', ' %')}, pooled BN at 0.01 "
            f"{of('cifar10-steps25', 'pooled', 'noise-04', ' %')} (CIFAR-10, T = 25); no norm {of('figure-8', 'none', 'noise-04', ' %')}, "
            f"BNTT {of('figure-8', 'bntt', 'noise-04', ' %')} ({setting_of(evidence, 'figure-8')}); T/4 "
            f"{of('noise-steps', 'quarter', 'noise-04', ' %')}, T/2 {of('noise-steps', 'half', 'noise-04', ' %')}, T "
            f"{of('noise-steps', 'whole', 'noise-04', ' %')} ({setting_of(evidence, 'noise-steps')})",
        ],
        [
            "recordings of events",
            f"BNTT at a rate at which γ decays; at 0.1, BNTT or no norm: {events}",
            f"at 0.3, half the channels, six epochs: {of('figure-7-elsewhere', 'events', 'accuracy', ' %')} with "
            f"{of('figure-7-elsewhere', 'events', 'spikes')} spikes; at 0.1, all channels, five epochs: BNTT "
            f"{of('table-2', 'bntt', 'accuracy', ' %')} with {of('table-2', 'bntt', 'spikes')}, no norm "
            f"{of('table-2', 'none', 'accuracy', ' %')} with {of('table-2', 'none', 'spikes')} (settings differ: shown, not tested)",
        ],
        [
            "a network that runs without PyTorch",
            "the exact fold, never Eq. 15 alone",
            f"same answers: {of('section-3.3', 'bntt', 'exact-agreement', ' %')} and {of('section-3.3', 'bntt', 'eq15-agreement', ' %')}",
        ],
        [
            "one standard BN nevertheless",
            "twice the steps, at more than five times the spikes",
            f"{of('standard-bn-steps', 'bn-2t', 'accuracy', ' %')} with {of('standard-bn-steps', 'bn-2t', 'spikes')} spikes; BNTT "
            f"{of('standard-bn-steps', 'bntt', 'accuracy', ' %')} with {of('standard-bn-steps', 'bntt', 'spikes')}",
        ],
    ]
    return table(("you want", "choose", "because"), rows)


def if_all_hold(evidence: Evidence, study: str, choice: str, *beginnings: str) -> str:
    """Return the choice if all claims with these beginnings hold, else say that no difference is shown."""
    claims = evidence.claims(study, *beginnings)
    return choice if all(verdict.startswith("**holds**") for _, verdict, _ in claims) else "no difference shown"
