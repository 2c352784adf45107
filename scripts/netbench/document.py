"""Writes results as a table with plots into a Markdown file, between two marks that stand there.

    python3 document.py RESULTS.json docs/PERFORMANCE.md
"""
import json
import os
import sys

import plots
from scenarios import SCENARIOS
from table import medians

BEGIN, END = "<!-- netbench: begin -->", "<!-- netbench: end -->"
PLOTS = "netbench"
COLUMNS = [
    ("pictures/s", ["fps_shown"]),
    ("longest gap, ms", ["gap_ms"]),
    ("p50, p95, last 5 s, ms", ["latency_p50", "latency_p95", "latency_last5"]),
    ("concealed, %", ["concealed_pct"]),
    ("used, %", ["used_pct"]),
    ("s to 85 %", ["s_to_85_pct"]),
    ("queue p95, ms", ["queue_p95"]),
    ("tail drops", ["tail_dropped"]),
    ("sent again for each missing", ["repeated_by_missing"]),
    ("back after a gap, ms", ["recovered_ms"]),
]


def write(results, path):
    """Replaces what stands between the marks, and draws the plots beside the file."""
    with open(path) as file:
        text = file.read()
    before, found, rest = text.partition(BEGIN)
    _, ended, after = rest.partition(END)
    if not found or not ended:
        sys.exit(f"{path}: no {BEGIN} and {END} to write between")
    drawn = plots.draw(results["runs"], f"{os.path.dirname(path) or '.'}/{PLOTS}")
    body = "\n".join([about(results["runs"]), "", *table(results["runs"]), "", *images(drawn)])
    with open(path, "w") as file:
        file.write(f"{before}{BEGIN}\n{body}\n{END}{after}")


def about(runs):
    """Where the figures come from; runs that were added may be of another day or commit."""
    told = {key: " and ".join(dict.fromkeys(str(run["about"][key]) for run in runs)) for key in runs[0]["about"]}
    return (
        f"{told['date']}, {told['cores']} cores, {told['peer']} at {told['commit']}, {told['chromium']}; "
        "medians of all runs and calls of a scenario."
    )


def table(runs):
    """A row a scenario, pair of ends and direction."""
    heads = ["scenario", "who to whom", *(head for head, _ in COLUMNS), "sizes"]
    lines = ["| " + " | ".join(heads) + " |", "| " + " | ".join("---" for _ in heads) + " |"]
    for name in dict.fromkeys(run["scenario"] for run in runs):
        for ends in dict.fromkeys((run["caller"], run["callee"]) for run in runs):
            chosen = [r for r in runs if r["scenario"] == name and (r["caller"], r["callee"]) == ends]
            for direction, figures in medians(chosen):
                who = "{} to {}".format(*ends if direction == "forward" else ends[::-1])
                who += "" if direction == "forward" else ", back"
                title = f"{name}: {SCENARIOS[name].says}" if name in SCENARIOS else f"`{name}`"
                cells = [", ".join(cell(figures.get(key)) for key in keys) for _, keys in COLUMNS]
                sizes = ", ".join(figures["sizes"])
                lines.append("| " + " | ".join([title, who, *cells, sizes]) + " |")
            if chosen and "shares_forward" in chosen[0]:
                shares = "; ".join(":".join(map(str, run["shares_forward"])) for run in chosen if "pairs" in run)
                lines.append(f"| {name} | {' to '.join(ends)} | shares {shares} |" + " |" * len(COLUMNS))
    return lines


def cell(value):
    """A figure that may not be there."""
    return "-" if value is None else f"{value:g}"


def images(paths):
    """The plots, one after the other."""
    return [f"![{os.path.basename(path)[:-4]}]({PLOTS}/{os.path.basename(path)})" for path in paths]


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1]) as file:
        write(json.load(file), sys.argv[2])
