"""Draws what changes over time in a call, as SVG: rate, delay, loss, pictures a second.

    python3 plots.py RESULTS.json FOLDER

One file a scenario, one line a pair of ends, from caller to callee; the median of all runs, second by
second. No packages: the file is written by hand.
"""
import json
import os
import statistics
import sys
from xml.sax.saxutils import escape

WIDTH, PANEL, GAP, LEFT, RIGHT, TOP = 860, 130, 34, 56, 16, 70
COLOURS = {
    "peer-peer": "#0b6bcb",
    "chromium-chromium": "#d9730d",
    "peer-chromium": "#2e8540",
    "chromium-peer": "#9b2fae",
}
PANELS = [
    ("rate on the link, kbit/s", "kbit"),
    ("capture to shown, ms", "latency_ms"),
    ("packets lost or dropped a second", "missing"),
    ("pictures shown a second", "fps"),
]


def draw(runs, folder):
    """Draws every scenario; the paths of the files."""
    os.makedirs(folder, exist_ok=True)
    drawn = []
    for scenario in dict.fromkeys(run["scenario"] for run in runs):
        chosen = [run for run in runs if run["scenario"] == scenario and run.get("pairs")]
        if not chosen:
            continue
        path = f"{folder}/{file_name(scenario)}.svg"
        with open(path, "w") as file:
            file.write(plot(scenario, chosen))
        drawn.append(path)
    return drawn


def file_name(scenario):
    """A scenario's name as a file's."""
    return "".join(c if c.isalnum() or c in ".-" else "_" for c in scenario)


def plot(scenario, runs):
    """One scenario as an SVG."""
    lines = series(runs)
    seconds = max(len(rows) for rows in lines.values())
    height = TOP + len(PANELS) * (PANEL + GAP)
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
        'font-family="sans-serif" font-size="11">',
        f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
        text(LEFT, 18, f"{scenario}: {network(runs[0])}", size=13),
    ]
    for index, name in enumerate(lines):
        x = LEFT + index * 170
        out.append(f'<path d="M{x} 36h22" stroke="{colour(name)}" stroke-width="2"/>')
        out.append(text(x + 28, 40, name.replace("-", " to ")))
    for index, (title, key) in enumerate(PANELS):
        top = TOP + index * (PANEL + GAP)
        out += panel(title, key, lines, seconds, top)
    return "\n".join(out + ["</svg>", ""])


def network(run):
    """What the network was, in words."""
    return "; ".join([run["link"], *run["then"]])


def series(runs):
    """For each pair of ends its seconds; what several runs say is the median."""
    lines = {}
    for name in dict.fromkeys(f"{run['caller']}-{run['callee']}" for run in runs):
        told = [
            pair["forward"]["per_second"]
            for run in runs
            if f"{run['caller']}-{run['callee']}" == name
            for pair in run["pairs"]
        ]
        lines[name] = [merged(rows) for rows in zip(*told)]
    return lines


def merged(rows):
    """The same second of several runs."""
    row = {}
    for key in ("kbit", "capacity_kbit", "latency_ms", "fps"):
        values = [one[key] for one in rows if one.get(key) is not None]
        row[key] = statistics.median(values) if values else None
    row["missing"] = statistics.median(one["lost"] + one["tail_dropped"] for one in rows)
    return row


def panel(title, key, lines, seconds, top):
    """One quantity over time."""
    values = [row[key] for rows in lines.values() for row in rows if row[key] is not None]
    capacity = [row["capacity_kbit"] for row in next(iter(lines.values()))] if key == "kbit" else []
    highest = round_up(max(values + [c for c in capacity if c] + [1]))
    step = (WIDTH - LEFT - RIGHT) / max(1, seconds)

    def x(second):
        return round(LEFT + (second + 0.5) * step, 1)

    def y(value):
        return round(top + PANEL - value / highest * PANEL, 1)

    out = [text(LEFT, top - 6, title)]
    for share in (0, 0.5, 1):
        level = y(highest * share)
        out.append(f'<path d="M{LEFT} {level}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        out.append(text(LEFT - 6, level + 4, f"{highest * share:g}", anchor="end"))
    for second in range(0, seconds + 1, 5 if seconds <= 60 else 20):
        out.append(text(LEFT + second * step, top + PANEL + 13, str(second), anchor="middle"))
    if any(capacity):
        points = " ".join(f"{x(s)},{y(c)}" for s, c in enumerate(capacity) if c)
        out.append(f'<polyline points="{points}" fill="none" stroke="#999" stroke-dasharray="4 3"/>')
    for name, rows in lines.items():
        for stretch in stretches([row[key] for row in rows]):
            points = " ".join(f"{x(second)},{y(value)}" for second, value in stretch)
            out.append(
                f'<polyline points="{points}" fill="none" stroke="{colour(name)}" '
                'stroke-width="1.6" stroke-linejoin="round" stroke-linecap="round"/>'
            )
    return out


def stretches(values):
    """The parts of a line without holes, as [(second, value)]."""
    part = []
    for second, value in enumerate([*values, None]):
        if value is not None:
            part.append((second, value))
        elif part:
            # A second alone is a point: a line of no length with round ends.
            yield part if len(part) > 1 else part * 2
            part = []


def round_up(value):
    """The next of 1, 2, 2.5, 5, 10, ... that is not less."""
    scale = 1
    while scale * 10 < value:
        scale *= 10
    return next(scale * factor for factor in (1, 1.5, 2, 2.5, 3, 4, 5, 6, 8, 10) if scale * factor >= value)


def colour(name):
    """The colour of a pair of ends."""
    return COLOURS.get(name, "#444")


def text(x, y, words, anchor="start", size=11):
    """Words at a place."""
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#333">{escape(words)}</text>'


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    with open(sys.argv[1]) as results:
        print("\n".join(draw(json.load(results)["runs"], sys.argv[2])))
