# SPDX-License-Identifier: GPL-2.0-or-later
"""A node comes again: its first life is not given up yet, or counts no more."""

import contextlib
import time

import pytest

from distkvm import wire
from distkvm.common import Problem
from distkvm.door.common import (PATIENCE, log_of, proved, qtest_cluster,
                                 real_hello, start_waiting, until, wait_said)
from distkvm.door.member import Member
from naming import named

pytestmark = pytest.mark.overlaps

# A start that is due comes within this.
START_SECONDS = 1


@named('door: a node comes again')
def test_restarted():
    """It is told to come again, and is let in when the first one is given up:
    a connection whose other end has died without a word."""
    with qtest_cluster('again', 3, net='insecure', smp='3') as cluster:
        hello = real_hello(cluster, 1)
        start_waiting(cluster)
        with proved(cluster.net, 1, 0) as dead:
            dead.sendall(wire.message(**hello))
            said = wire.read_message(dead)
            if said['type'] != 'hello':
                raise Problem(f'node 0 says {said}')
            cluster.start(1)
            wait_said(cluster, 0, 'the id 1 is taken by the node at')
            cluster.start(2)
            cluster.wait_formed(PATIENCE)
        said = log_of(cluster, 1)
        if 'cannot join' in said or said.count('it tries again') != 1:
            raise Problem(said)


def wanted(cluster, node):
    """Whether node 0 has heard that the user of a node wants a start."""
    return f'node 0 from {node} want-start' in log_of(cluster, 0)


def dies_early(cluster, hello):
    """Node 2 joins node 0, wants the guest to run, and dies before node 1 has
    joined; hellos by number."""
    with contextlib.closing(Member(cluster.net, 1, hello[1], [0])) as one, \
            contextlib.closing(Member(cluster.net, 2, hello[2], [0])) as two:
        one.say_hello()
        two.join()
        until('node 2 wants a start', lambda: wanted(cluster, 2))
        two.close()
        wait_said(cluster, 0, 'node 2 left before the guest started')


@named('door: a node comes again with -S')
def test_want_start():
    """The user of the process that died wanted a start; the user of its
    successor has not said so yet."""
    with qtest_cluster('again-stopped', 3, net='insecure', smp='3',
                       options=',transport=tls') as cluster:
        hello = {node: real_hello(cluster, node) for node in (1, 2)}
        start_waiting(cluster, ['-trace', 'distkvm_control'])
        dies_early(cluster, hello)
        cluster.start(1)
        cluster.start(2, ['-S'])
        cluster.wait_formed(PATIENCE)
        until('node 1 wants a start', lambda: wanted(cluster, 1))
        time.sleep(START_SECONDS)
        for node in range(3):
            status = cluster.qmp(node).execute('query-status')['status']
            if status != 'prelaunch':
                raise Problem(f'node {node} is {status}: -S is not kept')
        cluster.qmp(2).execute('cont')
        until('the guest runs', lambda: cluster.qmp(0).execute(
            'query-status')['status'] == 'running')
