"""The two kinds of ends that are measured: `peer`, and Chromium.

Both say what they sent and showed and when, by the numbers in the pictures (media.py), and give a row
of their own statistics a second. peer's window is read out of the framebuffer of an X server of its
own; when a picture was captured follows from where in the file it reads. Chromium is asked by
MediaStreamTrackProcessor and requestVideoFrameCallback on page.html.
"""
import bisect
import datetime
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import threading
import time
from urllib.parse import urlencode

import media

HERE = os.path.dirname(os.path.abspath(__file__))
SCREEN_WIDTH = 960
LOOK_EVERY = 0.004


def json_lines(path):
    """What stands in a file of JSON lines; a line that is being written is left out."""
    read = []
    if os.path.exists(path):
        with open(path) as lines:
            for line in lines:
                try:
                    read.append(json.loads(line))
                except ValueError:
                    pass
    return read


def when(event):
    """An event's time in seconds."""
    at = event["time"]
    if isinstance(at, (int, float)):
        return at
    return datetime.datetime.fromisoformat(at.replace("Z", "+00:00")).timestamp()


class End:
    """One end of a call: `shown` is [(time, number)], `rows` are statistics, one a second."""

    def __init__(self, lab, host, name, setup):
        self.lab, self.host, self.name, self.setup = lab, host, name, setup
        self.base = f"{lab.folder}/{name}"
        self.processes, self.shown, self.sent, self.rows = [], [], [], []
        self.epoch, self.stopped, self.sent_times = None, False, None
        self.calling, self.connected, self.first_picture, self.ended = None, None, None, None

    def spawn(self, command, **options):
        """Starts a program on this end's host."""
        process = subprocess.Popen(
            self.lab.inside(self.host, command), start_new_session=True, stdin=subprocess.DEVNULL, **options
        )
        self.processes.append(process)
        return process

    def events(self):
        """What it has told so far."""
        return json_lines(self.base + ".events")

    def event(self, name, patience):
        """Waits for an event; None when it does not come."""
        until = time.time() + patience
        while time.time() < until:
            for event in self.events():
                if event.get("event") == name:
                    return event
            if self.processes[-1].poll() is not None:
                return None
            time.sleep(0.02)
        return None

    def end(self):
        """Ends all its programs."""
        self.stopped = True
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            running = [process for process in self.processes if process.poll() is None]
            for process in running:
                try:
                    os.killpg(process.pid, signal_number)
                except ProcessLookupError:
                    pass
            for process in running:
                try:
                    process.wait(6)
                except subprocess.TimeoutExpired:
                    pass

    def captured(self, number, shown_at):
        """When the picture with that number was captured that was seen then: the last time before."""
        if self.epoch is not None:
            index = int((shown_at - self.epoch) * media.FPS)
            index -= (index - number) % media.FRAMES
            return self.epoch + index / media.FPS if index >= 0 else None
        if self.sent_times is None:
            self.sent_times = {}
            for at, sent in self.sent:
                self.sent_times.setdefault(sent, []).append(at)
        times = self.sent_times.get(number, [])
        index = bisect.bisect_right(times, shown_at)
        return times[index - 1] if index else None


class PeerEnd(End):
    """`peer call` or `peer login` with a window."""

    kind = "peer"

    def start(self, callee=None):
        """Starts it; with a callee it calls."""
        framebuffer = self.base + ".framebuffer"
        os.makedirs(framebuffer, exist_ok=True)
        display = self.start_screen(framebuffer)
        home = self.base + ".home"
        os.makedirs(home, exist_ok=True)
        environment = dict(os.environ, DISPLAY=f":{display}", HOME=home, XDG_RUNTIME_DIR=home)
        environment.pop("WAYLAND_DISPLAY", None)
        setup = self.setup
        subject = ["call", callee, "--as", self.name] if callee else ["login", self.name, "--auto-answer"]
        command = [setup.peer, *subject, "--server", setup.server, "--stun", "none"]
        command += ["--video", setup.pictures, "--audio", setup.sound, "--max-bitrate", setup.max_bitrate]
        command += ["--view", "window", "--speaker", "none", "--stats", self.base + ".stats", "--json"]
        with open(self.base + ".events", "w") as events, open(self.base + ".err", "w") as errors:
            process = self.spawn(command + setup.peer_flags, env=environment, stdout=events, stderr=errors)
        watchers = [(self.watch_window, (framebuffer + "/Xvfb_screen0",)), (self.watch_file, (process,))]
        for target, arguments in watchers:
            threading.Thread(target=target, args=arguments, daemon=True).start()

    def start_screen(self, framebuffer):
        """An X server of its own whose picture is a file."""
        first = 300 + os.getpid() % 5000
        sockets = "/tmp/.X11-unix/X{}"
        free = (n for n in range(first, first + 1000) if not os.path.exists(sockets.format(n)))
        display = next(n for n in free if not os.path.exists(f"/tmp/.X{n}-lock"))
        screen = ["-screen", "0", f"{SCREEN_WIDTH}x600x24", "-fbdir", framebuffer, "-nolisten", "tcp"]
        self.spawn(["Xvfb", f":{display}", *screen], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(100):
            if os.path.exists(sockets.format(display)) and os.path.exists(framebuffer + "/Xvfb_screen0"):
                break
            time.sleep(0.05)
        return display

    def watch_window(self, path):
        """Notes each new number in the window, which fills the screen's width."""
        with open(path, "rb") as file:
            pixels = mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ)
        head = struct.unpack(">25I", pixels[:100])
        start, stride = head[0] + head[19] * 12, head[12]
        side = SCREEN_WIDTH // media.CELLS_IN_WIDTH
        cells = [start + 20 * stride + (n * side + side // 2) * 4 + 1 for n in range(media.CELLS)]
        last = None
        while not self.stopped:
            number = media.read_number(lambda index: pixels[cells[index]])
            if number is not None and number != last:
                last = number
                self.shown.append((time.time(), number))
            time.sleep(LOOK_EVERY)

    def watch_file(self, process):
        """Finds out when the first picture would have been captured, from the position in the file."""
        with open(self.setup.pictures, "rb") as file:
            head = len(file.readline())
        size = self.setup.size
        frame = size[0] * size[1] * 3 // 2 + len("FRAME\n")
        last, rounds, best, seen, until = 0, 0, None, 0, None
        while not self.stopped and process.poll() is None and (until is None or time.time() < until):
            position = self.file_position(process.pid)
            if position is None:
                time.sleep(0.01)
                continue
            at = time.time()
            index = max(0, position - head) // frame
            if index != last:
                rounds += 1 if index < last and last > 5 else 0
                last = index
                read = rounds * media.FRAMES + index
                if read >= 3:  # The picture before the one that is read ahead was captured just now.
                    until = until or at + 8
                    epoch = at - (read - 2) / media.FPS
                    best = epoch if best is None else min(best, epoch)
                    seen += 1
                    if seen > 20:
                        self.epoch = best
            time.sleep(0.002)

    def file_position(self, pid):
        """Where in the file of pictures it reads; None while it does not."""
        try:
            for descriptor in os.listdir(f"/proc/{pid}/fd"):
                if os.readlink(f"/proc/{pid}/fd/{descriptor}") == self.setup.pictures:
                    with open(f"/proc/{pid}/fdinfo/{descriptor}") as info:
                        return int(info.read().split()[1])
        except (OSError, ValueError):
            pass
        return None

    def collect(self):
        """Reads what it has written."""
        self.rows = [peer_row(line) for line in json_lines(self.base + ".stats")]
        events = self.events()
        first = {}
        for event in events:
            first.setdefault(event["event"], event)
        times = [when(first[n]) if n in first else None for n in ("calling", "connected", "first-video-frame")]
        self.calling, self.connected, self.first_picture = times
        ends = [event for event in events if event["event"] in ("ended", "error")]
        keys = ("event", "reason", "code", "message")
        self.ended = {key: ends[-1][key] for key in keys if key in ends[-1]} if ends else None


def peer_row(line):
    """The statistics of a second of `peer`."""
    inbound, outbound = line.get("inbound", {}), line.get("outbound", {})
    video, audio, sent = inbound.get("video") or {}, inbound.get("audio") or {}, outbound.get("video") or {}
    pair = line.get("selectedCandidatePair") or {}
    return dict(
        common_row(video, audio, sent),
        t=when(line),
        picture_buffer_ms=video.get("jitterBufferDelayMs"),
        sound_buffer_ms=audio.get("jitterBufferDelayMs"),
        round_trip=pair.get("currentRoundTripTime"),
    )


class ChromiumEnd(End):
    """A headless Chromium on page.html."""

    kind = "chromium"
    ports = iter(range(8800, 8900))

    def start(self, callee=None):
        """Starts it; with a callee it calls."""
        setup = self.setup
        query = dict(me=self.name, server=setup.server, w=setup.size[0], h=setup.size[1])
        query.update(max=setup.max_bitrate, seconds=setup.seconds)
        if callee:
            query["call"] = callee
        helper = [sys.executable, HERE + "/chromium_end.py", self.base, next(self.ports)]
        self.spawn([*helper, setup.pictures, setup.sound, urlencode(query)])

    def collect(self):
        """Waits for its report, which it makes at the end of its time."""
        until = time.time() + 8
        while not os.path.exists(self.base + ".report") and time.time() < until:
            time.sleep(0.1)
        report = dict(sent=[], shown=[], stats=[], marks={})
        if os.path.exists(self.base + ".report"):
            with open(self.base + ".report") as file:
                report = json.load(file)
        self.sent = report["sent"]
        self.shown = [(at, number) for at, number, *_ in report["shown"]]
        self.rows = [chromium_row(row) for row in report["stats"]]
        marks = report["marks"]
        self.calling, self.connected = marks.get("calling"), marks.get("connected")
        self.first_picture = marks.get("firstVideo")
        ends = ("failed", "closed", "leave", "error", "disconnected")
        self.ended = next((event for event in self.events()[::-1] if event["event"] in ends), None)


def chromium_row(row):
    """The statistics of a second of Chromium."""
    kinds = ("inbound-rtp-video", "inbound-rtp-audio", "outbound-rtp-video", "pair")
    video, audio, sent, pair = (row.get(kind) or {} for kind in kinds)

    def buffer_ms(report):
        emitted = report.get("jitterBufferEmittedCount") or 1
        return report.get("jitterBufferDelay", 0) / emitted * 1e3

    return dict(
        common_row(video, audio, sent),
        t=row["t"],
        picture_buffer_ms=buffer_ms(video),
        sound_buffer_ms=buffer_ms(audio),
        round_trip=pair.get("currentRoundTripTime"),
        limited=sent.get("qualityLimitationReason"),
    )


def common_row(video, audio, sent):
    """What both kinds of ends tell under the same W3C names."""
    return dict(
        decoded=video.get("framesDecoded", 0),
        width=video.get("frameWidth"),
        height=video.get("frameHeight"),
        video_bytes=video.get("bytesReceived", 0),
        audio_bytes=audio.get("bytesReceived", 0),
        concealed=audio.get("concealedSamples", 0),
        samples=audio.get("totalSamplesReceived", 0),
        nacks=video.get("nackCount"),
        plis=video.get("pliCount"),
        keyframes=video.get("keyFramesDecoded"),
        target=sent.get("targetBitrate"),
        repeated=sent.get("retransmittedPacketsSent"),
    )


KINDS = {"peer": PeerEnd, "chromium": ChromiumEnd}
