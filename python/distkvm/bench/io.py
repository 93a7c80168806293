# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench io: what a register of another node's device costs, and what
another node's functions add to a boot (functions.py).

A kernel of a few pages (tests/guest/tiny/io.c) accesses registers in a loop,
and times itself by its TSC, which it has compared with the HPET.  The floor is
an active message of UCX there and back, as long as a frame, spinning, plus one
wake-up of a thread.  Plain QEMU of the same build runs the same kernel.  All is
measured in each round, in turn, because machines are shared and noisy."""

import json
import re
import subprocess
from dataclasses import dataclass
from statistics import median

from .. import guests
from ..cluster import Cluster, Shape
from ..common import BUILD, QEMU, Problem, say
from ..console import Console
from ..memory import MemoryCluster
from . import functions
from .memory import SHARED_MEMORY, TCP, need_perftest, ucx_perftest

ROUNDS = 7
PATIENCE = 120
# A frame of a device access, or its answer.
FRAME_BYTES = 64
FLOOR_TIMES = 10000
WAKE_UPS = 2000
MEMORY = '64M'
# Node 1's device, and plain QEMU's.
DEVICE = ['-device', 'edu']
BEGIN = r'tiny: io begins, (\d+) ticks in 50 ms\n'
END = r'tiny: io ends\n'
LINE = re.compile(r'tiny: io cpu-(\d)-(\w+) node-(\d)-(\w+) (\d+)((?: \d+)+)\n')


@dataclass(frozen=True)
class Way:
    """How nodes reach each other, and how UCX does in comparison."""
    floor: dict
    net: str
    options: str


WAYS = {'shm': Way(SHARED_MEMORY, 'unix', ',transport=shm'),
        'tls': Way(TCP, 'psk', ',transport=tls')}
# Options of the accelerator that alternate, by the name that is shown.
SETTINGS = {'as it is': ''}


@dataclass(frozen=True)
class Access:
    """CPU and node have the same number if the device is the CPU's own."""
    cpu: int
    state: str
    node: int
    kind: str

    @property
    def is_own(self):
        return self.cpu == self.node

    @property
    def needs_peer(self):
        """Node 0 has the host bridge, and asks the owner of a function."""
        return not self.is_own or (self.kind == 'config' and self.node != 0)

    def __str__(self):
        whose = 'own' if self.is_own else f"node {self.node}'s"
        way = (' by way of node 0' if self.is_own and self.needs_peer else '')
        return (f'CPU {self.cpu}, the other one {self.state}: {self.kind}, '
                f'{whose} device{way}')


def ns_per_access(console):
    """Of each kind of access the batch in the middle."""
    tick_ns = 50e6 / int(console.until(BEGIN, PATIENCE).group(1))
    console.until(END, PATIENCE)
    found = {}
    for cpu, state, node, kind, accesses, ticks in LINE.findall(console.text):
        found[Access(int(cpu), state, int(node), kind)] = (
            median(map(int, ticks.split())) * tick_ns / int(accesses))
    if {access.node for access in found} != {0, 1}:
        raise Problem("the guest has not found both nodes' devices: "
                      f'{console.text[-300:]}')
    return found


def kernel_args():
    return ['-no-reboot', '-kernel', str(guests.tiny_guest()),
            '-append', 'io']


def spread(way, options):
    shape = Shape(nodes=2, memory=MEMORY, net=way.net,
                  options=way.options + options)
    with Cluster(shape, BUILD / 'log' / 'bench-io') as cluster:
        return ns_per_access(cluster.boot(*kernel_args(),
                                          devices={1: DEVICE}))


def plain():
    process = subprocess.Popen(
        [str(QEMU), '-machine', 'q35', '-m', MEMORY, '-smp', '2', '-accel',
         'tcg', '-nodefaults', '-display', 'none', '-serial', 'stdio',
         *DEVICE, *kernel_args()],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        return ns_per_access(Console(process))
    finally:
        process.kill()
        process.wait()


def round_trip_ns(way):
    return 2e3 * ucx_perftest('ucp_am_lat', way.floor, FRAME_BYTES,
                              FLOOR_TIMES)[1]


def wake_up_ns():
    """From one thread's post to the other's return from its wait."""
    with MemoryCluster('bench-io-floor') as cluster:
        return cluster.node[0].probe('wake', WAKE_UPS)['median']


def one_round():
    """By way: ns of each access under each setting, and what to compare; and
    boots."""
    wake_up, reference = wake_up_ns(), plain()
    found = {name: {'round-trip': round_trip_ns(way), 'wake-up': wake_up,
                    'plain': reference,
                    **{setting: spread(way, options)
                       for setting, options in SETTINGS.items()}}
             for name, way in WAYS.items()}
    return {**found, 'boots': functions.one_round()}


# ---------------------------------------------------------------- the report

def ratios(took, theirs):
    """Of each round; as text the one in the middle, and the range."""
    values = sorted(a / b for a, b in zip(took, theirs))
    return f'{median(values):.2f} ({values[0]:.2f} to {values[-1]:.2f})'


def show(setting, access, samples):
    """`samples`: of one way, a round each."""
    took = [s[setting][access] for s in samples]
    text = f'    {setting}: {median(took) / 1e3:.2f} us; '
    if access.needs_peer:
        text += 'ratio to the floor ' + ratios(
            took, [s['round-trip'] + s['wake-up'] for s in samples])
    else:
        text += 'ratio to plain QEMU ' + ratios(
            took, [s['plain'][access] for s in samples])
    print(text, flush=True)


def show_way(name, samples):
    floor = [median(s[part] for s in samples) / 1e3
             for part in ('round-trip', 'wake-up')]
    print(f'{name}: floor {floor[0]:.1f} us (there and back) + '
          f'{floor[1]:.1f} us (a wake-up), {len(samples)} rounds, the middle '
          'one')
    for access in samples[0]['plain']:
        theirs = median(s['plain'][access] for s in samples) / 1e3
        print(f'  {access}; plain QEMU {theirs:.2f} us')
        for setting in SETTINGS:
            show(setting, access, samples)


def as_json(figures):
    """Names instead of accesses."""
    return {str(key): as_json(value) if isinstance(value, dict) else value
            for key, value in figures.items()}


def main(rounds):
    need_perftest()
    say("registers of both nodes, against a round trip and a wake-up; boots "
        "with functions of node 1")
    found = []
    for number in range(1, rounds + 1):
        found.append(one_round())
        # An interrupted run leaves what it has.
        (BUILD / 'bench-io.json').write_text(
            json.dumps([as_json(each) for each in found], indent=1))
        say(f'round {number} of {rounds}')
    for name in WAYS:
        show_way(name, [each[name] for each in found])
    functions.show([each['boots'] for each in found])
    return 0
