# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster in which one member is this program, and checks of its fate."""

import contextlib
import re

from ..common import Problem
from ..wire import PAGE
from .common import (PATIENCE, listens, log_of, qtest_cluster, real_hello,
                     start_waiting, until)
from .member import Member

NODES = 3
FORGER = 2
# Seconds for steps that take no time; a machine under load takes some.
SOON = 20
# Messages of coherence, by what they say; docs/wire-format.rst.
(GETS, GETM, GETO, PUT, GETV, DONE, FWD_GETS, FWD_GETM, INV, DATA_S, DATA_M,
 ZERO, GRANT, ACK, DROP, FWD_GETV, VALUE, REFUSE) = range(7, 25)
SECOND = 1_000_000_000
# The first page of node 1's share of 64 MiB, as shares are whole stretches of
# 2 MiB, of which the first nodes have one more.
SHARE = 11 * (2 << 20) // PAGE


@contextlib.contextmanager
def cluster_with_forger(name, slots=0, early=(), cold=(), holds_end=False,
                        devices=(), extra=()):
    """Two real nodes and this program, which has joined them; `extra`: of node
    0's command line; `devices`: of node 1's."""
    with qtest_cluster(f'forged-{name}', NODES, net='insecure',
                       smp='3', options=',transport=tls') as cluster:
        hello = real_hello(cluster, FORGER)
        start_waiting(cluster, extra)
        cluster.start(1, devices)
        until('node 1 listens', lambda: listens(cluster, 1))
        member = Member(cluster.net, FORGER, hello)
        member.slots = slots
        member.early = early
        member.cold = cold
        member.holds_end = holds_end
        try:
            member.join()
            cluster.wait_formed(PATIENCE)
            yield cluster, member
        finally:
            member.close()


def lost_nodes(cluster, node):
    """Whom a node calls lost, and why."""
    return re.findall(r'node (\d+) \([^)]*\) is lost: (.*)',
                      log_of(cluster, node))


def check_expelled(cluster, node, why):
    """The node that was wronged names the forger and the deed; all name the
    forger, none names anybody else."""
    for each in (0, 1):
        found = until(f'node {each} names the forger', lambda each=each:
                      lost_nodes(cluster, each), SOON)
        if {int(lost) for lost, _ in found} != {FORGER}:
            raise Problem(f'node {each} blames {found}')
        if each == node and not re.search(why, found[0][1]):
            raise Problem(f'node {each} does not say {why}: {found}')
        if cluster.process[each].poll() is not None:
            raise Problem(f'node {each} has ended')
        cluster.info(each)
