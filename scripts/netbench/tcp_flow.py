#!/usr/bin/env python3
"""A long TCP flow: `tcp_flow.py receive PORT` takes and forgets, `tcp_flow.py send HOST PORT` sends."""
import socket
import sys
import time


def receive(port):
    """Takes one connection after the other and reads it to its end."""
    with socket.create_server(("", port)) as server:
        while True:
            connection, _ = server.accept()
            with connection:
                while connection.recv(65536):
                    pass


def send(host, port):
    """Sends as fast as the kernel's congestion control lets it, until it is ended."""
    while True:
        try:
            connection = socket.create_connection((host, port), 10)
            break
        except OSError:
            time.sleep(0.1)
    connection.settimeout(None)
    block = bytes(65536)
    while True:
        connection.sendall(block)


if __name__ == "__main__":
    if sys.argv[1:2] == ["receive"]:
        receive(int(sys.argv[2]))
    elif sys.argv[1:2] == ["send"]:
        try:
            send(sys.argv[2], int(sys.argv[3]))
        except OSError:
            pass  # The other end is ended first.
    else:
        sys.exit(__doc__)
