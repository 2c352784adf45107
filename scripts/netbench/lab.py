"""Two hosts in network namespaces of their own, and an emulated link between them.

    alice 198.51.100.2 ==TUN== link ==TUN== 198.51.100.3 bob       up: alice to bob, down: back

Needs root and iproute2. Everything is gone when it is closed; `remove_leftovers` takes away what a
killed run left.
"""
import ctypes
import fcntl
import os
import signal
import socket
import struct
import subprocess
import time
import traceback

import link

ADDRESSES = {"alice": "198.51.100.2", "bob": "198.51.100.3"}
PREFIX = "netbench"
CLONE_NEWNET = 0x40000000
TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 0x0001, 0x1000

libc = ctypes.CDLL(None, use_errno=True)


def ip(*words):
    """Runs `ip`; a failure is an error."""
    subprocess.run(["ip", *words], check=True)


class Lab:
    """The two hosts and the link, from `open` to `close`."""

    def __init__(self, profile, folder, seed=1):
        self.profile, self.folder, self.seed = profile, folder, seed
        self.prefix = f"{PREFIX}{os.getpid()}"
        self.statistics = f"{folder}/link.jsonl"
        self.control, self.emulator, self.devices = None, None, []

    def __enter__(self):
        try:
            self.open()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_):
        self.close()

    def namespace(self, host):
        """The name of a host's namespace."""
        return f"{self.prefix}-{host}"

    def inside(self, host, command):
        """A command as it is run on a host."""
        return ["ip", "netns", "exec", self.namespace(host), *map(str, command)]

    def open(self):
        """Makes hosts and link."""
        alice, bob = (self.add_host(host) for host in ("alice", "bob"))
        links = {
            "up": link.Link(alice, bob, ADDRESSES["bob"], f"{self.seed}up"),
            "down": link.Link(bob, alice, ADDRESSES["alice"], f"{self.seed}down"),
        }
        for side, properties in link.parse(self.profile).items():
            links[side].change(properties, 0.0)
        self.control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.emulator = os.fork()
        if self.emulator == 0:
            try:
                link.carry(links, theirs, self.statistics)
            except BaseException:
                traceback.print_exc()
            os._exit(1)
        theirs.close()

    def add_host(self, host):
        """A namespace with one interface; the file descriptor that is the other end of its wire."""
        name = self.namespace(host)
        ip("netns", "add", name)
        subprocess.run(
            self.inside(host, ["sh", "-c", "echo 1 >/proc/sys/net/ipv6/conf/all/disable_ipv6"]), check=True
        )
        device = self.open_tun(name, "eth0")
        self.devices.append(device)
        ip("-n", name, "link", "set", "lo", "up")
        ip("-n", name, "addr", "add", f"{ADDRESSES[host]}/24", "dev", "eth0")
        ip("-n", name, "link", "set", "eth0", "mtu", "1500", "up")
        ip("-n", name, "route", "add", "default", "dev", "eth0")
        return device

    def open_tun(self, namespace, name):
        """A TUN device inside a namespace, held by us outside of it."""
        ours = os.open("/proc/self/ns/net", os.O_RDONLY)
        there = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        try:
            if libc.setns(there, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "setns")
            device = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
            request = struct.pack("16sH22x", name.encode(), IFF_TUN | IFF_NO_PI)
            fcntl.ioctl(device, TUNSETIFF, request)
        finally:
            libc.setns(ours, CLONE_NEWNET)
            os.close(ours)
            os.close(there)
        return device

    def change(self, words):
        """Makes the link another one, now."""
        self.control.send(words.encode())

    def emulator_died(self):
        """Whether the link is gone, which voids what was measured."""
        return os.waitpid(self.emulator, os.WNOHANG) != (0, 0)

    def close(self):
        """Ends what still runs on the hosts, and takes everything away."""
        for signal_number in (signal.SIGTERM, signal.SIGKILL):
            pids = [pid for host in ADDRESSES for pid in pids_in(self.namespace(host))]
            for pid in pids:
                kill(pid, signal_number)
            if pids:
                time.sleep(0.3)
        if self.emulator:
            kill(self.emulator, signal.SIGKILL)
            try:
                os.waitpid(self.emulator, 0)
            except ChildProcessError:
                pass
        for device in self.devices:
            os.close(device)
        for host in ADDRESSES:
            remove(self.namespace(host))


def kill(pid, signal_number):
    """Signals a process that may be gone."""
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        pass


def pids_in(namespace):
    """The processes of a namespace."""
    listed = subprocess.run(["ip", "netns", "pids", namespace], capture_output=True, text=True, check=False)
    return [int(pid) for pid in listed.stdout.split()]


def remove(namespace):
    """Takes a namespace away that may be gone."""
    subprocess.run(["ip", "netns", "del", namespace], stderr=subprocess.DEVNULL, check=False)


def remove_leftovers():
    """Takes away the namespaces of runs that were killed."""
    names = os.listdir("/run/netns") if os.path.isdir("/run/netns") else []
    for name in names:
        owner = name.removeprefix(PREFIX).split("-")[0]
        if name.startswith(PREFIX) and owner.isdigit() and not os.path.exists(f"/proc/{owner}"):
            for pid in pids_in(name):
                kill(pid, signal.SIGKILL)
            remove(name)
