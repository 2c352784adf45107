"""One direction of an emulated link, and the process that carries packets between two TUN devices.

The words are those of `peer loopback --network`: rate, queue, delay, jitter, dist, reorder, loss, burst.
A link is first a queue that empties at a rate, then a delay; what comes when the queue is full is
dropped, and what is lost at random is lost before it.
"""
import collections
import ctypes
import gc
import heapq
import json
import os
import random
import select
import signal
import time

UNITS = {"k": 1e3, "m": 1e6}
SMALLEST_QUEUE_BYTES = 3000
STATISTICS_INTERVAL = 0.1
NEVER = 1e18
TCP = 6
PR_SET_TIMERSLACK, PR_SET_PDEATHSIG = 29, 1


def bits_a_second(text):
    """Reads a rate such as 3M or 500k; `none` is without a limit."""
    if text == "none":
        return None
    scale = UNITS.get(text[-1:].lower(), 1)
    return float(text[:-1] if scale != 1 else text) * scale


def seconds(text):
    """Reads a time such as 50ms or 1.5s."""
    if text.endswith("ms"):
        return float(text[:-2]) / 1e3
    if text.endswith("s"):
        return float(text[:-1])
    raise ValueError(f"'{text}' is no time; write 50ms or 1.5s")


def percent(text):
    """Reads a share such as 5%."""
    if not text.endswith("%"):
        raise ValueError(f"'{text}' is no share; write 5%")
    return float(text[:-1]) / 100


def yes_or_no(text):
    """Reads yes or no."""
    return {"yes": True, "1": True, "no": False, "0": False}[text]


PROPERTIES = {
    "rate": bits_a_second,
    "queue": seconds,
    "delay": seconds,
    "jitter": seconds,
    "dist": str,
    "reorder": yes_or_no,
    "loss": percent,
    "burst": float,
}


def parse(words):
    """'rate=1M,up.delay=50ms' as {'up': {...}, 'down': {...}}; what names no direction is both."""
    sides = {"up": {}, "down": {}}
    for word in filter(None, (word.strip() for word in words.split(","))):
        name, _, value = word.partition("=")
        side, _, name = name.rpartition(".")
        if name not in PROPERTIES or (side and side not in sides):
            raise ValueError(f"'{word}' is nothing that a link has; it has {', '.join(PROPERTIES)}")
        for one in [side] if side else sides:
            sides[one][name] = PROPERTIES[name](value)
    return sides


class Link:
    """One direction: reads packets from one TUN device and writes them to the other when they arrive."""

    def __init__(self, source, target, address, seed):
        self.source, self.target = source, target
        # Only what is meant for the other host crosses: programs ask the rest of the world for much.
        self.address = bytes(map(int, address.split(".")))
        self.random = random.Random(seed)
        self.rate, self.queue, self.delay, self.jitter = None, 0.3, 0.0, 0.0
        self.dist, self.reorder, self.loss, self.burst = "uniform", False, 0.0, 1.0
        self.losing = False
        self.waiting, self.waiting_bytes = collections.deque(), 0
        self.left_bits, self.left_since = 0.0, None
        self.under_way, self.sequence, self.last_arrival = [], 0, 0.0
        self.counts = dict(packets=0, bytes=0, sent=0, sent_bytes=0, tcp_bytes=0, lost=0, tail_dropped=0)
        self.wait, self.longest_wait, self.late = 0.0, 0.0, 0.0

    def change(self, properties, now):
        """Makes it another link; what waits keeps what has been sent of it."""
        if self.left_since is not None and self.rate:
            sent = (now - self.left_since) * self.rate
            self.left_bits, self.left_since = max(0.0, self.left_bits - sent), now
        for name, value in properties.items():
            setattr(self, name, value)
        if self.rate is None:
            self.left_since = None
            while self.waiting:
                packet, since = self.waiting.popleft()
                self.send(packet, since, now)
            self.waiting_bytes = 0

    def is_lost(self):
        """Independent losses, or runs by Gilbert's model with the mean length that was asked for."""
        if self.burst <= 1 or not 0 < self.loss < 1:
            return self.loss > 0 and self.random.random() < self.loss
        if self.losing:
            self.losing = self.random.random() >= 1 / self.burst
        else:
            self.losing = self.random.random() < self.loss / (self.burst * (1 - self.loss))
        return self.losing

    def arrive(self, packet, now):
        """Something is sent into it."""
        if packet[16:20] != self.address:
            return
        self.counts["packets"] += 1
        self.counts["bytes"] += len(packet)
        if self.is_lost():
            self.counts["lost"] += 1
        elif self.rate is None:
            self.send(packet, now, now)
        elif self.waiting_bytes + len(packet) > max(self.rate * self.queue / 8, SMALLEST_QUEUE_BYTES):
            self.counts["tail_dropped"] += 1
        else:
            self.waiting.append((packet, now))
            self.waiting_bytes += len(packet)
            if len(self.waiting) == 1:
                self.left_bits, self.left_since = len(packet) * 8, now

    def sent_at(self):
        """When the last bit of the first in the queue is sent."""
        return NEVER if self.left_since is None else self.left_since + self.left_bits / self.rate

    def send(self, packet, since, at):
        """Puts what has left the queue on its way."""
        self.wait = at - since
        self.longest_wait = max(self.longest_wait, self.wait)
        arrival = at + max(0.0, self.delay + self.extra_delay())
        if not self.reorder:
            arrival = self.last_arrival = max(arrival, self.last_arrival)
        self.sequence += 1
        heapq.heappush(self.under_way, (arrival, self.sequence, packet))

    def extra_delay(self):
        """Jitter: uniform, or normal with a third of it as deviation and cut at it."""
        if not self.jitter:
            return 0.0
        if self.dist == "uniform":
            return self.random.uniform(-self.jitter, self.jitter)
        while True:
            extra = self.random.gauss(0, self.jitter / 3)
            if abs(extra) <= self.jitter:
                return extra

    def advance(self, now):
        """Brings it up to now: sends what its rate has allowed, delivers what has arrived."""
        while (at := self.sent_at()) <= now:
            packet, since = self.waiting.popleft()
            self.waiting_bytes -= len(packet)
            self.send(packet, since, at)
            if self.waiting:
                self.left_bits, self.left_since = len(self.waiting[0][0]) * 8, at
            else:
                self.left_since = None
        while self.under_way and self.under_way[0][0] <= now:
            arrival, _, packet = heapq.heappop(self.under_way)
            try:
                os.write(self.target, packet)
            except OSError:
                continue
            self.counts["sent"] += 1
            self.counts["sent_bytes"] += len(packet)
            self.counts["tcp_bytes"] += len(packet) if packet[9] == TCP else 0
            self.late = max(self.late, now - arrival)

    def next(self):
        """When it has something to do again."""
        return min(self.sent_at(), self.under_way[0][0] if self.under_way else NEVER)

    def statistics(self):
        """Its counters, and what was worst since the last time that somebody asked."""
        told = dict(
            self.counts,
            rate=self.rate,
            waiting_bytes=self.waiting_bytes,
            wait_ms=round(self.wait * 1e3, 1) if self.waiting else 0,
            longest_wait_ms=round(self.longest_wait * 1e3, 1),
            late_ms=round(self.late * 1e3, 2),
        )
        self.longest_wait, self.late = 0.0, 0.0
        return told


def carry(links, control, statistics):
    """The emulator process: moves packets until it is ended; `control` brings changes, in words."""
    prepare_process()
    directions = list(links.values())
    by_source = {link.source: link for link in directions}
    started, offset = time.monotonic(), time.time() - time.monotonic()
    next_statistics = started
    with open(statistics, "w") as out:
        while True:
            now = time.monotonic()
            for link in directions:
                link.advance(now)
            if now >= next_statistics:
                told = {side: link.statistics() for side, link in links.items()}
                out.write(json.dumps({"t": round(now + offset, 3), **told}) + "\n")
                out.flush()
                next_statistics += STATISTICS_INTERVAL
            wake = min([link.next() for link in directions] + [next_statistics])
            wait = max(0.0, min(wake - time.monotonic(), 1.0))
            for ready in select.select([*by_source, control], [], [], wait)[0]:
                if ready is control:
                    for side, properties in parse(control.recv(4096).decode()).items():
                        links[side].change(properties, time.monotonic())
                else:
                    read_packets(by_source[ready])


def read_packets(link):
    """Takes what the device has, but not so much that the other direction waits for it."""
    try:
        for _ in range(32):
            link.arrive(os.read(link.source, 65536), time.monotonic())
    except BlockingIOError:
        pass


def prepare_process():
    """Nothing may delay it: no garbage collection, no timer slack, before all normal processes."""
    gc.freeze()
    gc.disable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    libc = ctypes.CDLL(None)
    libc.prctl(PR_SET_TIMERSLACK, 1, 0, 0, 0)
    libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(10))
    except OSError:
        pass  # Less steady; the lateness that is reported tells.
