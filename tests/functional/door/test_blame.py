# SPDX-License-Identifier: GPL-2.0-or-later
"""A member that says nothing wrong and still keeps the guest from going on: it
is the one that is named, and nobody else."""

import re
import time

from distkvm.common import Problem
from distkvm.door.common import (HEADLESS, PATIENCE, log_of, qtest_cluster,
                                 until)
from distkvm.door.forger import (DATA_M, DATA_S, DONE, FORGER, GETM, GETS,
                                 GRANT, SECOND, SHARE, ZERO,
                                 cluster_with_forger, lost_nodes)
from distkvm.wire import COH
from naming import named

# Seconds that a node may be ahead: dead-after-ms, by default 4 s, and 1 s.
LEAP = 5 * SECOND
# dead-after-ms, complaints about pages and their looks, and a slow machine.
NAMED_SECONDS = 20
# After so long a page's keeper is named: dead-after-ms and 1 s.
AWAITED_MS = 5000


def check_named(cluster, why):
    """Both real nodes name the forger, for that; neither names the other."""
    for node in (0, 1):
        found = until(f'node {node} names a node', lambda node=node:
                      lost_nodes(cluster, node), NAMED_SECONDS)
        if {who for who, _ in found} != {str(FORGER)}:
            raise Problem(f'node {node} names {found}')
        if why not in found[0][1]:
            raise Problem(f"node {node} does not say '{why}': {found}")


@named('door: a member that asks and never answers')
def test_no_leases():
    """It answers no ping of the control connection, but asks all the time."""
    with cluster_with_forger('no-leases') as (cluster, member):
        member.silent = True
        check_named(cluster, 'has not answered a ping')


@named('door: a member that keeps a page')
def test_keeps_a_page():
    """It takes a page for itself, and then does not give it to its home."""
    page = 5
    with cluster_with_forger('keeps-a-page') as (cluster, member):
        granted = (DATA_S, DATA_M, ZERO, GRANT)
        member.send(0, member.frame(COH, GETM, page=page))
        until('it gets the page', lambda: any(
            f.type == COH and f.sub in granted and f.body['page'] == page
            for f in member.heard))
        member.send(0, member.frame(COH, DONE, page=page))
        # A reader in node 0's main loop, which waits until the loss.
        cluster.qmp(0).send('pmemsave', val=page * 4096, size=4096,
                            filename='/dev/null')
        said = f'page 0x{page:x} has been awaited for '
        found = until(f"node 0 says '{said}'", lambda: re.search(
            rf'{said}(\d+) ms from node {FORGER},', log_of(cluster, 0)),
                      NAMED_SECONDS)
        if int(found[1]) > AWAITED_MS:
            raise Problem(f'node 0 names the keeper late: {found[0]}')
        check_named(cluster, f'page 0x{page:x} has been awaited')


@named('door: a member that is never done')
def test_keeps_done():
    """It asks for a page, gets it, and never says that it is done with it: a
    page of node 1, for which node 0 then waits."""
    page = SHARE + 5
    with cluster_with_forger('keeps-done') as (cluster, member):
        # So that node 1 has something to give.
        cluster.qmp(1).execute('pmemsave', val=page * 4096, size=4096,
                               filename='/dev/null')
        member.send(1, member.frame(COH, GETM, page=page))
        time.sleep(0.5)
        cluster.qmp(0).send('pmemsave', val=page * 4096, size=4096,
                            filename='/dev/null')
        check_named(cluster, f'page 0x{page:x} has been awaited')


@named('door: a member that pushes the clock')
def test_pushes():
    """Its clock pushes node 1 as far as can be, in legal frames; node 1 must
    not be taken for a node whose clock is absurd by node 0."""
    with cluster_with_forger('pushes') as (cluster, member):
        until('the guest runs', lambda: cluster.qmp(0).execute(
            'query-status')['status'] == 'running', PATIENCE)
        started, base = time.monotonic(), until(
            'it hears the time', lambda: member.clock)
        page = SHARE + 100
        while time.monotonic() - started < 8:
            passed = time.monotonic() - started
            # As far as node 1 may be moved, and as it regains that.
            ahead = LEAP - 2_000_000 + int(passed * 1_700_000)
            page += 1
            member.send(1, member.frame(
                COH, GETS, page=page,
                clock=base + int(passed * SECOND) + ahead))
            time.sleep(0.05)
        for node in (0, 1):
            found = lost_nodes(cluster, node)
            if {who for who, _ in found} - {str(FORGER)}:
                raise Problem(f'node {node} names {found}')


@named('door: survivors of a loss')
def test_survivors():
    """After a loss the nodes that are left do not call each other lost."""
    with qtest_cluster('survivors', 3, smp='3',
                       options=',dead-after-ms=1500') as cluster:
        for node in range(3):
            cluster.start(node, [] if node else HEADLESS)
        for node in range(3):
            until(f'node {node} has joined all', lambda node=node:
                  cluster.info(node)['formed'])
        cluster.process[2].kill()
        for node in (0, 1):
            until(f'node {node} names it', lambda node=node:
                  lost_nodes(cluster, node))
        time.sleep(4)
        for node in (0, 1):
            who = [lost for lost, _ in lost_nodes(cluster, node)]
            if who != ['2']:
                raise Problem(f'node {node} names {who}')
            states = [n['state'] for n in cluster.info(node)['nodes']]
            if states.count('lost') != 1:
                raise Problem(f'node {node}: {states}')
