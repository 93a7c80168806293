# SPDX-License-Identifier: GPL-2.0-or-later
"""Networks that people have: a second interface that loses all, a firewall
before UCX, an address that changes under the connections."""

import time

import pytest

from distkvm.common import Problem, quiet
from distkvm.door.common import HEADLESS, PATIENCE, log_of, qtest_cluster
from distkvm.door.places import PORT, check_runs, has_firewall, transports
from distkvm.hosts import Hosts
from naming import named

pytestmark = [pytest.mark.overlaps, pytest.mark.root('network namespaces')]

DEAD_AFTER_MS = 4000
# With commands of the test itself; test_loss.py is exact.
NAMED_SECONDS = DEAD_AFTER_MS / 1000 + 2
JOIN_SECONDS = 10
UCX_PORTS = '7800-7820'


needs_firewall = pytest.mark.skipif(
    not has_firewall(), reason='needs nft, and a kernel with nf_tables')


class Places(Hosts):
    """Two hosts with two networks, on one of which peers= has its addresses;
    each may let packets in by rules of its own."""

    def __enter__(self):
        super().__enter__()
        self.others = [f'{link}o' for link in self.links]
        quiet(['ip', 'link', 'add', self.others[0], 'type', 'veth', 'peer',
               'name', self.others[1]])
        for node, name in enumerate(self.names):
            link = self.others[node]
            quiet(['ip', 'link', 'set', link, 'netns', name])
            self.ip(node, 'address', 'add', f'10.231.9.{node + 1}/24', 'dev',
                    link)
            self.ip(node, 'link', 'set', link, 'up')
        return self

    def ip(self, node, *args):
        quiet(['ip', '-n', self.names[node], *args])

    def drop(self, node, *rule):
        """What arrives at a host and fits the rule gets lost."""
        def nft(*words):
            quiet(['ip', 'netns', 'exec', self.names[node], 'nft', *words])

        nft('add', 'table', 'inet', 'door')
        nft('add', 'chain', 'inet', 'door', 'in',
            '{ type filter hook input priority 0; }')
        nft('add', 'rule', 'inet', 'door', 'in', *rule, 'drop')

    def open_only(self, ports):
        """No connection is taken at other ports of either host."""
        for node in (0, 1):
            self.drop(node, 'tcp', 'dport', '!=', ports, 'tcp', 'flags', '&',
                      '(syn|ack)', '==', 'syn')

    def drop_other(self):
        for node, link in enumerate(self.others):
            self.drop(node, 'iifname', link)


def started(places, name, transport, prefix=None):
    cluster = qtest_cluster(
        f'net-{name}', net='insecure', prefix=prefix or places.prefix,
        options=f',transport={transport},dead-after-ms={DEAD_AFTER_MS},'
                f'join-timeout={JOIN_SECONDS}',
        addresses=[f'{a}:{PORT}' for a in places.addresses])
    for node in (0, 1):
        cluster.start(node, () if node else HEADLESS)
    return cluster


def check_named(cluster, since):
    """Each node says within the time that the other is lost."""
    for node in (0, 1):
        while 'is lost' not in log_of(cluster, node):
            if time.monotonic() - since > NAMED_SECONDS:
                raise Problem(f'node {node} names no loss within '
                              f'{NAMED_SECONDS} s: {log_of(cluster, node)}')
            time.sleep(0.02)
    return f'named after {time.monotonic() - since:.1f} s'


@needs_firewall
@named('door: a second network loses all')
def test_other_drops(note):
    """UCX, too, goes where peers= says, and nowhere else."""
    with Places() as places:
        places.drop_other()
        with started(places, 'other', 'ucx') as cluster:
            check_runs(cluster)
            note(' '.join(map(str, transports(cluster))))


@needs_firewall
@named('door: the second network has the frames, and loses all')
def test_other_carries(note):
    """Control goes on; frames went by the other network, as was asked for."""
    with Places() as places:
        def prefix(node):
            return [*places.prefix(node), 'env',
                    f'UCX_NET_DEVICES={places.others[node]}']

        with started(places, 'carries', 'ucx', prefix) as cluster:
            check_runs(cluster)
            places.drop_other()
            since = time.monotonic()
            note(check_named(cluster, since))


@pytest.mark.full
@needs_firewall
@named("door: a firewall that keeps UCX's ports")
def test_ucx_kept(note):
    """The nodes do not join, and say what UCX needs."""
    with Places() as places:
        places.open_only(str(PORT))
        with started(places, 'ucx-kept', 'ucx') as cluster:
            statuses = cluster.wait(PATIENCE)
            said = [log_of(cluster, node) for node in (0, 1)]
            if statuses != [1, 1] or not any('UCX_TCP_PORT_RANGE' in text
                                             for text in said):
                raise Problem(f'{statuses}: {said}')
            note(said[0].splitlines()[-1])


@needs_firewall
@named("door: a firewall with UCX's ports open")
def test_ucx_range():
    """They are those of UCX_TCP_PORT_RANGE, as the message says."""
    with Places() as places:
        places.open_only(f'{{ {PORT}, {UCX_PORTS} }}')

        def prefix(node):
            return [*places.prefix(node), 'env',
                    f'UCX_TCP_PORT_RANGE={UCX_PORTS}']

        with started(places, 'ucx-range', 'ucx', prefix) as cluster:
            check_runs(cluster)


@named('door: an address changes under the connections')
def test_address_changes(note):
    """Nodes do not follow it: each names the other."""
    with Places() as places, started(places, 'address', 'tls') as cluster:
        check_runs(cluster)
        link, address = places.links[1], places.addresses[1]
        since = time.monotonic()
        places.ip(1, 'address', 'add', '10.231.7.3/24', 'dev', link)
        places.ip(1, 'address', 'del', f'{address}/24', 'dev', link)
        note(check_named(cluster, since))
