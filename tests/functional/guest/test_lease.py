# SPDX-License-Identifier: GPL-2.0-or-later
"""A node that was expelled in its sleep executes nothing when it wakes."""

import re
import signal
import struct
import time

from distkvm import guests
from distkvm.cluster import COMMON_CPU, Shape
from distkvm.common import Problem
from naming import cases

PATIENCE = 60
# The guest's counter is 32 bits wide.
WRAP = 1 << 32


class Counter:
    """A word of guest memory, read from outside: also from the stopped."""

    def __init__(self, cluster, node, address):
        text = cluster.qmp(node).execute('x-query-ramblock')
        base = re.search(r'pc\.ram .* (0x[0-9a-f]+) +\w+\s*$',
                         text['human-readable-text'], re.M)
        self.path = f'/proc/{cluster.process[node].pid}/mem'
        self.offset = int(base.group(1), 16) + address

    def read(self):
        with open(self.path, 'rb', buffering=0) as memory:
            memory.seek(self.offset)
            return struct.unpack('<I', memory.read(4))[0]

    def is_counting(self):
        try:
            return self.read() != 0
        except OSError:
            # The page is not there yet.
            return False


def is_stopped(process):
    with open(f'/proc/{process.pid}/stat', encoding='ascii') as stat:
        return stat.read().rpartition(')')[2].split()[0] == 'T'


def stop(process):
    process.send_signal(signal.SIGSTOP)
    while not is_stopped(process):
        time.sleep(0.01)


def start_counting(clusters, name, vmi, options=''):
    """Two nodes, the second of which does nothing but count."""
    cluster = clusters(Shape(nodes=2, memory='64M', vmi=vmi, cpu=COMMON_CPU,
                             options=options), name)
    console = cluster.boot('-no-reboot', '-kernel',
                           str(guests.tiny_guest()), '-append', 'count')
    console.until(r'tiny: counting at \d+\n', PATIENCE)
    address = int(re.search(r'at (\d+)', console.text).group(1))
    counter = Counter(cluster, 1, address)
    end = time.monotonic() + PATIENCE
    while not counter.is_counting():
        if time.monotonic() > end:
            raise Problem('node 1 does not count')
        time.sleep(0.05)
    return cluster, counter


def wait_failed(cluster, node, patience):
    end = time.monotonic() + patience
    while not cluster.info(node)['failed']:
        if time.monotonic() > end:
            raise Problem(f'node {node} does not know that it is expelled')
        time.sleep(0.02)


@cases('name, vmi', {
    f'guest: an expelled node executes nothing, {vmi}':
        (f'lease-expelled-{vmi}', vmi)
    for vmi in ('tcg', 'kvm')})
def test_expelled(clusters, name, vmi):
    cluster, counter = start_counting(clusters, name, vmi)
    cluster.qmp(0)
    stop(cluster.process[1])
    before = counter.read()
    wait_failed(cluster, 0, 10)
    cluster.process[1].send_signal(signal.SIGCONT)
    wait_failed(cluster, 1, 5)
    after = counter.read()
    if after != before:
        raise Problem(f'it counted {(after - before) % WRAP} times after '
                      'it was expelled')


@cases('name, vmi', {
    f'guest: a node that nobody answers is held back, {vmi}':
        (f'lease-silence-{vmi}', vmi)
    for vmi in ('tcg', 'kvm')})
def test_held_back(clusters, name, vmi):
    """
    The other is silent: before it can have given this node up, this one
    executes nothing; when the other answers, it goes on.
    """
    cluster, counter = start_counting(clusters, name, vmi,
                                      ',dead-after-ms=8000')
    stop(cluster.process[0])
    # Three quarters of it, and some.
    time.sleep(6.8)
    before = counter.read()
    time.sleep(0.1)
    held = counter.read() == before
    cluster.process[0].send_signal(signal.SIGCONT)
    if not held:
        raise Problem('it runs, though nobody tells it that it may')
    end = time.monotonic() + 10
    while counter.read() == before:
        if time.monotonic() > end:
            raise Problem('it does not go on')
        time.sleep(0.02)
    for node in (0, 1):
        if cluster.info(node)['failed']:
            raise Problem(f'node {node} gave up')


@cases('name, vmi', {
    f'guest: node 0 is lost while node 1 counts, {vmi}':
        (f'lease-lost-{vmi}', vmi)
    for vmi in ('tcg', 'kvm')})
def test_loses_node_0(clusters, name, vmi):
    """A vCPU meets pages that are lost: the guest stops, QEMU stays."""
    cluster, _ = start_counting(clusters, name, vmi)
    cluster.qmp(1)
    cluster.process[0].kill()
    wait_failed(cluster, 1, 5)
    end = time.monotonic() + 5
    while True:
        status = cluster.qmp(1).execute('query-status')['status']
        if status == 'internal-error':
            break
        if time.monotonic() > end:
            raise Problem(f'node 1 is {status} after the loss')
        time.sleep(0.05)
    log = cluster.log(1).read_text(errors='replace')
    if 'kvm run failed' in log:
        raise Problem('it complains of more than the loss')
    cluster.qmp(1).execute('quit')
    if cluster.process[1].wait(10):
        raise Problem('node 1 does not end well')
