#!/usr/bin/env python3
"""Measures calls over bad networks between `peer` and Chromium, and prints a table.

Root, Linux; python3 without packages, iproute2, Xvfb, ffmpeg, chromium (scripts/deps.sh netbench).
Every run takes the scenario's seconds and about ten more. Results go to OUT/results.json.
"""
import argparse
import datetime
import json
import os
import subprocess
import sys

import document
import duel
import lab
import plots
import table
from scenarios import SCENARIOS, scenario

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
ENDS = "peer-peer chromium-chromium"


def arguments():
    """What is asked."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names = " ".join(SCENARIOS)
    parser.add_argument("--scenarios", help=f"names or words, in blanks [default: all but clean of {names}]")
    parser.add_argument("--ends", default=ENDS, help=f"CALLER-CALLEE of peer and chromium [default: {ENDS}]")
    parser.add_argument("--runs", type=int, default=1, help="of each; the table has medians [default: 1]")
    parser.add_argument("--seconds", type=int, help="another length than the scenario's")
    parser.add_argument("--peer", default=f"{ROOT}/target/release/peer", help="the binary")
    parser.add_argument("--peer-flags", default="", help="more flags for it, in blanks")
    parser.add_argument("--out", default=f"{ROOT}/target/netbench", help="where results and plots go")
    parser.add_argument("--add", action="store_true", help="keep the results of other scenarios and ends there")
    parser.add_argument("--keep", action="store_true", help="keep what both ends wrote, a folder a run")
    parser.add_argument("--document", help="also write table and plots into this Markdown file")
    parser.add_argument("--clip", default=f"{ROOT}/assets/clips/camera-360p.mp4", help="the pictures")
    parser.add_argument("--voice", default=f"{ROOT}/assets/clips/speech.opus", help="the sound")
    parser.add_argument("--seed", type=int, default=1, help="another loses other packets [default: 1]")
    return parser.parse_args()


def main():
    """Runs everything that is asked, one after the other."""
    options = arguments()
    options.peer_flags = options.peer_flags.split()
    options.media = f"{options.out}/media"
    if os.geteuid() != 0:
        sys.exit("netbench: network namespaces need root; run it with sudo")
    if not os.access(options.peer, os.X_OK):
        sys.exit(f"netbench: there is no {options.peer}; build it (make netbench does)")
    names = split_scenarios(options.scenarios) or [name for name in SCENARIOS if name != "clean"]
    chosen = {name: scenario(name) for name in names}
    for one in chosen.values():
        one.seconds = options.seconds or one.seconds
    pairs = [tuple(pair.split("-")) for pair in options.ends.split()]
    for pair in pairs:
        if len(pair) != 2 or not set(pair) <= {"peer", "chromium"}:
            sys.exit(f"netbench: '{'-'.join(pair)}' are no ends; write peer-peer or peer-chromium")
    lab.remove_leftovers()
    duel.exit_on_term()
    os.makedirs(options.out, exist_ok=True)
    path = f"{options.out}/results.json"
    runs = earlier(path, chosen, pairs) if options.add else []
    what = about(options)
    print(table.head())
    for name, one in chosen.items():
        for caller, callee in pairs:
            measured = [dict(run, about=what) for run in measure(name, one, caller, callee, options)]
            runs += measured
            for line in table.lines(measured):
                print(line, flush=True)
            with open(path, "w") as file:
                json.dump(dict(runs=runs), file, indent=1)
    finish(options, path)


def split_scenarios(text):
    """Names are apart by blanks; a network in words has blanks of its own and stands alone."""
    if not text:
        return []
    return [text] if "=" in text else text.split()


def earlier(path, chosen, pairs):
    """The runs that are there already and will not be made again."""
    if not os.path.exists(path):
        return []
    with open(path) as file:
        runs = json.load(file)["runs"]
    again = lambda run: run["scenario"] in chosen and (run["caller"], run["callee"]) in pairs
    return [run for run in runs if not again(run)]


def measure(name, one, caller, callee, options):
    """The runs of one scenario between two ends."""
    runs = []
    for number in range(options.runs):
        folder = f"{options.out}/runs/{name}-{caller}-{callee}-{number}"
        folder = folder if options.keep and "=" not in name else f"{options.out}/run"
        run = duel.duel(name, one, caller, callee, options, folder)
        if run.get("void"):
            say(f"{name} {caller}-{callee}: the machine was too busy to be that link; once more")
            run = duel.duel(name, one, caller, callee, options, folder)
        if "error" in run:
            say(f"{name} {caller}-{callee}: {run['error']}: {json.dumps(run['told'])}")
        runs.append(run)
    return runs


def about(options):
    """What was measured, and where."""
    def first_line(command):
        told = subprocess.run(command, capture_output=True, text=True, check=False)
        return (told.stdout.strip().splitlines() or ["unknown"])[0]

    return dict(
        date=datetime.date.today().isoformat(),
        peer=first_line([options.peer, "--version"]),
        commit=first_line(["git", "-C", ROOT, "rev-parse", "--short", "HEAD"]),
        chromium=first_line(["chromium", "--version"]),
        cores=os.cpu_count(),
    )


def finish(options, path):
    """Draws, and writes what is to be read."""
    with open(path) as file:
        results = json.load(file)
    drawn = plots.draw(results["runs"], f"{options.out}/plots")
    say(f"results in {path}, {len(drawn)} plots in {options.out}/plots")
    if options.document:
        document.write(results, options.document)
        say(f"{options.document} is up to date")


def say(text):
    """What is not the table goes to standard error."""
    print(f"netbench: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    main()
