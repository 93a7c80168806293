# SPDX-License-Identifier: GPL-2.0-or-later
"""Ten thousand strangers: the guest boots on, nothing of the node grows, and
who belongs is let in as soon as without them."""

import contextlib
import os
import random
import re
import socket
import struct
import threading
import time
from pathlib import Path

from distkvm import guests, wire
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.door.common import (check_calm, log_of, qtest_cluster,
                                 start_waiting, until)
from naming import named

STRANGERS = 10_000
# To two nodes: more than both listen to at once (STRANGERS_MAX of stranger.c).
LISTENED_MAX = 128
OPEN_MAX = 5 * LISTENED_MAX // 2
TIMEOUT = 240
MIB = 1 << 20
# Counts that may differ between two boots of one guest, on each node.
RSS_SLACK = 64 * MIB
# With connections of the cluster itself, and files that a boot opens now and then.
FILES_SLACK = LISTENED_MAX + 24
# At most three refusals a second are told, and the count of the others.
LINES_A_SECOND = 4
LINE_BYTES = 300
COUNTED = r'(\d+) more peers were refused, or left, since the line before'
JOIN_SECONDS = 1.0


def garbage(stream, chance):
    stream.send(chance.randbytes(chance.randrange(1, 200)))
    yield 0.1


def truncated(stream, chance):
    stream.send(wire.greeting('psk', 1)[:chance.randrange(1, 16)])
    yield 0


def slow(stream, chance):
    for byte in wire.greeting('psk', 1)[:chance.randrange(2, 8)]:
        stream.send(bytes([byte]))
        yield 0.2


def half_open(stream, chance):
    del stream
    yield chance.choice((0.1, 0.5, 4))


def half_secured(stream, chance):
    stream.send(wire.greeting('psk', 1))
    yield 0.1
    stream.send(b'\x16\x03\x01' + chance.randbytes(chance.randrange(2, 99)))
    yield 0.1


def torn(stream, chance):
    """It ends with a reset."""
    del chance
    stream.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER,
                      struct.pack('ii', 1, 0))
    yield 0


KINDS = (garbage, garbage, truncated, truncated, torn, half_secured, slow,
         half_open)


class Flood(threading.Thread):
    """Strangers of all kinds at the doors of a cluster's nodes."""

    def __init__(self, net, nodes, total):
        super().__init__(daemon=True)
        self.net = net
        self.nodes = nodes
        self.total = total
        self.made = 0
        self.stopped = False
        self.chance = random.Random(13)

    def open(self):
        """One more stranger: its connection, what it does, and when."""
        host, port = self.net.host_port(self.chance.choice(self.nodes))
        stream = socket.socket()
        stream.settimeout(2)
        try:
            stream.connect((host, port))
        except OSError:
            stream.close()
            return None
        stream.setblocking(False)
        self.made += 1
        kind = KINDS[self.made % len(KINDS)]
        return stream, kind(stream, self.chance)

    def step(self, strangers, now):
        """Those whose time has come go on; the others stay."""
        left = []
        for due, stream, acts in strangers:
            if due > now:
                left.append((due, stream, acts))
                continue
            with contextlib.suppress(OSError, StopIteration):
                left.append((now + next(acts), stream, acts))
                continue
            stream.close()
        return left

    def run(self):
        strangers = []
        while not self.stopped and (self.made < self.total or strangers):
            while len(strangers) < OPEN_MAX and self.made < self.total:
                stranger = self.open()
                if not stranger:
                    break
                strangers.append((0, *stranger))
            strangers = self.step(strangers, time.monotonic())
            time.sleep(0.01)
        for _, stream, _ in strangers:
            stream.close()

    def stop(self):
        self.stopped = True
        self.join()


class Watch(threading.Thread):
    """The most that nodes had at any time: memory and files."""

    def __init__(self, pids):
        super().__init__(daemon=True)
        self.pids = pids
        self.rss = [0] * len(pids)
        self.files = [0] * len(pids)
        self.stopped = False

    def run(self):
        while not self.stopped:
            for n, pid in enumerate(self.pids):
                with contextlib.suppress(OSError, AttributeError):
                    status = Path(f'/proc/{pid}/status').read_text()
                    rss = int(re.search(r'^VmRSS:\s*(\d+) kB', status,
                                        re.M).group(1)) << 10
                    self.rss[n] = max(self.rss[n], rss)
                    self.files[n] = max(self.files[n],
                                        len(os.listdir(f'/proc/{pid}/fd')))
            time.sleep(0.1)

    def stop(self):
        self.stopped = True
        self.join()


def boot(name, strangers):
    """A guest that boots and works; what its nodes had at most, the bytes of
    their logs, and how long all took."""
    shape = Shape(nodes=2, memory='256M', net='psk')
    started = time.monotonic()
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*guests.kernel_args('quiet', 'busy'))
        until('formed', lambda: cluster.info(0)['formed'])
        watch = Watch([p.pid for p in cluster.process])
        watch.start()
        flood = Flood(cluster.net, (0, 1), strangers)
        flood.start()
        try:
            console.until('guest-busy: working', TIMEOUT)
            flood.join(TIMEOUT)
            if flood.is_alive():
                raise Problem(f'only {flood.made} strangers within '
                              f'{TIMEOUT} s')
            # It works on after the last of them.
            for _ in range(2):
                console.until(r'guest-busy: \d', TIMEOUT)
            check_calm(cluster, (0, 1))
            complaint = guests.COMPLAINTS.search(console.text)
            if complaint:
                raise Problem(f'the guest complains: {complaint.group(0)}')
        finally:
            flood.stop()
            watch.stop()
        logs = [cluster.log(n).stat().st_size for n in (0, 1)]
    return watch, logs, time.monotonic() - started


@named('door: a boot among 10,000 strangers')
def test_during_a_boot(note):
    quiet, logs, _ = boot('door-flood-none', 0)
    loud, loud_logs, seconds = boot('door-flood', STRANGERS)
    log_max = seconds * LINES_A_SECOND * LINE_BYTES + 4096
    for n in (0, 1):
        for what, more, most in (
                ('bytes of memory', loud.rss[n] - quiet.rss[n], RSS_SLACK),
                ('files', loud.files[n] - quiet.files[n], FILES_SLACK),
                ('bytes of log', loud_logs[n] - logs[n], log_max)):
            if more > most:
                raise Problem(f'node {n} had {more} {what} more than without '
                              'strangers')
    note(', '.join(f'node {n}: {(loud.rss[n] - quiet.rss[n]) // MIB} MiB, '
                   f'{loud.files[n] - quiet.files[n]} files, '
                   f'{loud_logs[n] - logs[n]} bytes of log more'
                   for n in (0, 1)))


def join_seconds(strangers):
    """From the start of node 1 to a whole cluster."""
    with qtest_cluster('flood-join', net='psk') as cluster:
        start_waiting(cluster)
        flood = Flood(cluster.net, (0,), strangers)
        flood.start()
        try:
            if strangers:
                until('a flood', lambda: flood.made > 2 * OPEN_MAX)
            started = time.monotonic()
            cluster.start(1)
            cluster.wait_formed(60)
            seconds = time.monotonic() - started
            if strangers:
                until('refusals are counted', lambda: re.search(
                    COUNTED, log_of(cluster, 0)))
            return seconds
        finally:
            flood.stop()


@named('door: a join among strangers')
def test_during_a_join(note):
    """The best of each, as other work of the machine only adds to it."""
    quiet = min(join_seconds(0) for _ in range(3))
    loud = min(join_seconds(1 << 30) for _ in range(3))
    if loud > quiet + JOIN_SECONDS:
        raise Problem(f'a node joins after {loud:.1f} s among strangers, '
                      f'after {quiet:.1f} s without')
    note(f'{loud:.1f} s instead of {quiet:.1f} s')
