# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that are killed, stopped, or cut off."""

import os
import random
import signal
import subprocess
import time

import pytest

from distkvm import guests
from distkvm.cluster import Shape
from distkvm.common import Problem
from distkvm.console import Console
from distkvm.hosts import Hosts
from distkvm.loss import quit_survivor, wait_named
from naming import cases, named

TIMEOUT = 240
HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']


def busy_cluster(clusters, name, nodes=2, prefix=None, args=guests.quick_args,
                 **shape):
    cluster = clusters(Shape(nodes=nodes, memory='256M', **shape), name,
                       prefix)
    for node in range(1, nodes):
        cluster.start(node)
    process = cluster.start(
        0, [*HEADLESS, *args('quiet', 'busy')],
        stdout=subprocess.PIPE)
    return cluster, Console(process)


def random_kills():
    """Their moments are DISTKVM_SEED's."""
    chance = random.Random(os.environ.get('DISTKVM_SEED', '1'))
    for n in range(17):
        nodes = chance.choice([2, 3])
        victim = chance.randrange(nodes)
        delay = chance.choice([-1, 1]) * chance.uniform(0.05, 6)
        yield (f'guest: random kill {n + 1}: node {victim} of {nodes} at '
               f'{delay:.2f} s', (f'kill-r{n}', victim, nodes, delay))


@cases('name, victim, nodes, delay', {
    'guest: kill of node 1 while working': ('kill-1', 1, 2, 1.0),
    'guest: kill of node 0 while working': ('kill-0', 0, 2, 0.5),
    'guest: kill of node 1 of 3 while booting': ('kill-boot', 1, 3, -1.5),
}, dict(random_kills()))
def test_kill(name, victim, nodes, delay, clusters, note):
    """kill -9 of a node, delay seconds into its work (or its boot)."""
    # Its boot lets all CPUs work, if that is when it happens.
    cluster, console = busy_cluster(
        clusters, name, nodes,
        args=guests.kernel_args if delay < 0 else guests.quick_args)
    if delay >= 0:
        console.until('guest-busy: working', TIMEOUT)
        time.sleep(delay)
    else:
        # The boot: the cluster has formed, the guest is coming up.
        cluster.wait_formed()
        time.sleep(-delay)
    for node in range(nodes):
        cluster.qmp(node)
    started = time.monotonic()
    cluster.process[victim].send_signal(signal.SIGKILL)
    named_after = [wait_named(cluster, n, victim, started)
                   for n in range(nodes) if n != victim]
    for node in range(nodes):
        if node != victim:
            quit_survivor(cluster, node)
    note(f'named after {max(named_after):.1f} s')


@named('guest: a node stopped for 2 s')
def test_stop_briefly(clusters):
    """SIGSTOP for 2 s is survived."""
    cluster, console = busy_cluster(clusters, 'sigstop')
    console.until('guest-busy: working', TIMEOUT)
    cluster.process[1].send_signal(signal.SIGSTOP)
    time.sleep(2)
    cluster.process[1].send_signal(signal.SIGCONT)
    for _ in range(3):
        console.until(r'guest-busy: \d', 60)
    for node in (0, 1):
        if cluster.info(node)['failed']:
            raise Problem(f'node {node} gave up')


@named('guest: a node stopped for too long')
def test_stop_for_long(clusters):
    """Beyond the limit a node is expelled; awake, it stays stopped."""
    cluster, console = busy_cluster(clusters, 'sigstop-long')
    console.until('guest-busy: working', TIMEOUT)
    cluster.qmp(1)
    started = time.monotonic()
    cluster.process[1].send_signal(signal.SIGSTOP)
    time.sleep(4)
    # Heartbeats stop after what was under way when it was stopped.
    wait_named(cluster, 0, 1, started)
    cluster.process[1].send_signal(signal.SIGCONT)
    end = time.monotonic() + 5
    while not cluster.info(1)['failed']:
        if time.monotonic() > end:
            raise Problem('the expelled node does not know it')
        time.sleep(0.05)
    for node in (0, 1):
        quit_survivor(cluster, node)


@pytest.fixture(name='hosts')
def two_hosts():
    with Hosts() as hosts:
        yield hosts


@pytest.mark.root('network namespaces')
@named('guest: partition between two hosts')
def test_partition(hosts, clusters, note):
    """Two hosts lose their network: each names the other and stops."""
    cluster, console = busy_cluster(
        clusters, 'partition', prefix=hosts.prefix, net='psk',
        addresses=[f'{a}:7700' for a in hosts.addresses])
    console.until('guest-busy: working', TIMEOUT)
    transport = cluster.info(0)['nodes'][1]['transport']
    if transport != 'tls':
        raise Problem(f'traffic is {transport}, not TLS')
    cluster.qmp(1)
    started = time.monotonic()
    hosts.cut()
    named_after = [wait_named(cluster, 0, 1, started),
                   wait_named(cluster, 1, 0, started)]
    for node in (0, 1):
        quit_survivor(cluster, node)
    note(f'named after {max(named_after):.1f} s')
