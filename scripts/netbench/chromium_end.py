#!/usr/bin/env python3
"""chromium_end.py OUT PORT PICTURES SOUND QUERY: a headless Chromium on page.html, in its namespace.

Serves the page on 127.0.0.1:PORT, which is a secure context; writes OUT.events (JSON lines) and
OUT.report. Ends its own Chromium when it is ended.
"""
import http.server
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading

PAGE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "page.html")
FLAGS = """--headless=new --no-sandbox --disable-gpu --disable-quic --disable-dev-shm-usage --no-first-run
    --disable-background-networking --disable-component-update --disable-sync
    --autoplay-policy=no-user-gesture-required --use-fake-device-for-media-stream
    --use-fake-ui-for-media-stream""".split()


def handler(out, page):
    """What the page is served by and tells to."""

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, *_):
            pass

        def reply(self, body=b""):
            self.send_response(200)
            self.send_header("content-type", "text/html")
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self):
            self.reply(page if self.path.startswith("/?") else b"")

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            if self.path == "/event":
                with open(out + ".events", "ab") as events:
                    events.write(body + b"\n")
            if self.path == "/report":
                with open(out + ".part", "wb") as report:
                    report.write(body)
                os.rename(out + ".part", out + ".report")
            self.reply()

    return Handler


def end(chromium, profile):
    """Ends Chromium and all that it started."""
    for signal_number in (signal.SIGTERM, signal.SIGKILL):
        try:
            os.killpg(chromium.pid, signal_number)
            chromium.wait(2)
        except (ProcessLookupError, subprocess.TimeoutExpired):
            pass
    shutil.rmtree(profile, ignore_errors=True)
    os._exit(0)


def main():
    """Serves, and waits for Chromium's end or ours."""
    out, port, pictures, sound, query = sys.argv[1:6]
    with open(PAGE, "rb") as file:
        page = file.read()
    server = http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), handler(out, page))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    profile = tempfile.mkdtemp(prefix="netbench-chromium-")
    files = [f"--use-file-for-fake-video-capture={pictures}", f"--use-file-for-fake-audio-capture={sound}"]
    command = ["chromium", *FLAGS, *files, f"--user-data-dir={profile}", f"http://127.0.0.1:{port}/?{query}"]
    with open(out + ".log", "w") as log:
        chromium = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, start_new_session=True)
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(signal_number, lambda *_: end(chromium, profile))
    chromium.wait()
    end(chromium, profile)


main()
