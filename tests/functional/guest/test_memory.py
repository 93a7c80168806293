# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest's RAM is the sum of what nodes give, and follows the tables."""

import re
import subprocess
import time

import pytest

from distkvm import guests
from distkvm.accesses import record_accesses
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, CORE_BUILD, Problem
from distkvm.door.forger import INV
from naming import cases, named

TIMEOUT = 600
STEP = re.compile(r'distkvm_coh_step node \d+ page (0x[0-9a-f]+) (\w+) ')
FRAME = re.compile(r'distkvm_(send|recv) (?:to|from) \d+ type 1 sub (\d+) '
                   r'addr (0x[0-9a-f]+) ')
PAGES_PER_MIB = 256
MIB = 1 << 20
# ENGINE_CAP_SLACK
SLACK_PAGES = 256


def memory_infos(cluster):
    return [cluster.info(n)['memory'] for n in range(cluster.shape.nodes)]


@cases('name, nodes, memory, touched, options', {}, {
    'guest: RAM three times what any node may hold':
        ('capped', 4, 256, 150, ''),
    'guest: RAM three times what any node may hold, two lanes':
        ('capped-lanes', 4, 256, 150, ',lanes=2')})
def test_capped(name, nodes, memory, touched, options, note):
    """Write and verify most of RAM; no node ever holds a third of it."""
    share = memory // nodes
    shape = Shape(nodes=nodes, memory=f'{memory}M',
                  mem='/'.join([f'{share}M'] * nodes), options=options)
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*guests.kernel_args(
            f'quiet litmus.n=64 litmus.mb={touched}', 'litmus'))
        console.until('guest-litmus: contents are right', TIMEOUT)
        infos = memory_infos(cluster)
        console.drain()
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')
    most = [i['resident-pages-max'] for i in infos]
    for node, info in enumerate(infos):
        if most[node] > info['cap-pages'] + SLACK_PAGES:
            raise Problem(f'node {node} held {most[node]} pages, its cap is '
                          f"{info['cap-pages']}")
        if info['cap-pages'] * 3 > memory * PAGES_PER_MIB:
            raise Problem('the caps are too high for this test')
    if not any(i['evictions'] for i in infos):
        raise Problem('nothing was evicted')
    note(f'{memory} MiB guest; held at most, MiB: '
         f'{[m // PAGES_PER_MIB for m in most]}; evictions '
         f"{[i['evictions'] for i in infos]}; faults deferred "
         f"{[i['faults-deferred'] for i in infos]}")


def await_memory(cluster, node, fits):
    """Memory of a node, as soon as it fits."""
    end = time.monotonic() + TIMEOUT
    while not fits(info := cluster.info(node)['memory']):
        if time.monotonic() > end:
            raise Problem(f'node {node}: it stays at {info}')
        time.sleep(0.05)
    return info


@named('guest: caps change under load')
def test_resize(note):
    """Both nodes get the least caps while a guest writes and verifies its memory,
    and later none; the guest loses nothing, and waits for room not for ever.
    Each node reads what the other one wrote: node 1 cannot hold all of it."""
    shares, reserve = (152, 40), 8
    with Cluster(Shape(nodes=2, memory=f'{sum(shares)}M', vcpus='1/1',
                       mem='/'.join(f'{s}M' for s in shares),
                       options=',cap=0'),
                 BUILD / 'log' / 'resize') as cluster:
        console = cluster.boot(*guests.quick_args(
            'quiet litmus.n=64 litmus.mb=64', 'litmus'))
        console.until('guest-litmus: time is right', TIMEOUT)
        # Most that is there, wherever it is.
        before = memory_infos(cluster)
        for node in (0, 1):
            try:
                cluster.qmp(node).execute('distkvm-set-cap',
                                          cap=MIB * shares[node])
                raise Problem('a cap of the share alone was taken')
            except Problem as problem:
                if 'is less than' not in str(problem):
                    raise
            cluster.qmp(node).execute('distkvm-set-cap',
                                      cap=MIB * (shares[node] + reserve))
        try:
            console.until('guest-litmus: contents are right', TIMEOUT)
        except Problem as problem:
            raise Problem(f'{problem}: {console.text[-2000:]}') from None
        after = [await_memory(cluster, n, lambda i: not i['cap-excess-pages'])
                 for n in (0, 1)]
        for info, share in zip(after, shares):
            if info['resident-pages'] > (share + reserve) * PAGES_PER_MIB:
                raise Problem(f'it holds too much: {info}')
        if not after[1]['evictions']:
            raise Problem('nothing had to go')
        for node in (0, 1):
            cluster.qmp(node).execute('distkvm-set-cap', cap=0)
            if cluster.info(node)['memory']['cap-pages']:
                raise Problem('there is a cap yet')
        console.drain()
        if any(cluster.wait(60)):
            raise Problem('nodes did not end well')
    note('held, MiB: ' + ', '.join(
        f"{b['resident-pages'] // PAGES_PER_MIB} of "
        f"{a['resident-pages-max'] // PAGES_PER_MIB} at most, then "
        f"{a['resident-pages'] // PAGES_PER_MIB}"
        for b, a in zip(before, after)) +
        f"; evictions {[i['evictions'] for i in after]}")


def core_tool(name, *args):
    result = subprocess.run(
        [str(CORE_BUILD / 'tests' / 'sim' / name), *[str(a) for a in args]],
        capture_output=True, text=True, check=False)
    if result.returncode:
        raise Problem(result.stdout + result.stderr)
    return result.stdout.strip().splitlines()[-1]


def traced(name, args, shape, until, events):
    """Logs of the nodes of a guest that said what it should."""
    trace = [word for event in events for word in ('-trace', event)]
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*args, every=trace)
        console.until(until, TIMEOUT)
        console.drain()
        if any(cluster.wait(60)):
            raise Problem('nodes did not end well')
    return [cluster.log(n) for n in range(shape.nodes)]


def replayed(name, args, shape, until):
    """Every step of a traced run is one that the tables allow; and what the
    guest touched, simulated, breaks nothing."""
    logs = traced(name, args, shape, until,
                  ('distkvm_coh_step', 'distkvm_fault'))
    pages = int(re.match(r'\d+', shape.memory).group(0)) * PAGES_PER_MIB
    accesses = logs[0].parent / 'accesses'
    record_accesses(logs, accesses)
    recorded = ('--trace', accesses, '--pages', pages)
    return (core_tool('coh-replay', pages, *logs) + '; simulated: ' +
            core_tool('coh-sim', *recorded) + '; of lanes: ' +
            core_tool('lane-sim', *recorded))


def tiny_args():
    return ['-no-reboot', '-kernel', str(guests.tiny_guest())]


def invalidations(log):
    """How many left for each page that a node asked for, to write to it, or over
    all of it; fails if anything came in between."""
    sizes, page, n = [], None, 0
    for line in log.read_text(errors='replace').splitlines():
        found = STEP.search(line)
        if found and found.group(2) in ('GETM', 'GETO'):
            page, n = found.group(1), 0
        found = FRAME.search(line)
        if not found:
            continue
        if found.groups() == ('send', str(INV), page):
            n += 1
        elif found.groups()[:2] == ('send', str(INV)):
            raise Problem(f'{log}: an invalidation on its own: {line}')
        elif found.group(1) == 'recv':
            sizes.append(n)
            page, n = None, 0
    return sizes


@named('guest: invalidations leave together')
def test_together(note):
    """All invalidations leave before an acknowledgement is awaited: the home
    reads no frame in between, and names no page twice."""
    nodes = 5
    logs = traced('traced-inv', tiny_args(), Shape(nodes=nodes, memory='64M'),
                  'tiny: passed',
                  ('distkvm_coh_step', 'distkvm_send', 'distkvm_recv'))
    sizes = [n for log in logs for n in invalidations(log)]
    if max(sizes) < nodes - 2:
        raise Problem(f'no page had {nodes - 2} other readers')
    note(', '.join(f'{sizes.count(n)} times {n}'
                   for n in range(1, max(sizes) + 1)))


@named('guest: a traced tiny kernel follows the tables')
def test_traced_tiny(note):
    note(replayed('traced-tiny', tiny_args(), Shape(nodes=2, memory='64M'),
                  'tiny: passed'))


@pytest.mark.full
@named('guest: a traced boot of Linux follows the tables')
def test_traced_linux(note):
    note(replayed('traced-linux', guests.kernel_args('quiet', 'plain'),
                  Shape(nodes=2, memory='256M'), 'guest-plain: right on'))
