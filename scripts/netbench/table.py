"""The table that is printed: medians of several runs, a line a direction."""
import statistics

COLUMNS = [
    ("fps", "fps_shown"),
    ("gap ms", "gap_ms"),
    ("frozen s", "frozen_s"),
    ("p50 ms", "latency_p50"),
    ("p95 ms", "latency_p95"),
    ("last 5 s", "latency_last5"),
    ("conc. %", "concealed_pct"),
    ("used %", "used_pct"),
    ("to 85 %, s", "s_to_85_pct"),
    ("back, s", "s_back"),
    ("queue p95", "queue_p95"),
    ("drops", "tail_dropped"),
    ("rep./miss.", "repeated_by_missing"),
    ("after gap ms", "recovered_ms"),
    ("TCP %", "tcp_share_pct"),
]


def head():
    """The names of the columns."""
    return "  ".join([f"{'scenario':8}", f"{'caller>callee':19}"] + [f"{title:>12}" for title, _ in COLUMNS])


def lines(runs):
    """A line a direction, with the medians of the runs."""
    told = []
    for direction, figures in medians(runs):
        run = runs[0]
        sign = ">" if direction == "forward" else "<"
        cells = [f"{'-' if figures.get(key) is None else figures[key]:>12}" for _, key in COLUMNS]
        told.append("  ".join([f"{run['scenario'][:8]:8}", f"{run['caller'] + sign + run['callee']:19}"] + cells))
        told[-1] += "  " + ",".join(figures.get("sizes", []))
    for name in ("shares_forward", "shares_back"):
        shares = [run[name] for run in runs if name in run]
        if shares:
            told.append(f"{runs[0]['scenario'][:8]:8}  {name.replace('_', ' ')}, %: {shares}")
    return told


def medians(runs):
    """For each direction its figures, the median of all runs and pairs."""
    for direction in ("forward", "back"):
        told = [pair[direction] for run in runs for pair in run.get("pairs", [])]
        if not told:
            continue
        figures = {}
        for _, key in COLUMNS:
            values = [one[key] for one in told if one.get(key) is not None]
            figures[key] = round(statistics.median(values), 2) if values else None
        figures["sizes"] = list(dict.fromkeys(size for one in told for size in one.get("sizes", [])))
        yield direction, figures
