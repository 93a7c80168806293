# SPDX-License-Identifier: GPL-2.0-or-later
"""Losses that no connection shows: the control connection lives, and pages
travel no more.  Each is named within dead-after-ms and a second."""

import contextlib
import os
import re
import select
import tempfile
import time

import pytest

from distkvm import guests
from distkvm.cluster import Qmp
from distkvm.common import Problem
from distkvm.console import Console
from distkvm.door.common import (HEADLESS, NAMED, PATIENCE, log_of,
                                 qtest_cluster, start_waiting, until)
from distkvm.door.proxy import DOWN, UP, Proxy
from distkvm.ptrace import stopped, threads
from naming import cases, named

DEAD_AFTER_MS = 6000
NAMED_SECONDS = DEAD_AFTER_MS / 1000 + 1
# The promise is a second; the main loop and others share two CPUs here.
ANSWER_SECONDS = 2
OOB_SECONDS = 1
# Of a head and some, but of no page.
SMALL_BYTES = 1000
TIMEOUT = 240
# Loaded by node 0, and read by node 1.
IMAGE_AT = 1 << 20
IMAGE_BYTES = 32 << 10
# Pages of every lane that no node has touched.
ABSENT_AT = 4 << 20
ABSENT_BYTES = 4 << 20
# One, whose home is node 1.
ABSENT_THERE, PAGE = 40 << 20, 4096
DISK_MODULES = ('virtio_pci', 'virtio_blk')
LOSSES = {
    'lane': r'lane \d+ \(\w+\) has not answered for \d+ ms',
    'page': r'page 0x[0-9a-f]+ has been awaited for \d+ ms',
}


def options(transport, lanes=1):
    return (f',transport={transport},lanes={lanes},'
            f'dead-after-ms={DEAD_AFTER_MS}')


@contextlib.contextmanager
def proxied(name, lanes=1, extra=(), guest=None):
    """Two nodes, with a network between them that can be cut; of node 0's
    command line, what more it has; perhaps with a guest: its script, and
    modules."""
    shape = {'vmi': 'tcg', 'memory': '256M'} if guest else {}
    with qtest_cluster(f'loss-{name}', options=options('tls', lanes),
                       **shape) as cluster:
        if guest:
            process = cluster.start(
                0, [*HEADLESS, '-serial', 'stdio', *extra, *guests.quick_args(
                    'quiet', *guest)], stdout=-1)
            until('node 0 listens', cluster.net.socket(0).exists)
        else:
            start_waiting(cluster, extra)
        proxy = Proxy(cluster.net, 0)
        try:
            cluster.start(1)
            cluster.wait_formed(PATIENCE)
            if guest:
                Console(process, cluster=cluster).until(
                    f'guest-{guest[0]}: working', TIMEOUT)
            for node in (0, 1):
                until('the guest runs', lambda node=node: status(
                    cluster, node) == 'running')
            if len(proxy.lanes()) != lanes:
                raise Problem(f'{len(proxy.lanes())} lanes, not {lanes}')
            yield cluster, proxy
        finally:
            proxy.close()


def status(cluster, node):
    return cluster.qmp(node).execute('query-status')['status']


def check_answers(cluster, nodes=(0, 1)):
    """QMP answers in time, whatever is stuck."""
    for node in nodes:
        for command in ('query-status', 'query-distkvm'):
            started = time.monotonic()
            cluster.qmp(node).execute(command)
            took = time.monotonic() - started
            if took > ANSWER_SECONDS:
                raise Problem(f'node {node} answers {command} after '
                              f'{took:.1f} s')


def longest_answer(qmp, seconds):
    """How long a monitor took at most to answer, for so long."""
    longest = 0
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        started = time.monotonic()
        qmp.execute('query-distkvm')
        longest = max(longest, time.monotonic() - started)
        time.sleep(0.05)
    return longest


def loss_of(cluster, node):
    """What a node says of a loss, or None."""
    found = re.search(r'node \d+ \([^)]*\) is lost: .*|this node.*(?:hangs|'
                      r'expelled).*', log_of(cluster, node))
    return found and found.group(0)


def check_named(cluster, started, *wanted):
    """Both nodes say it in time, one of them with these words; the guest has
    stopped on both, and whoever listens is told."""
    said = []
    for node in (0, 1):
        while not loss_of(cluster, node):
            if time.monotonic() - started > NAMED_SECONDS:
                raise Problem(f'node {node} names no loss within '
                              f'{NAMED_SECONDS} s; {said}')
            time.sleep(0.02)
        said.append(loss_of(cluster, node))
    took = time.monotonic() - started
    for words in wanted:
        if not any(re.search(words, log_of(cluster, n)) for n in (0, 1)):
            raise Problem(f"nobody says '{words}': {said}")
    for node in (0, 1):
        until('the guest stops', lambda node=node: status(
            cluster, node) == 'internal-error', 10)
        if 'DISTKVM_NODE_LOST' not in cluster.qmp(node).events:
            raise Problem(f'node {node} sends no event: '
                          f'{cluster.qmp(node).events}')
    check_answers(cluster)
    return f'named after {took:.1f} s'


@pytest.mark.overlaps
@cases('name, ways, lanes, which, passes', {
    'door: a lane is cut, to node 0': ('up', (UP,), 1, None, 0),
    'door: a lane is cut, to node 1': ('down', (DOWN,), 1, None, 0),
    'door: a lane is cut both ways': ('both', (UP, DOWN), 1, None, 0),
    **{f'door: large frames get lost, {way}':
           (f'large-{way}', (way,), 1, None, SMALL_BYTES)
       for way in (UP, DOWN)},
    'door: one lane of three is cut': ('one', (UP,), 3, 1, 0)})
def test_cut(name, ways, lanes, which, passes, note):
    """Lanes, or one of them, are cut: all, or only what is larger."""
    note(named_after_a_cut(name, ways, lanes, which, passes))


@named('door: large frames get lost while a guest works')
def test_cut_while_busy(note):
    note(named_after_a_cut('large-busy', (DOWN,), 1, None, SMALL_BYTES,
                           ('busy',)))


def named_after_a_cut(name, ways, lanes, which, passes, guest=None):
    with proxied(name, lanes, guest=guest) as (cluster, proxy):
        # A ping of a page goes now and then, each way.
        for way in (UP, DOWN):
            until('a page went over a lane',
                  lambda way=way: proxy.largest(way) > SMALL_BYTES)
        started = time.monotonic()
        proxy.cut(range(lanes) if which is None else (which,), ways, passes)
        time.sleep(1)
        check_answers(cluster)
        wanted = LOSSES['lane'] if which is None else \
            LOSSES['lane'].replace('\\d+ \\(', f'{which} \\(')
        return check_named(cluster, started, f"{wanted}|{LOSSES['page']}")


def after_a_cut(name, command, extra=(), guest=None, **arguments):
    """A lane is cut, and node 0 gets a command: whether it waits for half of
    dead-after-ms, and what others took out of band meanwhile, and the loss."""
    with tempfile.TemporaryDirectory(prefix='distkvm-oob-') as directory, \
            proxied(name, guest=guest, extra=[
                '-qmp', f'unix:{directory}/qmp,server=on,wait=off',
                *extra]) as (cluster, proxy), \
            contextlib.closing(Qmp(f'{directory}/qmp', oob=True)) as other:
        started = time.monotonic()
        proxy.cut((0,), (UP, DOWN))
        cluster.qmp(0).send(command, **arguments)
        longest = longest_answer(other, DEAD_AFTER_MS / 2000)
        waited = not select.select([cluster.qmp(0).socket], [], [], 0)[0]
        with contextlib.suppress(Problem):
            cluster.qmp(0).answer(command)
        named_after = check_named(cluster, started, '|'.join(LOSSES.values()))
    if longest > OOB_SECONDS:
        raise Problem(f'out of band, an answer took {longest:.1f} s')
    return waited, (f'{command} {"waited" if waited else "had an answer"}, out '
                    f'of band the longest took {longest:.2f} s, {named_after}')


@pytest.mark.overlaps
@named('door: a lane is cut, and the main loop waits for a page')
def test_main_loop_waits(tmp_path, note):
    """A command that reads guest memory waits as the access of a device does,
    and with it all commands but those out of band."""
    waited, said = after_a_cut('waits', 'pmemsave', val=ABSENT_THERE, size=PAGE,
                               filename=str(tmp_path / 'memory'))
    if not waited:
        raise Problem(f'the main loop did not wait: {said}')
    note(said)


@pytest.mark.full
@named('door: a lane is cut under reads of a disk')
def test_disk_waits(tmp_path, note):
    """The rings of a disk are pages like others."""
    image = tmp_path / 'image'
    image.touch()
    # More than the guest can keep.
    os.truncate(image, 1 << 30)
    note(after_a_cut('disk', 'query-status', guest=('reads', DISK_MODULES),
                     extra=['-drive', f'file={image},format=raw,if=virtio'])[1])


def memory_of(cluster, node, name, at=IMAGE_AT, size=IMAGE_BYTES):
    """What the monitor shows, by default of the image that node 0 loaded."""
    copy = cluster.run_dir / f'memory-{name}'
    cluster.qmp(node).execute('pmemsave', val=at, size=size,
                              filename=str(copy))
    return copy.read_bytes()


@pytest.mark.overlaps
@cases('name, transport, lanes, which', {
    **{f'door: an engine hangs, {transport}':
           (f'hangs-{transport}', transport, 1, 0)
       for transport in ('shm', 'tls')},
    'door: an engine of two hangs': ('hangs-two', 'tls', 2, 1)})
def test_hangs(name, transport, lanes, which, note):
    """One engine thread of node 1 does nothing any more."""
    # Pages that the monitor reads come, and stay on the node.
    with qtest_cluster(f'loss-{name}', options=options(transport, lanes) +
                       ',dma-policy=move') as cluster:
        image = cluster.run_dir / 'image'
        image.write_bytes(os.urandom(IMAGE_BYTES))
        cluster.start(0, [*NAMED, *HEADLESS, '-device',
                          f'loader,file={image},addr={IMAGE_AT},force-raw=on'])
        cluster.start(1, NAMED)
        cluster.wait_formed(PATIENCE)
        for node in (0, 1):
            until('the guest runs', lambda node=node: status(
                cluster, node) == 'running')
        before = memory_of(cluster, 1, 'before')
        if before != image.read_bytes():
            raise Problem('node 1 does not see the image')
        engines = threads(cluster.process[1].pid, 'distkvm-engine')
        if len(engines) != lanes:
            raise Problem(f'{len(engines)} engine threads, not {lanes}')
        try:
            hold = stopped(engines[which])
            started = time.monotonic()
            with hold:
                time.sleep(1)
                check_answers(cluster)
                named_after = check_named(cluster, started)
                if 'node 1 (' not in loss_of(cluster, 0):
                    raise Problem(f'node 0 says {loss_of(cluster, 0)}')
                # Threads are numbered as they were made: by lanes.
                own = f"this node's engine thread (lane {which}) hangs"
                if own not in log_of(cluster, 1):
                    raise Problem(f'node 1 blames another: '
                                  f'{loss_of(cluster, 1)}')
                if memory_of(cluster, 1, 'after') != before:
                    raise Problem('node 1 shows other contents of its memory')
                # Its engine cannot say that they will not come.
                memory_of(cluster, 1, 'absent', ABSENT_AT, ABSENT_BYTES)
                check_answers(cluster)
                note(named_after)
        except Problem as problem:
            if 'ptrace needs' in str(problem):
                pytest.skip(str(problem))
            raise


@pytest.mark.overlaps
@named('door: a cut that is short')
def test_goes_on():
    """A cut that is shorter than dead-after-ms is survived."""
    with proxied('short') as (cluster, proxy):
        proxy.cut((0,), (UP, DOWN))
        time.sleep(DEAD_AFTER_MS / 3000)
        proxy.cut((), ())
        time.sleep(DEAD_AFTER_MS / 1000)
        for node in (0, 1):
            if loss_of(cluster, node) or cluster.info(node)['failed']:
                raise Problem(f'node {node} gave up: {loss_of(cluster, node)}')


@pytest.mark.overlaps
@named('door: one of three never starts')
def test_one_of_three():
    """The one that is missing is named, and not the one that waits for it, too."""
    with qtest_cluster('loss-third', 3, options=options('tls') +
                       ',join-timeout=5') as cluster:
        start_waiting(cluster)
        cluster.start(1)
        for node in (0, 1):
            if cluster.process[node].wait(PATIENCE) != 1:
                raise Problem(f'node {node} did not give up')
            log = log_of(cluster, node)
            end = next(line for line in log.splitlines()
                       if 'did not join within' in line)
            if 'node 2' not in end or any(words in end for words in (
                    'lanes could not', 'do not pass', 'its hello')):
                raise Problem(f'node {node} says {log}')


@pytest.mark.overlaps
@named('door: lanes that never worked')
def test_never_joins():
    """Lanes on which nothing arrives from the start: nobody says that all
    have joined, and the one that is missing is named."""
    with qtest_cluster('loss-first', options=options('tls') +
                       ',join-timeout=5') as cluster:
        start_waiting(cluster)
        proxy = Proxy(cluster.net, 0)
        try:
            proxy.cut((0,), (DOWN,), SMALL_BYTES)
            cluster.start(1)
            statuses = cluster.wait(PATIENCE)
            if statuses != [1, 1]:
                raise Problem(f'nodes ended with {statuses}')
            for node in (0, 1):
                log = log_of(cluster, node)
                if 'have joined' in log or f'node {1 - node}' not in log:
                    raise Problem(f'node {node} says {log}')
            if not any('frames do not pass its lanes' in log_of(cluster, node)
                       for node in (0, 1)):
                raise Problem(f'nobody names the step: {log_of(cluster, 0)}')
        finally:
            proxy.close()
