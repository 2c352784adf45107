#!/usr/bin/env python3
"""Makes docs/call.png from the real thing: a terminal and a browser in a call with each other.

usage: scripts/picture.py PEER [OUT]      (such as target/release/peer docs/call.png)

Needs Chromium with chromedriver and ffmpeg (make deps). The terminal is a pseudo-terminal whose
bytes are drawn here, the browser is Chromium with a file for a camera.
"""

import base64
import fcntl
import html
import json
import os
import pathlib
import pty
import re
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
ROWS, COLUMNS = 34, 96
PATIENCE = 60
CSI = re.compile(rb"\x1b\[([0-9;?]*)([@-~])")


class Screen:
    """As much of a terminal as `peer --view terminal` uses: places, colours, a scrolling region."""

    def __init__(self):
        self.cells = [[(" ", None, None)] * COLUMNS for _ in range(ROWS)]
        self.row = self.column = 0
        self.kept = (0, 0, False)
        self.ink = self.ground = None
        self.top, self.bottom = 0, ROWS - 1
        self.origin = False
        self.rest = b""

    def feed(self, data):
        data, at = self.rest + data, 0
        self.rest = b""
        while at < len(data):
            byte = data[at]
            if byte == 0x1B:
                found = CSI.match(data, at)
                if found:
                    self.control(found[1].decode(), found[2].decode())
                    at = found.end()
                elif data[at : at + 2] in (b"\x1b7", b"\x1b8"):
                    if data[at + 1] == 0x37:
                        self.kept = (self.row, self.column, self.origin)
                    else:
                        self.row, self.column, self.origin = self.kept
                    at += 2
                elif data[at : at + 2] == b"\x1b_":
                    end = data.find(b"\x1b\\", at)
                    if end < 0:
                        self.rest = data[at:]
                        return
                    at = end + 2
                elif len(data) - at < 32:
                    self.rest = data[at:]
                    return
                else:
                    at += 1
            elif byte == 0x0D:
                self.column, at = 0, at + 1
            elif byte == 0x0A:
                self.line_feed()
                at += 1
            elif byte < 0x20:
                at += 1
            else:
                length = 1 if byte < 0x80 else 2 if byte < 0xE0 else 3 if byte < 0xF0 else 4
                if at + length > len(data):
                    self.rest = data[at:]
                    return
                self.put(data[at : at + length].decode(errors="replace"))
                at += length

    def put(self, letter):
        if self.column >= COLUMNS:
            self.column = 0
            self.line_feed()
        self.cells[self.row][self.column] = (letter, self.ink, self.ground)
        self.column += 1

    def line_feed(self):
        if self.row == self.bottom:
            del self.cells[self.top]
            self.cells.insert(self.bottom, [(" ", None, None)] * COLUMNS)
        else:
            self.row = min(self.row + 1, ROWS - 1)

    def control(self, parameters, last):
        numbers = [int(n) if n.isdigit() else 0 for n in parameters.lstrip("?").split(";")]
        first = numbers[0]
        blank = (" ", None, None)
        if last == "H":
            self.row = max(first, 1) - 1 + (self.top if self.origin else 0)
            self.column = (max(numbers[1], 1) if len(numbers) > 1 else 1) - 1
        elif last == "K":
            wiped = range(COLUMNS) if first == 2 else range(self.column, COLUMNS)
            for column in wiped:
                self.cells[self.row][column] = blank
        elif last == "J":
            self.cells = [[blank] * COLUMNS for _ in range(ROWS)]
        elif last == "r":
            self.top = max(first, 1) - 1
            self.bottom = (numbers[1] if len(numbers) > 1 and numbers[1] else ROWS) - 1
        elif last in "hl" and parameters == "?6":
            self.origin = last == "h"
            self.row, self.column = (self.top if self.origin else 0), 0
        elif last == "m":
            self.colour(numbers)

    def colour(self, numbers):
        while numbers:
            what, *numbers = numbers
            if what == 0:
                self.ink = self.ground = None
            elif what in (38, 48) and numbers[:1] == [2]:
                colour = "#%02x%02x%02x" % tuple(numbers[1:4])
                numbers = numbers[4:]
                if what == 38:
                    self.ink = colour
                else:
                    self.ground = colour

    def as_html(self):
        lines = []
        for row in self.cells:
            spans = []
            for letter, ink, ground in row:
                if letter == "▀":
                    # Drawn as two halves: letters of a font leave gaps between rows.
                    paint = f"linear-gradient({ink} 50%,{ground} 50%)"
                    spans.append(f'<i style="background:{paint}"> </i>')
                else:
                    style = f' style="background:{ground}"' if ground else ""
                    spans.append(f"<i{style}>{html.escape(letter)}</i>")
            lines.append("<div>" + "".join(spans) + "</div>")
        return "".join(lines)


def driver(port, path, body=None, method=None):
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data, method=method)
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)["value"]


class Browser:
    """Chromium through chromedriver (W3C WebDriver)."""

    def __init__(self, *flags):
        self.process = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        for line in self.process.stdout:
            found = re.search(r"started successfully on port (\d+)", line)
            if found:
                break
        self.port = int(found[1])
        args = ["--headless=new", "--no-sandbox", "--hide-scrollbars", "--force-device-scale-factor=1"]
        wanted = {"browserName": "chrome", "goog:chromeOptions": {"args": args + list(flags)}}
        session = driver(self.port, "/session", {"capabilities": {"alwaysMatch": wanted}})
        self.session = f"/session/{session['sessionId']}"

    def open(self, url):
        driver(self.port, f"{self.session}/url", {"url": url})

    def run(self, script):
        body = {"script": script, "args": []}
        return driver(self.port, f"{self.session}/execute/sync", body)

    def until(self, what, script):
        for _ in range(PATIENCE * 5):
            if self.run(script):
                return
            time.sleep(0.2)
        sys.exit(f"not seen in the browser: {what}")

    def size(self, width, height):
        rect = {"x": 0, "y": 0, "width": width, "height": height}
        driver(self.port, f"{self.session}/window/rect", rect)

    def picture(self):
        return driver(self.port, f"{self.session}/screenshot")

    def close(self):
        try:
            driver(self.port, self.session, method="DELETE")
        finally:
            self.process.terminate()


def on_terminal(command, environment):
    child, terminal = pty.fork()
    if child == 0:
        os.execvpe(command[0], command, environment)
    size = struct.pack("HHHH", ROWS, COLUMNS, 0, 0)
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, size)
    return child, terminal


def watch(terminal, screen, seconds):
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                screen.feed(os.read(terminal, 65536))
            except OSError:
                return  # Linux's word for the end of a terminal.


PAGE = """<!doctype html><meta charset=utf-8><style>
body {{ margin: 0; background: #dfe3ea; font: 15px/1 "DejaVu Sans Mono", monospace; }}
main {{ display: inline-flex; gap: 24px; padding: 24px; }}
section {{ flex: none; border-radius: 12px; overflow: hidden; box-shadow: 0 8px 30px #0005; background: #15171b; }}
h1 {{ margin: 0; padding: 10px; font: 600 14px sans-serif; text-align: center; color: #c8ccd4; background: #2a2d34; }}
pre {{ margin: 0; padding: 8px; color: #e6e6e3; }}
div {{ height: 17px; white-space: nowrap; }}
i {{ display: inline-block; width: 8.4px; height: 17px; font-style: normal; vertical-align: top; line-height: 17px; font-size: 14px; }}
img {{ display: block; height: {height}px; }}
</style><main><section><h1>peer call bob --view terminal</h1><pre>{terminal}</pre></section>
<section><h1>http://localhost:9090</h1><img src="data:image/png;base64,{browser}"></section></main>"""


def main():
    peer = os.path.abspath(sys.argv[1])
    out = pathlib.Path(sys.argv[2] if len(sys.argv) > 2 else ROOT / "docs" / "call.png")
    home = tempfile.TemporaryDirectory()
    environment = {**os.environ, "HOME": home.name, "TERM": "xterm-256color", "COLORTERM": "truecolor"}
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        environment.pop(name, None)
    film = os.path.join(home.name, "camera.mjpeg")
    clips = ROOT / "assets" / "clips"
    subprocess.run(
        # The other way round: nobody shall think that one side sees itself.
        ["ffmpeg", "-v", "error", "-ss", "2", "-i", str(clips / "camera-720p.mp4"), "-vf", "hflip"]
        + ["-q:v", "3", film],
        check=True,
    )
    server = subprocess.Popen(
        [peer, "serve", "--listen", "127.0.0.1:0", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment,
    )
    listening = json.loads(server.stdout.readline())
    browser = Browser(
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-video-capture={film}",
    )
    child = None
    try:
        browser.size(760, 760)
        browser.open(listening["page"])
        browser.run("document.getElementById('name').value = 'bob'; document.getElementById('login').click()")
        browser.until("the login", "return document.body.dataset.view === 'home'")
        command = [
            peer, "call", "bob", "--as", "alice", "--server", listening["server"], "--stun", "none",
            "--video", str(clips / "camera-360p.mp4"), "--audio", str(clips / "speech.opus"),
            "--view", "terminal", "--speaker", "none",
        ]
        child, terminal = on_terminal(command, environment)
        screen = Screen()
        watch(terminal, screen, 3)
        browser.until("a call", "return document.getElementById('answer').checkVisibility()")
        browser.run("document.getElementById('answer').click()")
        watch(terminal, screen, 9)
        browser.until("a picture", "return document.getElementById('remote').videoWidth > 0")
        # A script's click leaves a ring of the keyboard, which a person's does not.
        browser.run("document.activeElement.blur()")
        shot = browser.picture()
        watch(terminal, screen, 0.5)
        os.write(terminal, b"q")
        watch(terminal, Screen(), 1)
        composed = os.path.join(home.name, "composed.html")
        height = ROWS * 17 + 16
        page = PAGE.format(terminal=screen.as_html(), browser=shot, height=height)
        pathlib.Path(composed).write_text(page, encoding="utf-8")
        browser.open(f"file://{composed}")
        browser.size(2200, 900)
        box = browser.run("const m = document.querySelector('main'); return [m.scrollWidth, m.scrollHeight]")
        browser.size(box[0], box[1] + 140)
        whole = os.path.join(home.name, "whole.png")
        pathlib.Path(whole).write_bytes(base64.b64decode(browser.picture()))
        # Fewer colours: the picture is for a README.
        crop = f"crop=min(iw\\,{box[0]}):min(ih\\,{box[1]}):0:0,split[a][b];[a]palettegen=256[p];[b][p]paletteuse=dither=sierra2_4a"
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", whole, "-vf", crop, str(out)], check=True)
    finally:
        browser.close()
        server.terminate()
        if child:
            os.waitpid(child, os.WNOHANG)
    print(out, out.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
