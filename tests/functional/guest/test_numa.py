# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest knows which node of the cluster has which vCPUs and RAM."""

import re
import time

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.guests.checks import TIMEOUT
from naming import cases, named

SRAT = re.compile(r'guest-numa-srat: Node (\d+) PXM (\d+) '
                  r'\[mem (0x[0-9a-f]+)-(0x[0-9a-f]+)\]')
CPU = re.compile(r'guest-numa-srat: PXM (\d+) -> APIC 0x[0-9a-f]+ -> '
                 r'Node (\d+)')
NODE = re.compile(r'guest-numa-node: (\d+) cpus=(\S*) distance=(\S+) '
                  r'kib=(\d*)')
DISTANCE = 100
# Sixteen vCPUs and engines share the CPUs of one machine: they are slow, and
# the limit is for a guest that stands still.
SIXTEEN_SECONDS = 1500


def numa_boot(name, shape, check, machine=(), limit=TIMEOUT):
    """Show the cluster and the console of a guest that told its nodes."""
    with Cluster(shape, BUILD / 'log' / f'numa-{name}') as cluster:
        console = cluster.boot(
            *guests.quick_args('quiet loglevel=5', 'numa'), *machine)
        console.until('guest-numa: done', limit)
        return check(cluster, console.text)


def cpu_list(text):
    """Numbers of "0-1,4"."""
    numbers = []
    for part in filter(None, text.split(',')):
        first, _, last = part.partition('-')
        numbers += range(int(first), int(last or first) + 1)
    return numbers


def guest_numbers(text):
    """The node of the cluster of each of the guest's: Linux numbers proximity
    domains as they come, those with CPUs first."""
    return {**{int(node): int(pxm) for node, pxm, *_ in SRAT.findall(text)},
            **{int(node): int(pxm) for pxm, node in CPU.findall(text)}}


def split_at(ranges, others):
    """The overlaps of two lists of (first, end, node)."""
    for first, end, node in ranges:
        for other_first, other_end, other in others:
            low, high = max(first, other_first), min(end, other_end)
            if low < high:
                yield high - low, node, other


def check_memory(cluster, text):
    """All RAM that the guest puts into a NUMA node has that node as home."""
    srat = [(int(first, 16), int(last, 16) + 1, int(pxm))
            for _, pxm, first, last in SRAT.findall(text)]
    homes = [(h['address'], h['address'] + h['bytes'], h['node'])
             for h in cluster.qmp(0).execute('query-distkvm-homes')]
    for node in range(1, cluster.shape.nodes):
        others = cluster.qmp(node).execute('query-distkvm-homes')
        mine = [(h['address'], h['address'] + h['bytes'], h['node'])
                for h in others]
        if any(a != b for _, a, b in split_at(mine, homes)):
            raise Problem(f'node {node} has other homes than node 0')
    same, total = 0, sum(end - first for first, end, _ in homes)
    for size, node, home in split_at(srat, homes):
        if node != home:
            raise Problem(f'{size} bytes of NUMA node {node} are at home on '
                          f'{home}: {srat} {homes}')
        same += size
    # ROM lies over some of it: 640 KiB to 1 MiB.
    if total - same > 1 << 20:
        raise Problem(f'of {total} bytes the guest knows {same}: {srat}')
    return same


def check_cpus(cluster, text, distance=DISTANCE):
    """vCPUs and distances as the cluster has them; QMP agrees."""
    info = cluster.info(0)
    number = guest_numbers(text)
    if 'sibling' in text:
        raise Problem(f'a socket is in two NUMA nodes: {text[-3000:]}')
    told = {number[int(n)]: (cpu_list(cpus), distances.split(','))
            for n, cpus, distances, _ in NODE.findall(text)}
    place = {c['index']: c['node'] for c in info['cpus']}
    for node, (cpus, distances) in told.items():
        if cpus != sorted(c for c in place if place[c] == node):
            raise Problem(f'NUMA node {node} has vCPUs {cpus}: {place}')
        if sorted(distances) != sorted(
                ['10'] + [str(distance)] * (len(told) - 1)):
            raise Problem(f'NUMA node {node}: distances {distances}')
    for node in range(cluster.shape.nodes):
        for cpu in cluster.qmp(node).execute('query-hotpluggable-cpus'):
            index = int(cpu['qom-path'].split('[')[1].rstrip(']'))
            if cpu['props']['node-id'] != place[index]:
                raise Problem(f'QMP on node {node}: {cpu}')
        shown = cluster.qmp(node).execute('human-monitor-command',
                                          **{'command-line': 'info numa'})
        sizes = re.findall(r'node \d+ size: (\d+) MB', shown)
        homes = [str(n['home-bytes'] >> 20) for n in info['nodes']]
        if sizes != homes:
            raise Problem(f'info numa on node {node}: {shown}; {homes}')
    return told


@cases('name, shape, nodes', {
    'guest: NUMA, 2x1': ('2x1', Shape(nodes=2, memory='256M'), {0, 1}),
    'guest: NUMA, nodes without vCPUs or without RAM': (
        'odd', Shape(nodes=4, smp='3', vcpus='2/0/1/0', memory='256M',
                     mem='128M/64M/0/64M', options=',distance=60'),
        {0, 1, 2, 3}),
}, {
    'guest: NUMA, sockets of several cores': (
        'cores', Shape(nodes=2, smp='6,cores=3,threads=2', vcpus='4/2',
                       memory='256M'), {0, 1}),
    'guest: NUMA, pc, vCPUs 1/2/1, shares 128/64/64': (
        'pc', Shape(nodes=3, smp='4', vcpus='1/2/1', machine='pc',
                    memory='256M', mem='128M/64M/64M'), {0, 1, 2}),
    'guest: NUMA, RAM on both sides of 4 GiB': (
        '6G', Shape(nodes=3, memory='6G', mem='1G/4G/1G'), {0, 1, 2}),
})
def test_numa(name, shape, nodes, note):
    def check(cluster, text):
        distance = 60 if 'distance' in shape.options else DISTANCE
        told = check_cpus(cluster, text, distance)
        if set(told) != nodes:
            raise Problem(f'the guest knows {sorted(told)}')
        return check_memory(cluster, text)

    note(f'{numa_boot(name, shape, check) >> 20} MiB are at home where the '
         'guest takes them to be')


@pytest.mark.full
@named('guest: NUMA, sixteen nodes of one vCPU boot to a shell')
def test_sixteen(note):
    """A NUMA node of one CPU and some RAM for each; the time is only told."""
    started = time.monotonic()

    def check(cluster, text):
        seconds = time.monotonic() - started
        told = check_cpus(cluster, text)
        if sorted(told) != list(range(16)) or \
                any(len(cpus) != 1 for cpus, _ in told.values()):
            raise Problem(f'the guest knows {told}')
        poor = [node for node, _, _, kib in NODE.findall(text)
                if not int(kib or 0)]
        if poor:
            raise Problem(f'NUMA nodes without RAM: {poor}')
        return seconds, check_memory(cluster, text)

    seconds, same = numa_boot('sixteen', Shape(nodes=16, memory='1G'), check,
                              limit=SIXTEEN_SECONDS)
    note(f'shell after {seconds:.0f} s, 16 NUMA nodes of one CPU each; '
         f'{same >> 20} MiB are at home where the guest takes them to be')


@named("guest: homes follow -numa, whatever its backends' names")
def test_backends():
    """RAM lies as NUMA nodes are numbered, and so do homes."""
    numa = ['-object', 'memory-backend-ram,id=b,size=64M', '-object',
            'memory-backend-ram,id=a,size=64M', '-numa',
            'node,nodeid=0,cpus=0,memdev=b', '-numa',
            'node,nodeid=1,cpus=1,memdev=a']
    with Cluster(Shape(nodes=2, memory='128M'),
                 BUILD / 'log' / 'numa-backends') as cluster:
        for node in (1, 0):
            cluster.start(node, [*numa, '-display', 'none'])
        cluster.wait_formed()
        homes = cluster.qmp(0).execute('query-distkvm-homes')
    if any((h['address'] >= 64 << 20) != h['node'] for h in homes):
        raise Problem(f'homes: {homes}')


@named('guest: numa=off')
def test_numa_off():
    """As before: the guest sees one node, and the socket of -smp 2."""
    def check(cluster, text):
        if [(n, cpus) for n, cpus, *_ in NODE.findall(text)] != [('0', '0-1')]:
            raise Problem(NODE.findall(text))
        sockets = {cpu['props']['socket-id'] for cpu in cluster.qmp(0).execute(
            'query-hotpluggable-cpus')}
        if sockets != {0}:
            raise Problem(f'sockets {sockets}')

    numa_boot('off', Shape(nodes=2, memory='256M', options=',numa=off'),
              check)
