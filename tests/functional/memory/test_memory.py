# SPDX-License-Identifier: GPL-2.0-or-later
"""Coherent memory without a machine: the seed's calls, from a program that
is not QEMU and includes one header."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from distkvm.common import BUILD, QEMU_BUILD, Problem
from distkvm.memory import MIB, PAGE, MemoryCluster
from naming import named

OPTIONS = ('hold-us=100',)


@pytest.fixture(autouse=True)
def lanes(request, monkeypatch):
    """Further options of all clusters of a test."""
    if hasattr(request, 'param'):
        monkeypatch.setattr(MemoryCluster, 'every', request.param)


def on_lanes(name):
    """A test that runs again with several engine threads, which divide the
    pages."""
    return pytest.mark.parametrize(
        'lanes', [(), ('lanes=3',)], indirect=True,
        ids=[f'memory: {name}', f'memory: several lanes: {name}'])


def expect(what, got, wanted):
    if got != wanted:
        raise Problem(f'{what}: {got:#x} instead of {wanted:#x}')


def refused(node, *words):
    """The reason that a command is refused for."""
    node.send(*words)
    line = node.answer()
    if not line.startswith('error '):
        raise Problem(f"{' '.join(str(w) for w in words)}: {line}")
    return line


@on_lanes('words and pages')
def test_words_and_pages():
    """Every size, from the node that is home and from another."""
    with MemoryCluster('memory-words') as c:
        a, b = c.node
        for home in (0, 1):
            for size in (1, 2, 4, 8):
                value = 0x8899aabbccddeeff & ((1 << 8 * size) - 1)
                addr = c.home(home, size)
                a.ask('store', addr, size, value)
                expect('load', b.ask('load', addr, size), value)
                b.ask('put', addr + 64, size, value)
                expect('get', a.ask('get', addr + 64, size), value)
            # An access over the boundary of a word is none.
            a.ask('put', c.home(home) + 5, 3, 0x030201)
            expect('get', b.ask('get', c.home(home) + 5, 3), 0x030201)
        page = c.home(1, 9)
        a.ask('fill', page, 3)
        expect('sum', b.ask('sum', page), 3 * PAGE)
        if any(c.leave()):
            raise Problem('nodes did not end well')


@on_lanes('operations leave pages where they are')
def test_page_stays():
    """An operation moves no page; where nobody owns it, it moves one."""
    with MemoryCluster('memory-stays', nodes=3) as c:
        a, b, other = c.node
        addr = c.home(2, 1)
        a.ask('store', addr, 8, 5)
        expect('old', b.ask('rmw', 'increment', addr, 8, 0, 0, 10), 14)
        expect('valid', a.ask('valid', addr, 'w'), 1)
        expect('valid', b.ask('valid', addr, 'r'), 0)
        # The home itself, and the owner.
        expect('old', other.ask('rmw', 'increment', addr, 8, 0, 0, 1), 15)
        expect('old', a.ask('rmw', 'decrement', addr, 8, 0, 0, 1), 16)
        expect('load', b.ask('load', addr, 8), 15)
        # Now two have it: none is its owner.
        expect('valid', a.ask('valid', addr, 'w'), 0)
        expect('old', other.ask('rmw', 'exchange', addr, 8, 7, 0, 1), 15)
        expect('valid', other.ask('valid', addr, 'w'), 1)
        expect('load', a.ask('load', addr, 8), 7)


@named('memory: every operation')
def test_operations():
    """Each operation, each size, done elsewhere."""
    with MemoryCluster('memory-operations') as c:
        a, b = c.node
        for size in (1, 2, 4, 8):
            mask = (1 << 8 * size) - 1
            addr = c.home(0, size) + 8 * size
            a.ask('store', addr, size, mask)
            a.ask('store', addr + size, size, 0x11)
            expect('old', b.ask('rmw', 'increment', addr, size, 0, 0, 1), mask)
            expect('old', b.ask('rmw', 'decrement', addr, size, 0, 0, 1), 0)
            expect('old', b.ask('rmw', 'exchange', addr, size, 3, 0, 1), mask)
            expect('old', b.ask('rmw', 'test-and-set', addr, size, 0, 0, 1),
                   3)
            expect('old', b.ask('rmw', 'compare-swap', addr, size, 9, 5, 1),
                   1)
            expect('old', b.ask('rmw', 'compare-swap', addr, size, 9, 1, 1),
                   1)
            expect('load', a.ask('load', addr, size), 9)
            expect('its neighbour', a.ask('load', addr + size, size), 0x11)


def together(cluster, *words):
    """The same command on all nodes at once."""
    for node in cluster.node:
        node.send(*words)
    return [node.number(words) for node in cluster.node]


@on_lanes('nothing is lost')
def test_nothing_is_lost():
    """Three nodes count in the same words, by operations and under a lock."""
    count = 2000
    with MemoryCluster('memory-counts', nodes=3, options=OPTIONS) as c:
        addr = c.home(1, 3)
        together(c, 'rmw', 'increment', addr, 4, 0, 0, count)
        expect('counter', c.node[0].ask('load', addr, 4), 3 * count)
        # While another node takes the page away, by writing beside it.
        for node in c.node[:2]:
            node.send('rmw', 'increment', addr + 8, 8, 0, 0, count)
        for n in range(200):
            c.node[2].ask('store', addr + 64, 8, n)
        for node in c.node[:2]:
            node.number()
        expect('counter', c.node[2].ask('load', addr + 8, 8), 2 * count)
        together(c, 'locked', c.home(2, 4), c.home(0, 4), count // 4)
        expect('counter', c.node[1].ask('load', c.home(0, 4), 8),
               3 * (count // 4))


@on_lanes('neighbours in one page')
def test_neighbours():
    """Words of one page, counted by touching and by MEM_ACCESS at once."""
    with MemoryCluster('memory-neighbours', nodes=3, options=OPTIONS) as c:
        page = c.home(0, 8)
        for how in ('touch', 'access'):
            for n, node in enumerate(c.node):
                node.ask('store', page + 64 * n, 8, 0)
            for n, node in enumerate(c.node):
                node.send('count', how, page + 64 * n, 300, 0)
            counts = [node.number() for node in c.node]
            for n in range(3):
                expect(how, c.node[0].ask('load', page + 64 * n, 8),
                       counts[n])


@named('memory: turns')
def test_turns():
    """Three nodes hand a word around, by touching and by MEM_ACCESS."""
    times = 200
    with MemoryCluster('memory-turns', nodes=3, options=OPTIONS) as c:
        for page, how in enumerate(('touch', 'access')):
            addr = c.home(1, page)
            for n, node in enumerate(c.node):
                node.send('turns', how, addr, n, 3, times)
            for node in c.node:
                node.number()
            expect(how, c.node[0].ask('load', addr, 8), 3 * times)


@on_lanes('ranges')
def test_ranges():
    """A range of two homes' pages, asked for at once."""
    with MemoryCluster('memory-ranges', options=('readahead=0',)) as c:
        a, b = c.node
        first = c.home(1) - 100 * PAGE
        for page in range(0, 200, 7):
            b.ask('fill', first + page * PAGE, page % 251)
        for rw in 'rw':
            a.ask('range', first + 5, 200 * PAGE - 10, rw)
            for page in range(200):
                expect(f'valid {rw}', a.ask('valid', first + page * PAGE, rw),
                       1)
        expect('valid', a.ask('valid', first + 200 * PAGE, 'r'), 0)
        for page in range(0, 200, 7):
            expect('sum', b.ask('sum', first + page * PAGE),
                   page % 251 * PAGE)
        if 'Invalid' not in refused(a, 'range', first, 2 * c.share, 'r'):
            raise Problem('a range beyond the end was taken')


@on_lanes('runs, read while they are written')
def test_runs():
    """Two nodes read runs of pages while their owner writes on, and another
    counts in one of them by operations."""
    pages, count = 48, 3000
    with MemoryCluster('memory-runs', nodes=4,
                       options=('readahead=64', *OPTIONS)) as c:
        for home in (0, 1):
            # Over the end of what the lanes divide memory into.
            first = c.home(home, 16)
            word = first + 20 * PAGE + 64
            c.node[0].send('stamp', first, pages, 1500)
            for node in c.node[1:3]:
                node.send('watch', first, pages, 1500)
            c.node[3].send('rmw', 'increment', word, 8, 0, 0, count)
            written, *wrong = [node.number() for node in c.node[:3]]
            c.node[3].number()
            expect('counter', c.node[1].ask('load', word, 8), count)
            # Once would be no writing on; more depends on the machine.
            if any(wrong) or written < 2:
                raise Problem(f'{written} rounds of writing; {wrong} wrong')
            for page in range(pages):
                expect('last word', c.node[2].ask(
                    'load', first + (page + 1) * PAGE - 8, 8), written)


@named('memory: wishes upon arrival')
def test_wish_upon_arrival():
    """A page that was asked for along is wished for before it comes."""
    slow = ('hold-us=30000', 'readahead=0', 'affinity=0')
    along = ('readahead=8', 'affinity=0')
    page = 4 * PAGE
    with MemoryCluster('memory-arrival', each=(slow, along)) as c:
        a, b = c.node
        for i in range(4):
            a.ask('store', i * PAGE, 8, 1)
        time.sleep(0.5)
        # The store has ended before b reads: until then 0 is right, too.
        a.ask('store', page, 8, 7)
        b.send('touch', 'r', 0, 4, 1, 0)
        b.send('get', page, 8)
        b.answer()
        expect('get', b.number(), 7)
        time.sleep(0.5)
        expect('get', b.ask('get', page, 8), 7)
        expect('get', b.ask('get', c.home(1), 8), 0)


@named('memory: versions name contents')
def test_versions():
    """A page is wished for writing while it comes to be read: what others
    get later is what was written, not what went by the same version."""
    each = (('affinity=0',), ('hold-us=30000', 'readahead=0', 'affinity=0'),
            ('readahead=8', 'affinity=0'), ('affinity=0', 'readahead=0'))
    page = 4 * PAGE
    for _ in range(3):
        with MemoryCluster('memory-versions', nodes=4, each=each) as c:
            _, b, a, d = c.node
            for i in range(4):
                b.ask('store', i * PAGE, 8, 1)
            b.ask('store', page + 512, 8, 9)
            b.ask('store', page, 8, 1)
            time.sleep(0.3)
            a.ask('vld', page, 'r')
            d.ask('vld', page, 'r')
            time.sleep(0.3)
            b.ask('store', page, 8, 2)
            a.probe('touch', 'r', 0, 4, 1, 0)
            a.send('store', page, 8, 1)
            time.sleep(0.004)
            d.send('vld', page, 'r')
            a.number()
            d.number()
            time.sleep(0.3)
            for node in (a, b, d):
                expect('load', node.ask('load', page, 8), 1)


@named('memory: ends')
def test_ends():
    """Many nodes leave at once, in good order: nobody calls it a loss."""
    for _ in range(3):
        with MemoryCluster('memory-ends', nodes=6, share=MIB) as c:
            together(c, 'rmw', 'increment', c.home(3), 8, 0, 0, 20)
            if any(c.leave()):
                raise Problem('nodes did not end well')
        for n, node in enumerate(c.node):
            with open(node.log.name, encoding='utf-8') as log:
                if 'lost' in log.read():
                    raise Problem(f'node {n} calls an end a loss')


@named('memory: pages become valid and invalid')
def test_validity():
    """INV_PAGE and VLD_PAGE do what they say; a home keeps its last copy."""
    with MemoryCluster('memory-validity') as c:
        a, b = c.node
        addr = c.home(1, 2)
        expect('valid at first', b.ask('valid', addr, 'r'), 0)
        a.ask('store', addr, 8, 77)
        b.ask('vld', addr, 'r')
        expect('valid', b.ask('valid', addr, 'r'), 1)
        expect('valid', b.ask('valid', addr, 'w'), 0)
        a.ask('inv', addr, 'r')
        expect('valid', a.ask('valid', addr, 'r'), 0)
        a.ask('vld', addr, 'w')
        expect('valid', b.ask('valid', addr, 'r'), 0)
        a.ask('inv', addr, 'w')
        expect('valid', a.ask('valid', addr, 'r'), 1)
        expect('valid', a.ask('valid', addr, 'w'), 0)
        a.ask('inv', addr, 'r')
        expect('kept', b.ask('load', addr, 8), 77)
        if 'busy' not in refused(b, 'inv', addr, 'r'):
            raise Problem('a home gave up the only copy')


@named('memory: wrong calls')
def test_nonsense():
    """Wrong calls are refused, by name, and harm nothing."""
    with MemoryCluster('memory-nonsense') as c:
        a, b = c.node
        end = 2 * c.share
        for words in (('load', end, 8), ('load', end - 4, 8),
                      ('load', 4, 8), ('load', 0, 3), ('load', 0, 16),
                      ('get', PAGE - 2, 4), ('rmw', 'increment', 4, 8, 0, 0, 1),
                      ('rmw', 'none', 0, 8, 0, 0, 1), ('vld', end, 'r'),
                      ('inv', end, 'r'), ('valid', end, 'r')):
            if 'Invalid argument' not in refused(a, *words):
                raise Problem(f'{words}: refused for another reason')
        a.ask('store', 0, 8, 1)
        expect('load', b.ask('load', 0, 8), 1)


@on_lanes('a node dies')
def test_loss(note):
    """A node dies: calls of the others fail within seconds, none hangs."""
    with MemoryCluster('memory-loss', nodes=3) as c:
        a, b, dead = c.node
        addr = c.home(2, 1)
        dead.ask('store', addr, 8, 1)
        a.ask('store', 0, 8, 4)
        dead.process.kill()
        started = time.monotonic()
        for words in (('rmw', 'increment', addr, 8, 0, 0, 1),
                      ('load', addr, 8), ('inv', 8, 'r')):
            if 'Input/output error' not in refused(b, *words):
                raise Problem(f'{words}: refused for another reason')
        took = time.monotonic() - started
        if took > 10:
            raise Problem(f'it took {took:.0f} s')
        # The log has a thread of its own, which nobody waits for.
        while True:
            log = Path(b.log.name).read_text()
            if 'node 2 (' in log and 'lost' in log:
                break
            if time.monotonic() - started > 10:
                raise Problem(f'it does not name the lost node: {log}')
            time.sleep(0.01)
        # A page that is here is still here.
        expect('load', a.ask('load', 0, 8), 4)
        note(f'{took:.1f} s')


@named('memory: sizes that cannot be')
def test_cap_of_sizes():
    """Sizes that cannot be are refused before anybody joins."""
    with MemoryCluster('memory-sizes', share=MIB) as c:
        expect('zero', c.node[1].ask('sum', c.home(0)), 0)
    try:
        with MemoryCluster('memory-sizes', share=1000):
            raise Problem('half pages were taken')
    except Problem as problem:
        if 'has ended' not in str(problem):
            raise


@named('memory: shares are rounded')
def test_rounded_shares():
    """Shares of memory end where a stretch of 2 MiB does; the last is short.
    A home keeps the only copy: the node that may not give it up is the home."""
    with MemoryCluster('memory-rounded', nodes=3, share=3 * MIB,
                       options=('mem=5M/1M/3M', 'readahead=0')) as c:
        for addr, home in ((6 * MIB - PAGE, 0), (6 * MIB, 2),
                           (9 * MIB - PAGE, 2)):
            for n, node in enumerate(c.node):
                node.ask('store', addr, 8, n)
                if n == home:
                    if 'busy' not in refused(node, 'inv', addr, 'r'):
                        raise Problem(f'node {n} is not home of {addr}')
                else:
                    node.ask('inv', addr, 'r')


@named('memory: waits that end for no reason')
def test_spurious():
    """Futexes that wake for no reason end no wait too early."""
    target = 'tests/qtest/distkvm/distkvm-spurious.so'
    for options in (OPTIONS, ('lanes=2',)):
        with MemoryCluster('memory-spurious', nodes=3, options=options,
                           env={'LD_PRELOAD': QEMU_BUILD / target}) as c:
            together(c, 'rmw', 'increment', c.home(1), 8, 0, 0, 500)
            expect('counter', c.node[0].ask('load', c.home(1), 8), 1500)
            together(c, 'range', c.home(0), 3 * c.share, 'r')


def calls_of(nodes, env=None, **options):
    """Do what `nodes` does with a cluster; each node's system calls."""
    target = 'tests/qtest/distkvm/distkvm-count.so'
    name = 'memory-calls'
    env = dict(env or {}, LD_PRELOAD=str(QEMU_BUILD / target))
    with MemoryCluster(name, env=env, **options) as c:
        nodes(c)
        if any(c.leave()):
            raise Problem('nodes did not end well')
    counts = []
    for n in range(len(c.node)):
        log = (BUILD / 'log' / name / f'node-{n}.log').read_text()
        words = re.search(r'system calls: (.*)', log).group(1).split()
        counts.append({k: int(v) for k, v in zip(words[::2], words[1::2])})
    return counts


@named('memory: pages are freed together')
def test_few_frees():
    """Pages that others write leave memory together; some cannot be moved."""
    pages, rounds = 200, 3
    kernel = tuple(int(n) for n in re.findall(r'\d+', os.uname().release)[:2])

    def to_and_fro(c):
        for i in range(rounds):
            for node in c.node:
                first = c.home(1, 5)
                seed = node.ask('noise', first, pages, i + 1)
                expect('sum', c.node[0].ask('sum', first), c.node[1].ask(
                    'sum', first))
                expect('last', c.node[0].ask(
                    'load', first + pages * PAGE - 8, 8), seed)

    for calls in calls_of(to_and_fro):
        if kernel < (6, 16):
            # It does not move pages well: the other half of the code runs.
            break
        if not calls['moves'] or calls['frees'] * 8 > calls['moves']:
            raise Problem(f'pages were freed one by one: {calls}')
    for calls in calls_of(to_and_fro, {'DISTKVM_PINNED': '1'}):
        if calls['moves'] and calls['frees'] < calls['refused']:
            raise Problem(f'pages that cannot be moved stayed: {calls}')


@named('memory: pages that come along wake nobody')
def test_few_wakes():
    """Pages that come along wake nobody."""
    pages = 1024
    calls = calls_of(lambda c: c.node[0].probe('touch', 'w', c.home(0), pages,
                                               1, 0))
    if calls[0]['wakes'] * 4 > pages:
        raise Problem(f'{pages} pages were touched in order: {calls[0]}')


@named('memory: pages that were missed together come together')
def test_companions(note):
    """Two nodes write the same scattered pages in turns, as when tasks wake
    each other: some pages have come when a node touches them, so that no thread
    waits for them and is woken.  How many depends on the host."""
    pages, rounds, wakes = 12, 60, {}

    def write(c):
        first = c.home(0, 8)
        for _ in range(rounds):
            for node in c.node:
                node.probe('touch', 'w', first, pages, 3, 0)

    for on in (0, 1):
        wakes[on] = sum(node['wakes'] for node in calls_of(
            write, options=('readahead=0', f'companions={on}')))
    if wakes[1] > 0.95 * wakes[0]:
        raise Problem(f'wake-ups without and with companions: {wakes}')
    note(f'{wakes[1]} wake-ups, and {wakes[0]} without companions')


@named('memory: who waits is woken near its engine')
def test_kept_near():
    """Who waits is woken where its engine is, and may run anywhere after."""
    pages = 400
    mine = os.sched_getaffinity(0)

    def read(c):
        c.node[0].probe('touch', 'r', c.home(1), pages, 1, 100)
        time.sleep(0.2)
        tasks = Path(f'/proc/{c.node[0].process.pid}/task').iterdir()
        few = sum(os.sched_getaffinity(int(task.name)) != mine
                  for task in tasks)
        if few > 1:
            raise Problem(f'{few} threads may not use all CPUs, not only the '
                          'engine')

    several = len(mine) > 1
    for options in (('affinity=1', 'bind=1'), ('affinity=0', 'bind=1'),
                    ('affinity=1',)):
        calls = calls_of(read, options=(*options, 'readahead=0'))
        if (calls[0]['keeps'] > 0) != (several and len(set(options) & {
                'affinity=1', 'bind=1'}) == 2):
            raise Problem(f'{options}: {calls[0]}')


@named('memory: what is said together goes together')
def test_few_messages():
    """A home that has a copy itself tells who wants to write all at once."""
    pages = 400

    def upgrade(c):
        first = c.home(1)
        for node in c.node[::-1]:
            node.probe('touch', 'r', first, pages, 1, 0)
        c.node[0].probe('touch', 'w', first, pages, 1, 0)

    # Reading costs one for each page too, at most.
    calls = calls_of(upgrade, net='insecure', options=(
        'hold-us=0', 'readahead=0', 'transport=tls'))
    # Fewer than one for each page were not counted.
    if not pages <= calls[1]['sends'] <= 2.5 * pages:
        raise Problem(f'{pages} pages were read, then written: {calls[1]}')


@named('memory: several lanes, of which nodes have different numbers')
def test_different_lanes():
    try:
        with MemoryCluster('memory-lanes', each=(
                ('lanes=2', 'join-timeout=8'), ('join-timeout=8',))):
            raise Problem('nodes with different lanes joined')
    except Problem as problem:
        if 'did not join' not in str(problem) and \
                'has ended' not in str(problem):
            raise
    log = (BUILD / 'log' / 'memory-lanes' / 'node-1.log').read_text()
    if 'lanes' not in log:
        raise Problem(f'it does not name the difference: {log}')


@named('memory: fuzzing of hellos')
def test_fuzz_hello(full, note):
    result = subprocess.run(
        [str(QEMU_BUILD / 'tests/qtest/distkvm/fuzz-hello'),
         '300' if full else '10'], capture_output=True, text=True,
        check=False)
    if result.returncode:
        raise Problem(result.stdout + result.stderr[-800:])
    note(result.stdout.splitlines()[-1])
