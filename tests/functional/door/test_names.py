# SPDX-License-Identifier: GPL-2.0-or-later
"""Addresses that users write into peers=, and networks that they are for."""

import contextlib
import os
import subprocess

import pytest

from distkvm import wire
from distkvm.common import Problem, quiet
from distkvm.door.common import (HEADLESS, PATIENCE, log_of, qtest_cluster,
                                 real_hello, start_waiting, wait_said)
from distkvm.door.places import (PORT, Neighbours, check_runs,
                                 check_transport, has_firewall)
from naming import cases, named
from distkvm.network import Network, connections, free_ports, listening_ports

pytestmark = pytest.mark.overlaps


def start_all(cluster):
    for node in range(cluster.shape.nodes):
        cluster.start(node, () if node else HEADLESS)


def ends_with(cluster, node, *wanted):
    """It ends with status 1, and says this."""
    try:
        status = cluster.process[node].wait(PATIENCE)
    except subprocess.TimeoutExpired:
        raise Problem(f'node {node} does not end: '
                      f'{log_of(cluster, node)}') from None
    if status != 1:
        raise Problem(f'node {node} ended with {status}')
    wait_said(cluster, node, *wanted)


@named('door: one port typed twice')
def test_typed_twice():
    """One address for two nodes is refused at start."""
    address = f'127.0.0.1:{free_ports(1)[0]}'
    with qtest_cluster('names-twice', net='insecure',
                       addresses=[address] * 2) as cluster:
        cluster.start(0, HEADLESS)
        ends_with(cluster, 0, address)
        if len([line for line in log_of(cluster, 0).splitlines()
                if 'distkvm' in line]) != 1:
            raise Problem(f'not one line: {log_of(cluster, 0)}')


@named('door: peers in another order')
def test_other_order():
    """The last of three has the first two the other way round: it says what
    differs, and ends; the right one is let in."""
    with qtest_cluster('names-order', nodes=3, net='insecure') as cluster:
        right = cluster.net
        a, b, c = right.addresses
        start_waiting(cluster)
        cluster.start(1)
        cluster.net = Network('insecure', 3, [b, a, c])
        process = cluster.start(2)
        cluster.net.remove()
        cluster.net = right
        if process.wait(PATIENCE) != 1:
            raise Problem(f'node 2 ended with {process.returncode}')
        said = log_of(cluster, 2)
        if f'{b} is node 1, not node 0' not in said and \
                f'{a} is node 0, not node 1' not in said:
            raise Problem(f'node 2 does not say what differs: {said}')
        cluster.start(2)
        check_runs(cluster)


@named('door: a port of another cluster')
def test_other_cluster():
    """Two clusters, one port typed wrong: named, and both are refused that
    are not meant for each other."""
    with qtest_cluster('names-mine', net='insecure',
                       options=',cluster=mine') as mine:
        start_waiting(mine)
        with qtest_cluster('names-yours', net='insecure',
                           options=',cluster=yours',
                           addresses=mine.net.addresses) as yours:
            yours.start(1)
            ends_with(yours, 1, 'cluster name differs', 'mine', 'yours')
        mine.start(1)
        check_runs(mine)


@cases('transport', {
    f'door: each fact of a hello, {transport}': transport
    for transport in ('tls', 'ucx')})
def test_each_fact(transport, note):
    """A hello that differs in one fact is refused, and the fact is named: also
    the version of UCX, where it carries the pages."""
    with qtest_cluster(f'names-facts-{transport}', net='insecure',
                       options=f',transport={transport}') as cluster:
        hello = real_hello(cluster, 1)
        facts = hello['facts']
        if transport == 'ucx' and not any('UCX' in name for name in facts):
            raise Problem(f'the version of UCX is no fact: {list(facts)}')
        start_waiting(cluster)
        for name, value in facts.items():
            said = {**hello, 'facts': {**facts, name: f'{value}x'}}
            with cluster.net.connect(0) as stream:
                wire.greet(stream, 'insecure', 1)
                stream.sendall(wire.message(**said))
                answers = []
                with contextlib.suppress(Problem, OSError):
                    while True:
                        answers.append(wire.read_message(stream))
            refusals = [a for a in answers if a['type'] == 'refuse']
            if not refusals or name not in refusals[0]['why']:
                raise Problem(f"another '{name}': {answers}")
        cluster.start(1)
        check_runs(cluster)
        note(f'{len(facts)} facts')


@contextlib.contextmanager
def namespace(*commands):
    """A network namespace in which these were run; what goes before others."""
    name = f'dkn{os.getpid() % 10000}'
    quiet(['ip', 'netns', 'add', name])
    try:
        for command in ('ip link set lo up', *commands):
            quiet(['ip', 'netns', 'exec', name, *command.split()])
        yield ['ip', 'netns', 'exec', name]
    finally:
        subprocess.run(['ip', 'netns', 'del', name], check=False)


NO_IPV4 = ('ip address del 127.0.0.1/8 dev lo',)


@pytest.mark.root('a network namespace')
@named('door: no IPv4 at all')
def test_ipv6_only():
    with namespace(*NO_IPV4) as prefix, qtest_cluster(
            'names-ipv6', net='psk', options=',transport=tls',
            addresses=[f'[::1]:{PORT + n}' for n in (0, 1)],
            prefix=lambda node: prefix) as cluster:
        start_all(cluster)
        check_runs(cluster)
        check_transport(cluster, 'tls')


@pytest.mark.root('a network namespace')
@named('door: link-local addresses')
def test_link_local():
    """An address that needs the name of its interface."""
    with namespace('ip link add va type veth peer name vb',
                   'ip link set va up', 'ip link set vb up',
                   'ip -6 address add fe80::77/64 dev va nodad') as prefix, \
            qtest_cluster(
                'names-link', net='psk', options=',transport=tls',
                addresses=[f'[fe80::77%va]:{PORT + n}' for n in (0, 1)],
                prefix=lambda node: prefix) as cluster:
        start_all(cluster)
        check_runs(cluster)


@pytest.mark.root('a network namespace')
@cases('name, hosts, commands', {
    'door: names that are IPv6 first':
        ('six-first', ('::1', '127.0.0.1'), ()),
    'door: names whose IPv6 goes nowhere':
        ('six-nowhere', ('fd00::dead', '127.0.0.1'), ()),
    'door: names whose IPv4 goes nowhere':
        ('four-nowhere', ('10.99.99.99', '::1'), NO_IPV4)})
def test_several_addresses(name, hosts, commands):
    """Names that resolve to several addresses, of which not all work."""
    with namespace(*commands) as inside, qtest_cluster(
            f'names-{name}', net='psk', options=',transport=tls',
            addresses=[f'node-{n}.example:{PORT + n}' for n in (0, 1)],
            prefix=lambda node: [
                *inside, 'sh', '-c', 'mount --bind "$0" /etc/hosts && '
                'exec "$@"', str(file)]) as cluster:
        file = cluster.run_dir / 'hosts'
        file.write_text(''.join(f'{address} node-0.example node-1.example\n'
                                for address in hosts))
        start_all(cluster)
        check_runs(cluster)


@pytest.mark.root('network namespaces')
@named('door: interfaces that lead nowhere')
def test_misleading_interfaces():
    """Both hosts have docker0 with one address, and a flannel.1 that leads
    nowhere: only what peers= names is used."""
    with Neighbours() as places:
        for place in places.names:
            for name, address in (('docker0', '172.17.0.1/16'),
                                  ('flannel.1', '10.244.0.0/32')):
                inside = ['ip', '-n', place]
                quiet([*inside, 'link', 'add', name, 'type', 'veth', 'peer',
                       'name', f'p{name[:10]}'])
                quiet([*inside, 'address', 'add', address, 'dev', name])
                quiet([*inside, 'link', 'set', name, 'up'])
        with qtest_cluster(
                'names-docker', net='psk', prefix=lambda node: [
                    *places.prefix(node), 'unshare', '--ipc', '--'],
                addresses=[f'{a}:{PORT}' for a in places.addresses]) \
                as cluster:
            start_all(cluster)
            check_runs(cluster)
            check_transport(cluster, 'tls')


@cases('net', {f'door: one port for each node, {net}': net
               for net in ('psk', 'x509', 'insecure')})
def test_one_port(net):
    """A firewall need let through the ports of peers= and no others."""
    with qtest_cluster(f'names-ports-{net}', nodes=3, net=net,
                       options=',transport=tls,lanes=2') as cluster:
        start_all(cluster)
        check_runs(cluster)
        ports = {cluster.net.host_port(n)[1] for n in range(3)}
        for node, process in enumerate(cluster.process):
            if set(listening_ports(process.pid)) != {
                    cluster.net.host_port(node)[1]}:
                raise Problem(f'node {node} listens on '
                              f'{listening_ports(process.pid)}')
            ends = connections(process.pid)
            # To each of two others: a control connection and two lanes.
            if len(ends) != 6 or any(
                    ports.isdisjoint(end) for end in ends):
                raise Problem(f'node {node} has connections {ends}')


@pytest.mark.root('network namespaces')
@named('door: a firewall')
def test_firewalled():
    """The same with a firewall that says so."""
    if not has_firewall():
        pytest.skip('needs a kernel with nf_tables')
    with Neighbours() as places:
        for place in places.names:
            rules = ('add table inet door', 'add chain inet door in '
                     '{ type filter hook input priority 0; policy accept; }',
                     'add rule inet door in iif != lo tcp dport != '
                     f'{PORT} ct state new drop')
            for rule in rules:
                quiet(['ip', 'netns', 'exec', place, 'nft', rule])
        with qtest_cluster(
                'names-firewall', net='psk', prefix=lambda node: [
                    *places.prefix(node), 'unshare', '--ipc', '--'],
                addresses=[f'{a}:{PORT}' for a in places.addresses]) \
                as cluster:
            start_all(cluster)
            check_runs(cluster)
