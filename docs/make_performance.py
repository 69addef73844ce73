"""Write docs/performance.md from the benchmark reports kept in docs/bench/.

    python docs/make_performance.py

Every number comes from a report that `bntt bench` wrote; the text around them is docs/performance-head.md.
"""

from __future__ import annotations

import json
from pathlib import Path

HERE = Path(__file__).parent


def facts(report: dict) -> str:
    """What a report was measured on."""
    environment = report["environment"]
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items() if name != "bntt")
    return (
        f"{environment['processor']}, {report['threads']} threads, commit `{environment['commit']}`, "
        f"{environment['started'][:10]}; {versions}."
    )


def table(row: dict) -> list[str]:
    """One case: every variant against the per-step loop and the dense limit."""
    case, rates = row["case"], row["firing_rate"].values()
    limit = next((t["median"] for t in row["timings"] if t["variant"] == "dense limit"), None)
    lines = [
        f"**{case['name']}**: T = {case['num_steps']}, batch {case['batch']}, γ = {case['gamma']:g}; "
        f"{min(rates):.1%} to {max(rates):.1%} of the neurons of a layer fire at a step (mean {sum(rates) / len(rates):.1%}).",
        "",
        "| | step | speed | time / dense limit | peak memory over base |",
        "|---|---|---|---|---|",
    ]
    for timing in row["timings"]:
        ratio = f"{timing['median'] / limit:.2f}" if limit else "-"
        memory = "-" if timing["variant"] == "dense limit" else f"{timing['peak_over_base'] / 2**20:,.0f} MiB"
        lines.append(
            f"| {timing['variant']} | {timing['median']:.3f} s | {timing['speed']:.2f}x | {ratio} | {memory} |"
        )
    return [*lines, ""]


def page() -> str:
    """The whole page."""
    lines = [(HERE / "performance-head.md").read_text(encoding="utf-8").rstrip(), ""]
    for path in sorted((HERE / "bench").glob("*.json")):
        report = json.loads(path.read_text(encoding="utf-8"))
        lines += [f"## {path.stem}", "", facts(report), ""]
        for row in report["cases"]:
            lines += table(row)
        if path.with_suffix(".png").exists():
            lines += [f"![time and memory](bench/{path.stem}.png)", ""]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    (HERE / "performance.md").write_text(page(), encoding="utf-8")
