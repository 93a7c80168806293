# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that are killed, stopped, or cut off."""

import os
import random
import signal
import subprocess
import time

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.console import Console
from distkvm.hosts import Hosts
from .testing import Skip

TIMEOUT = 240
HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']
# The others name the lost node within this.
NAMED_WITHIN = 5.0


def busy_cluster(name, nodes=2, prefix=None, **shape):
    cluster = Cluster(Shape(nodes=nodes, memory='256M', **shape),
                      BUILD / 'log' / name, prefix)
    for node in range(1, nodes):
        cluster.start(node)
    process = cluster.start(
        0, [*HEADLESS, *guests.kernel_args('quiet', 'busy')],
        stdout=subprocess.PIPE)
    return cluster, Console(process)


def wait_named(cluster, survivor, lost, started):
    """The survivor names the lost node, stops, and answers QMP."""
    while True:
        log = cluster.log(survivor).read_text(errors='replace')
        if f'node {lost} (' in log and 'is lost' in log:
            break
        if time.monotonic() - started > NAMED_WITHIN:
            raise Problem(f'node {survivor} did not name node {lost} within '
                          f'{NAMED_WITHIN} s')
        time.sleep(0.05)
    named = time.monotonic() - started
    info = cluster.info(survivor)
    if not info['failed']:
        raise Problem(f'node {survivor} does not know that it failed')
    end = time.monotonic() + 5
    while True:
        status = cluster.qmp(survivor).execute('query-status')['status']
        if status == 'internal-error':
            return named
        if time.monotonic() > end:
            raise Problem(f'node {survivor} is {status} after the loss')
        time.sleep(0.05)


def quit_survivor(cluster, survivor):
    try:
        cluster.qmp(survivor).execute('quit')
    except OSError:
        pass
    end = time.monotonic() + 10
    while cluster.process[survivor].poll() is None:
        if time.monotonic() > end:
            raise Problem(f'node {survivor} does not end when told to')
        time.sleep(0.05)
    if cluster.process[survivor].returncode < 0:
        raise Problem(f'node {survivor} died with '
                      f'{cluster.process[survivor].returncode}')


def kill(name, victim, nodes, delay):
    """kill -9 of a node, delay seconds into its work (or its boot)."""
    cluster, console = busy_cluster(name, nodes)
    try:
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
        named = [wait_named(cluster, n, victim, started)
                 for n in range(nodes) if n != victim]
        for node in range(nodes):
            if node != victim:
                quit_survivor(cluster, node)
        return f'named after {max(named):.1f} s'
    finally:
        cluster.end()


def stop_briefly(name):
    """SIGSTOP for 2 s is survived."""
    cluster, console = busy_cluster(name)
    try:
        console.until('guest-busy: working', TIMEOUT)
        cluster.process[1].send_signal(signal.SIGSTOP)
        time.sleep(2)
        cluster.process[1].send_signal(signal.SIGCONT)
        for _ in range(3):
            console.until(r'guest-busy: \d', 60)
        for node in (0, 1):
            if cluster.info(node)['failed']:
                raise Problem(f'node {node} gave up')
    finally:
        cluster.end()


def stop_for_long(name):
    """Beyond the limit a node is expelled; awake, it stays stopped."""
    cluster, console = busy_cluster(name)
    try:
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
    finally:
        cluster.end()


def partition(name):
    """Two hosts lose their network: each names the other and stops."""
    if os.geteuid() != 0:
        raise Skip('needs root, for network namespaces')
    with Hosts() as hosts:
        cluster, console = busy_cluster(
            name, prefix=hosts.prefix, net='psk',
            addresses=[f'{a}:7700' for a in hosts.addresses])
        try:
            console.until('guest-busy: working', TIMEOUT)
            transport = cluster.info(0)['nodes'][1]['transport']
            if transport != 'tls':
                raise Problem(f'traffic is {transport}, not TLS')
            cluster.qmp(1)
            started = time.monotonic()
            hosts.cut()
            named = [wait_named(cluster, 0, 1, started),
                     wait_named(cluster, 1, 0, started)]
            for node in (0, 1):
                quit_survivor(cluster, node)
            return f'named after {max(named):.1f} s'
        finally:
            cluster.end()


def run(results, full):
    results.run('guest: kill of node 1 while working', kill, 'kill-1', 1, 2,
                1.0)
    results.run('guest: kill of node 0 while working', kill, 'kill-0', 0, 2,
                0.5)
    results.run('guest: kill of node 1 of 3 while booting', kill,
                'kill-boot', 1, 3, -1.5)
    results.run('guest: partition between two hosts', partition, 'partition')
    results.run('guest: a node stopped for 2 s', stop_briefly, 'sigstop')
    results.run('guest: a node stopped for too long', stop_for_long,
                'sigstop-long')
    if full:
        chance = random.Random(os.environ.get('DISTKVM_SEED', '1'))
        for n in range(17):
            nodes = chance.choice([2, 3])
            victim = chance.randrange(nodes)
            delay = chance.choice([-1, 1]) * chance.uniform(0.05, 6)
            results.run(f'guest: random kill {n + 1}: node {victim} of '
                        f'{nodes} at {delay:.2f} s', kill, f'kill-r{n}',
                        victim, nodes, delay)
