"""The networks that calls are measured over, in the words of `peer loopback --network`.

A to J are this project's own; 5.1 to 5.3 are test cases of RFC 8867 (section 5) with its one-way
delay of 50 ms, its jitter and its bottleneck queue of 300 ms.
"""
from dataclasses import dataclass, field

S360, S720 = (640, 360), (1280, 720)
RFC8867 = "queue=300ms,delay=50ms,jitter=15ms,dist=gauss"
FAST = "rate=3M,delay=25ms,queue=300ms"
GAP_LINK = "rate=2M,delay=25ms,queue=300ms"


@dataclass
class Scenario:
    """A network, how it changes once the call is connected, and what is sent over it."""

    says: str
    link: str
    then: list = field(default_factory=list)  # (seconds, words)
    seconds: int = 40
    size: tuple = S360
    max_bitrate: int = 2_500_000
    calls: int = 1
    tcp: bool = False


SCENARIOS = {
    "A": Scenario("3 Mbit/s, 720p", FAST, [], 35, S720, 4_000_000),
    "A3": Scenario("3 Mbit/s", FAST, [], 30, S360, 4_000_000),
    "B": Scenario("500 kbit/s", "rate=500k,delay=25ms,queue=300ms", [], 45),
    "C": Scenario("3 Mbit/s, 5 % loss, 720p", FAST + ",loss=5%", [], 40, S720, 4_000_000),
    "C2": Scenario("3 Mbit/s, 20 % loss", FAST + ",loss=20%", [], 30, S360, 4_000_000),
    "C3": Scenario("3 Mbit/s, 5 % loss", FAST + ",loss=5%", [], 40, S360, 4_000_000),
    "D": Scenario(
        "10 % loss, three packets in a row",
        "rate=3M,delay=30ms,queue=300ms",
        [(0, "loss=10%,burst=3")],
    ),
    "E": Scenario(
        "1M, 2.5M, 600k, 1M with jitter",
        "rate=1M," + RFC8867,
        [(20, "rate=2500k"), (30, "rate=600k"), (40, "rate=1M")],
        50,
        S360,
        4_000_000,
    ),
    "F5": Scenario("nothing for 5 s", GAP_LINK, [(20, "loss=100%"), (25, "loss=0%")]),
    "F20": Scenario("nothing for 20 s", GAP_LINK, [(12, "loss=100%"), (32, "loss=0%")], 46),
    "F30": Scenario("nothing for 30 s", GAP_LINK, [(12, "loss=100%"), (42, "loss=0%")], 56),
    "G": Scenario(
        "100 ms +-50 ms, reordered", "rate=3M,delay=100ms,queue=300ms,jitter=50ms,reorder=yes", [], 28
    ),
    "H": Scenario("two calls on 2 Mbit/s", GAP_LINK, [], 45, calls=2),
    "H-TCP": Scenario("beside a long TCP flow on 2 Mbit/s", GAP_LINK, [], 45, tcp=True),
    "I": Scenario("150 kbit/s", "rate=150k,delay=100ms,queue=300ms", [], 28),
    "J": Scenario(
        "3M, 600k, 3M", FAST, [(18, "up.rate=600k"), (30, "up.rate=3M")], 46, S360, 4_000_000
    ),
    "5.1": Scenario(
        "RFC 8867 5.1: one flow, capacity changes",
        f"up.rate=1M,{RFC8867},down.jitter=0ms",
        [(40, "up.rate=2500k"), (60, "up.rate=600k"), (80, "up.rate=1M")],
        100,
    ),
    "5.2": Scenario(
        "RFC 8867 5.2: two flows, capacity changes",
        f"up.rate=4M,{RFC8867},down.jitter=0ms",
        [(25, "up.rate=2M"), (50, "up.rate=3500k"), (75, "up.rate=1M"), (100, "up.rate=2M")],
        125,
        calls=2,
    ),
    "5.3": Scenario(
        "RFC 8867 5.3: both directions congested",
        "rate=2M," + RFC8867,
        [
            (20, "up.rate=1M"),
            (35, "down.rate=800k"),
            (40, "up.rate=500k"),
            (60, "up.rate=2M"),
            (70, "down.rate=2M"),
        ],
        100,
    ),
    "clean": Scenario("10 ms there and back, nothing else", "delay=5ms", [], 20),
}


def scenario(text):
    """A scenario by its name, or one in words: 'rate=1M,delay=30ms;20 loss=100%;25 loss=0%'."""
    if text in SCENARIOS:
        return SCENARIOS[text]
    if "=" not in text:
        raise ValueError(f"there is no scenario '{text}'; there are {', '.join(SCENARIOS)}")
    first, *rest = text.split(";")
    changes = []
    for change in rest:
        seconds, words = change.split(None, 1)
        changes.append((float(seconds), words))
    return Scenario(text, first, changes, 45)
