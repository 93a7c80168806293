# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench memory: what a page fault costs, against its floor.

The floor of a remote fault is a fault that a thread on the same CPU resolves
here, with the same pause before it, plus an active message of UCX there and
back, spinning.  Pages hold what differences cannot shorten.  All is measured in
one run, because machines are shared and noisy."""

import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass

from .. import build
from ..network import free_ports
from ..common import Problem, keep_to, quiet, say
from ..memory import MIB, PAGE, MemoryCluster

KINDS = ('read', 'write', 'upgrade')
ROUNDS = 5
FAULTS = 400
PAUSE_US = 100
SHARE = 64 * MIB
# Environment of UCX's own programs, for the floor.
SHARED_MEMORY = {}
TCP = {'UCX_TLS': 'tcp,self', 'UCX_NET_DEVICES': 'lo'}


@dataclass(frozen=True)
class Way:
    """How nodes reach each other, and how UCX does in comparison."""
    floor: dict
    net: str = 'unix'
    options: tuple = ()


TRANSPORTS = {'shared memory': Way(SHARED_MEMORY),
              'TCP loopback': Way(TCP, 'insecure', ('transport=tls',))}
# The requester's engine goes to its thread.  The server's spins, or sleeps.
REQUESTER = ('spin-us=0', 'affinity=1', 'bind=1')
SPINNING = ('spin-us=100000', 'affinity=0')
ASLEEP = ('spin-us=0', 'affinity=1')


# ----------------------------------------------------------------- the floor

def ucx_perftest(test, env, size=PAGE, times=20000):
    """The figures of ucx_perftest's last line, against itself."""
    port = str(free_ports(1)[0])
    env = dict(os.environ, UCX_LOG_LEVEL='error', **env)
    server = subprocess.Popen(['ucx_perftest', '-p', port], env=env,
                              stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        time.sleep(1)
        text = quiet(['ucx_perftest', '127.0.0.1', '-p', port, '-t', test,
                      '-s', str(size), '-n', str(times)], env=env)
    finally:
        server.kill()
        server.wait()
    final = re.search(r'Final:\s+(.*)', text)
    if not final:
        raise Problem(f'ucx_perftest says nothing: {text[-300:]}')
    return [float(x) for x in final.group(1).split()]


def round_trip_us(env):
    """There and back, each of a page; the median."""
    return 2 * ucx_perftest('ucp_am_lat', env)[1]


def bandwidth(env):
    """MiB a second, in messages of a page; overall."""
    return ucx_perftest('ucp_am_bw', env)[5]


# ---------------------------------------------------------------- latencies

class Busy:
    """A process on every CPU that only computes."""

    def __enter__(self):
        self.process = [
            subprocess.Popen(['taskset', '-c', str(cpu), 'sh', '-c',
                              'while :; do :; done'])
            for cpu in sorted(os.sched_getaffinity(0))]
        return self

    def __exit__(self, *_):
        for process in self.process:
            process.kill()
            process.wait()


def pin_apart(cluster):
    """Each node's thread on a CPU of its own, as far as there are."""
    cpus = sorted(os.sched_getaffinity(0))
    for n, node in enumerate(cluster.node):
        node.ask('pin', cpus[n % len(cpus)])


def pin_server(cluster):
    """And all threads of the last node: it must not spin where node 0 runs."""
    last = len(cluster.node) - 1
    keep_to(cluster.node[last].process.pid, last)


def fault_latencies(cluster, pause_us, seed):
    """Probes of node 0's faults on pages that node 1 is home and owner of."""
    a, b = cluster.node
    first = cluster.home(1, 64)

    def touch(how):
        return a.probe('touch', how, first, FAULTS, 1, pause_us)

    b.ask('noise', first, FAULTS, seed)
    probes = {'read': touch('r'), 'upgrade': touch('w')}
    b.ask('noise', first, FAULTS, seed + 1)
    probes['write'] = touch('w')
    return probes


def ratio(sample, kind):
    probes, floor, round_trip = sample
    return probes[kind]['median'] / (floor[kind] + round_trip * 1e3)


def show_latencies(what, samples):
    """Of some rounds the one in the middle, for each kind."""
    for kind in KINDS:
        samples.sort(key=lambda sample: ratio(sample, kind))
        middle = samples[len(samples) // 2]
        probes, floor, round_trip = middle
        print(f"{what}, {kind}: median {probes[kind]['median'] / 1e3:.1f} us, "
              f"99 % {probes[kind]['p99'] / 1e3:.1f} us; floor "
              f'{floor[kind] / 1e3:.1f} + {round_trip:.1f} us; ratio '
              f'{ratio(middle, kind):.2f} ({ratio(samples[0], kind):.2f} to '
              f'{ratio(samples[-1], kind):.2f})', flush=True)


def latencies():
    for name, way in TRANSPORTS.items():
        for state, server in (('server spinning', SPINNING),
                              ('server asleep', ASLEEP)):
            one_state(f'{name}, {state}', way, server)
        with Busy():
            one_state(f'{name}, all CPUs busy', way, ASLEEP)
        one_state(f'{name}, server spinning, back to back', way, SPINNING,
                  pause_us=0)


def floors(node, pause_us):
    return {kind: node.probe('floor', kind[0], 1000, pause_us)['median']
            for kind in KINDS}


def one_round(way, server, pause_us):
    round_trip = round_trip_us(way.floor)
    with MemoryCluster('bench-memory', share=SHARE, net=way.net,
                       options=('readahead=0', 'hold-us=0', *way.options),
                       each=(REQUESTER, server)) as cluster:
        pin_apart(cluster)
        pin_server(cluster)
        # The first round moves engines to their places and fills caches.
        fault_latencies(cluster, pause_us, 1)
        before = floors(cluster.node[0], pause_us)
        probes = fault_latencies(cluster, pause_us, 3)
        after = floors(cluster.node[0], pause_us)
        return (probes, {kind: min(before[kind], after[kind])
                         for kind in KINDS}, round_trip)


def one_state(title, way, server, pause_us=PAUSE_US):
    show_latencies(title, [one_round(way, server, pause_us)
                           for _ in range(ROUNDS)])


# --------------------------------------------------------------- the others

def scan(way, ahead):
    """MiB a second of node 0, which reads what node 1 has; and the wire's."""
    pages = 32 * MIB // PAGE
    wire = bandwidth(way.floor)
    with MemoryCluster('bench-memory', share=SHARE, net=way.net,
                       options=(f'readahead={ahead}', *way.options),
                       each=(REQUESTER, SPINNING)) as cluster:
        pin_apart(cluster)
        pin_server(cluster)
        a, b = cluster.node
        b.ask('noise', cluster.home(1), pages, 1)
        return a.ask('scan', cluster.home(1), pages) / MIB, wire


def sequential():
    for name, way in TRANSPORTS.items():
        for ahead in (0, 8, 64):
            rounds = sorted((scan(way, ahead) for _ in range(ROUNDS)),
                            key=lambda r: r[0] / r[1])
            ratios = [rate / wire for rate, wire in rounds]
            rate, wire = rounds[ROUNDS // 2]
            print(f'{name}, sequential read, readahead={ahead}: '
                  f'{rate:.0f} MiB/s; ucx_perftest {wire:.0f} MiB/s; ratio '
                  f'{rate / wire:.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})',
                  flush=True)


# Additions of points 7 and 8 of the design, one by one: differences instead of
# whole pages, a hold, and accesses that travel instead of pages.
TREATMENTS = (
    ('whole pages, no hold', ('delta-pages=0', 'hold-us=0'), 'touch'),
    ('differences, no hold', ('hold-us=0',), 'touch'),
    ('differences, hold of 100 us', (), 'touch'),
    ('MEM_ACCESS', (), 'access'))


def neighbours(options, how, way, work_us):
    """Increments a second of two nodes, each of a word of one page."""
    with MemoryCluster('bench-memory', net=way.net,
                       options=(*options, *way.options)) as cluster:
        pin_apart(cluster)
        for n, node in enumerate(cluster.node):
            node.send('count', how, cluster.home(0, 5) + 64 * n, 2000,
                      work_us)
        return sum(node.number() for node in cluster.node) / 2


def hand_overs(options, how, way):
    """How often a second two nodes hand a word to each other."""
    times = 2000
    with MemoryCluster('bench-memory', net=way.net,
                       options=(*options, *way.options)) as cluster:
        pin_apart(cluster)
        started = time.monotonic()
        for n, node in enumerate(cluster.node):
            node.send('turns', how, cluster.home(0, 3), n, 2, times)
        for node in cluster.node:
            node.number()
        return 2 * times / (time.monotonic() - started)


def show_treatments(title, measure):
    plain = None
    for treatment, options, how in TREATMENTS:
        rate = measure(options, how)
        plain = plain or rate
        print(f'{title}, {treatment}: {rate:.0f}/s; ratio {rate / plain:.2f}',
              flush=True)


def shared_words():
    for name, way in TRANSPORTS.items():
        for work in (0, 10, 100):
            show_treatments(
                f'{name}, neighbouring words, {work} us between',
                lambda o, h, y=way, w=work: neighbours(o, h, y, w))
        show_treatments(f'{name}, a lock handed over',
                        lambda o, h, y=way: hand_overs(o, h, y))


def need_perftest():
    if not shutil.which('ucx_perftest'):
        if os.geteuid() != 0:
            raise Problem('there is no ucx_perftest: run\n'
                          '  sudo apt-get install ucx-utils')
        build.apt_install(['ucx-utils'])


def main():
    need_perftest()
    say('faults, against a local fault and a round trip')
    latencies()
    say('sequential reading, against ucx_perftest')
    sequential()
    say('words that two nodes share')
    shared_words()
    return 0
