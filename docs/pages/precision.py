"""docs/evidence/precision.md: what the lower precisions cost in spikes and gradients, and in the accuracy of real runs."""

from __future__ import annotations

import statistics

from bntt.io.files import write_json
from pages.kept import RUNS, TEXTS, epochs, introduction, read, read_json

MEASURED = TEXTS / "precision.json"
"""Results of :func:`measure`; ``python docs/make.py --measure precision`` measures them again."""
PRECISIONS = ("fp32", "bf16-grad", "bf16")


def measure() -> None:
    """Measure one update of VGG9 in every precision, from the same weights and spikes."""
    import copy

    import torch
    import torch.nn.functional as F

    from benchmarks.cases import STANDARD, images, network
    from bntt.engine.compute import Compute
    from bntt.nn import PoissonEncoder, SpikingNetwork
    from bntt.runs.environment import environment

    class Spikes(torch.nn.Module):
        """A readout that returns the spikes of the last layer."""

        def forward(self, spikes: torch.Tensor, *_: object) -> tuple[torch.Tensor, None]:
            return spikes.flatten(2), None

    rows = []
    for case in STANDARD[:2]:
        net, (pixels, labels) = network(case), images(case)
        spikes = PoissonEncoder(case.num_steps).spikes(pixels, draw=3).to(torch.int8)
        found = {}
        for precision in PRECISIONS:
            ours, compute = copy.deepcopy(net), Compute("cpu", events="fixed", precision=precision)
            ours.compute = compute
            F.cross_entropy(ours(spikes), labels).backward()
            layers = {}
            for last in range(1, len(net.blocks) + 1):
                blocks = dict(list(copy.deepcopy(net).blocks.items())[:last])
                part = SpikingNetwork(blocks, Spikes(), compute=compute)
                with torch.no_grad():
                    layers[list(blocks)[-1]] = part.advance(spikes)[0]
            found[precision] = ({name: p.grad for name, p in ours.named_parameters()}, layers)
        exact, reference = found["fp32"]
        for precision in PRECISIONS[1:]:
            grads, layers = found[precision]
            off = {n: float((g - exact[n]).norm() / exact[n].norm()) for n, g in grads.items()}
            rows.append(
                {
                    "case": case.name,
                    "precision": precision,
                    "places_that_differ": {n: float((layers[n] != reference[n]).float().mean()) for n in layers},
                    "gradients_off": off,
                }
            )
    write_json(MEASURED, {"environment": environment(), "rows": rows})


def runs() -> list[str]:
    """Tabulate accuracy over seeds of the runs precision-<precision>-<seed>."""
    lines = ["| precision | seeds | test accuracy of each | mean ± sd over seeds | spikes per image | training time |"]
    lines.append("|---|---|---|---|---|---|")
    for precision in PRECISIONS:
        folders = sorted(RUNS.glob(f"precision-{precision}-[0-9]*"))
        runs = [read(folder) for folder in folders]
        if any(facts["recipe"]["compute"]["precision"] != precision for facts in runs):
            raise ValueError(f"a run precision-{precision}-SEED has another precision")
        found = [facts["evaluation"] for facts in runs]
        accuracy = [one["accuracy"] for one in found]
        seconds = [epochs(folder)[-1]["seconds"] for folder in folders]
        spread = f" ± {statistics.stdev(accuracy):.2%}" if len(accuracy) > 1 else ""
        lines.append(
            f"| {precision} | {len(accuracy)} | {', '.join(f'{a:.2%}' for a in accuracy)} | "
            f"**{statistics.mean(accuracy):.2%}{spread}** | "
            f"{statistics.mean(one['spikes_per_image'] for one in found):,.0f} | "
            f"{statistics.mean(seconds) / 60:.1f} min |"
        )
    return lines


def page() -> str:
    """Make the whole of precision.md."""
    measured = read_json(MEASURED)
    off = max(max(row["gradients_off"].values()) for row in measured["rows"] if row["precision"] == "bf16-grad")
    text = introduction("precision").replace("{off}", f"{100 * off:.1f} %")
    lines = [text, "", "## Accuracy", "", *runs(), ""]
    environment = measured["environment"]
    lines += ["## Spikes and gradients", "", f"{environment['processor']}, commit `{environment['commit']}`.", ""]
    names = list(measured["rows"][0]["places_that_differ"])
    lines.append("| case | precision | " + " | ".join(names) + " | weight gradients | γ gradients |")
    lines.append("|---" * (len(names) + 4) + "|")
    for row in measured["rows"]:
        places = [f"{100 * row['places_that_differ'][name]:.2f} %" for name in names]
        off = row["gradients_off"]
        ranges = [
            f"{min(values):.0e} to {max(values):.0e}"
            for values in ([v for n, v in off.items() if n.endswith(end)] for end in ("weight", "gamma"))
        ]
        lines.append(f"| {row['case']} | {row['precision']} | {' | '.join([*places, *ranges])} |")
    return "\n".join(lines) + "\n"
