"""docs/evidence/performance.md, from the kept reports of `bntt bench`."""

from __future__ import annotations

from collections.abc import Iterator

from bntt.bench.scaling import rows as scaling_rows
from bntt.bench.speed_chart import speed_figure
from bntt.charts.records import Figure
from pages.kept import RUNS, TEXTS, introduction, read_json
from pages.kept import table as as_table


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


DEPLOYED = TEXTS / "deploy.json"
"""The report of ``bntt bench --cases deploy``."""
WAYS = ("pytorch", "fused", "onnx", "runtime", "runtime int8")


def deployed() -> list[str]:
    """The trained networks in every way to run them."""
    found = read_json(DEPLOYED)
    versions = ", ".join(f"{name} {number}" for name, number in found["versions"].items())
    environment = found["environment"]
    made = f"{environment['processor']}, one thread, commit `{environment['commit']}`, {environment['started'][:10]}"
    told = "Columns: milliseconds for all steps of N samples; memory: resident, one sample step by step."
    lines = ["## deploy", "", f"{made}; {versions}. {told}", ""]
    for one in found["networks"]:
        ways = {(way["variant"], way["batch"]): way for way in one["ways"]}
        rows = []
        for name in WAYS:
            whole, step = ways[name, 1], ways[f"{name} step", 1]
            times = (whole, step, ways[name, 64], ways[f"{name} step", 64])
            rows.append(
                [
                    name,
                    *(f"{1e3 * way['median']:.3g}" for way in times),
                    f"{step['resident'] / 2**20:,.0f} MiB",
                    f"{whole['file'] / 1e3:,.0f} kB",
                    *(f"{min(way[share] for way in times):.1%}" for share in ("within", "same_class")),
                ]
            )
        heads = ("", "1, whole", "1, stepped", "64, whole", "64, stepped", "memory", "file", "within 1e-4", "same class")
        lines += [f"**{one['network']}**, T = {one['num_steps']}:", "", *as_table(heads, rows), ""]
    needs = [[way, ", ".join(sizes), f"{sum(sizes.values()) / 1e6:,.0f} MB"] for way, sizes in found["disk"].items()]
    return [*lines, *as_table(("", "needs, beside our own code", "on disk"), needs), ""]


SCALING = TEXTS / "scaling.json"
"""The report of ``bntt bench --cases scaling``."""


def scaling() -> list[str]:
    """The model of an update's time, beside what was measured, and what it says of other machines."""
    found = read_json(SCALING)
    environment, model = found["environment"], found["model"]
    made = f"{environment['processor']}, commit `{environment['commit']}`, {environment['started'][:10]}"
    others = [[one["machine"], f"{one['seconds']:.2f} s", one["assumed"]] for one in found["elsewhere"]]
    told = (
        f"An update takes {model['fixed'] * 1e3:.1f} ms, {model['mac'] * 1e12:.1f} ps for each multiply-accumulate of its three "
        f"passes and {model['neuron'] * 1e9:.2f} ns for each neuron's step; a second thread gives {model['gain']:.2f} of the first, "
        f"a second process of one thread {model['share']:.2f}, and processes exchange a byte of gradients in "
        f"{model['byte'] * 1e9:.2f} ns. "
        "Least of three updates, random weights; unseen points were not fitted. Elsewhere is a model, of which nothing was run: "
        "the paper's update, VGG9, T = 25, B = 128."
    )
    heads = ("update of VGG9", "measured", "by the model", "error", "")
    return [
        *["## scaling", "", f"{made}.", "", told, "", *as_table(heads, scaling_rows(found)), ""],
        *[*as_table(("elsewhere", "update", "assumed"), others), ""],
    ]


def reports() -> dict[str, dict]:
    """Read every report, by its name."""
    return {path.stem: read_json(path) for path in sorted((RUNS / "bench").glob("*.json"))}


def pictures() -> Iterator[tuple[str, Figure]]:
    """Yield the pictures of the page."""
    for name, report in reports().items():
        yield f"bench-{name}.svg", speed_figure(report)


def page() -> str:
    """The whole page."""
    lines = [introduction("performance"), ""]
    for name, report in reports().items():
        lines += [f"## {name}", "", facts(report), ""]
        for row in report["cases"]:
            lines += table(row)
        lines += [f"![time and memory](../pictures/bench-{name}.svg)", ""]
    return "\n".join(lines + deployed() + scaling()).rstrip() + "\n"
