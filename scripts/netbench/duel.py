"""One measured call (or two) between two ends over an emulated link: a dictionary of figures comes out."""
import json
import os
import signal
import sys
import time
from types import SimpleNamespace

import ends
import lab as laboratory
import media
from measure import Direction, quantile, rounded

HERE = os.path.dirname(os.path.abspath(__file__))
PORT, TCP_PORT = 9090, 9191
LOGIN_PATIENCE, CONNECT_PATIENCE = 25, 40
TCP_HEAD_START = 5
VOID_ABOVE_MS = 5


class NoCall(RuntimeError):
    """There is nothing to measure."""


def duel(name, scenario, caller_kind, callee_kind, options, folder):
    """Makes the call and measures it; never fails for what the ends do, which is a result."""
    os.makedirs(folder, exist_ok=True)
    forget_earlier_run(folder)
    pictures, sound = media.prepare(options.media, options.clip, options.voice, scenario.size)
    result = dict(
        scenario=name,
        caller=caller_kind,
        callee=callee_kind,
        seconds=scenario.seconds,
        link=scenario.link,
        then=[f"{at:g} {words}" for at, words in scenario.then],
        size="{}x{}".format(*scenario.size),
        max_bitrate=scenario.max_bitrate,
    )
    setup = SimpleNamespace(
        peer=options.peer,
        peer_flags=options.peer_flags,
        server=f"ws://{laboratory.ADDRESSES['bob']}:{PORT}",
        pictures=pictures,
        sound=sound,
        size=scenario.size,
        max_bitrate=scenario.max_bitrate,
        seconds=scenario.seconds,
    )
    with laboratory.Lab(scenario.link, folder, options.seed) as lab:
        everybody = []
        try:
            pairs = connect(lab, setup, scenario, (caller_kind, callee_kind), everybody)
            began = run(lab, scenario, pairs)
            if lab.emulator_died():
                raise NoCall("the emulated link died")
            collect(result, lab, scenario, pairs, began)
        except NoCall as reason:
            result["error"] = str(reason)
            result["told"] = {end.name: end.events()[-3:] for end in everybody}
        finally:
            for end in everybody:
                end.end()
    with open(f"{folder}/result.json", "w") as file:
        json.dump(result, file)
    return result


def forget_earlier_run(folder):
    """Takes away what would be mistaken for this run's."""
    for name in os.listdir(folder):
        if name.split(".")[-1] in ("stats", "events", "report", "err", "log", "jsonl"):
            os.unlink(f"{folder}/{name}")


def connect(lab, setup, scenario, kinds, everybody):
    """Starts server and ends, and calls; the pairs, caller first."""
    helpers = ends.End(lab, "bob", "helpers", setup)
    everybody.append(helpers)
    listen = f"{laboratory.ADDRESSES['bob']}:{PORT}"
    with open(f"{lab.folder}/serve.log", "w") as log:
        helpers.spawn(
            [setup.peer, "serve", "--listen", listen, "--allow-origin", "*", "-q"], stdout=log, stderr=log
        )
    time.sleep(0.7)
    if scenario.tcp:
        start_tcp(lab, setup, helpers, everybody)
    pairs = []
    for number in range(scenario.calls):
        caller = ends.KINDS[kinds[0]](lab, "alice", f"alice{number}", setup)
        callee = ends.KINDS[kinds[1]](lab, "bob", f"bob{number}", setup)
        everybody += [callee, caller]
        pairs.append((caller, callee))
        callee.start()
    for _, callee in pairs:
        if not callee.event("logged-in", LOGIN_PATIENCE):
            raise NoCall(f"{callee.name} did not log in")
    for caller, callee in pairs:
        caller.start(callee.name)
    return pairs


def start_tcp(lab, setup, receiver, everybody):
    """A flow from alice to bob, which is there before the call (RFC 8867 section 5.6)."""
    sender = ends.End(lab, "alice", "tcp", setup)
    everybody.append(sender)
    program = [sys.executable, HERE + "/tcp_flow.py"]
    receiver.spawn([*program, "receive", TCP_PORT])
    sender.spawn([*program, "send", laboratory.ADDRESSES["bob"], TCP_PORT])
    time.sleep(TCP_HEAD_START)


def run(lab, scenario, pairs):
    """Waits for the connection, changes the link in time, and waits for the end; when it began."""
    for caller, _ in pairs:
        connected = caller.event("connected", CONNECT_PATIENCE)
        if not connected:
            raise NoCall("not connected")
    began = ends.when(connected)
    for at, words in scenario.then:
        time.sleep(max(0, began + at - time.time()))
        lab.change(words)
    time.sleep(max(0, began + scenario.seconds + 1.2 - time.time()))
    return began


def collect(result, lab, scenario, pairs, began):
    """Puts the figures of all pairs and directions into the result."""
    for end in (end for pair in pairs for end in pair):
        end.collect()
    link = ends.json_lines(lab.statistics)
    late = [max(row[side]["late_ms"] for side in ("up", "down")) for row in link if row["t"] > began]
    result["emulator_late_ms_p99"] = rounded(quantile(late, 0.99), 1)
    result["void"] = (result["emulator_late_ms_p99"] or 0) > VOID_ABOVE_MS
    gap_end = end_of_gap(scenario)
    result["pairs"] = []
    for caller, callee in pairs:
        told = setup_times(caller, callee)
        for name, sender, receiver, side in (("forward", caller, callee, "up"), ("back", callee, caller, "down")):
            rows = [(row["t"], row[side]) for row in link]
            direction = Direction(sender, receiver, rows, began, scenario.seconds)
            told[name] = direction.figures()
            if gap_end is not None:
                told[name].update(direction.after_gap(began + gap_end))
            limits = [row["limited"] for row in sender.rows if row.get("limited")]
            told[name]["limited"] = {limit: limits.count(limit) for limit in set(limits)}
        result["pairs"].append(told)
    if len(pairs) > 1:
        for name in ("forward", "back"):
            rates = [pair[name].get("received_kbit") or 0 for pair in result["pairs"]]
            result[f"shares_{name}"] = [rounded(100 * rate / max(1, sum(rates))) for rate in rates]


def setup_times(caller, callee):
    """How long it took until the call was up."""
    told = dict(setup_ms=None, first_picture_ms={})
    if caller.connected and caller.calling:
        told["setup_ms"] = rounded((caller.connected - caller.calling) * 1e3)
    for name, end in (("caller", caller), ("callee", callee)):
        since = end.calling or caller.calling
        told["first_picture_ms"][name] = (
            rounded((end.first_picture - since) * 1e3) if end.first_picture and since else None
        )
        told[f"{name}_ended"] = end.ended
    return told


def end_of_gap(scenario):
    """When packets get through again after nothing did; None without such a gap."""
    gap, end = False, None
    for at, words in scenario.then:
        if "loss=" in words:
            was, gap = gap, "loss=100%" in words
            end = at if was and not gap else end
    return end


def exit_on_term():
    """Everything is taken away when we are ended, too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
