# SPDX-License-Identifier: GPL-2.0-or-later
"""Where nodes of one host may be: containers with namespaces of their own,
and little shared memory.  All works, over what works there."""

import contextlib
import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from distkvm.common import Problem, quiet
from distkvm.door.common import (HEADLESS, PATIENCE, formed, log_of,
                                 qtest_cluster, wait_said)
from distkvm.door.places import (PORT, Neighbours, check_runs,
                                 check_transport, transports)
from distkvm.hosts import Hosts
from distkvm.memory import PAGE, MemoryCluster
from distkvm.network import listening_ends
from naming import cases, named

pytestmark = pytest.mark.overlaps

# Of System V segments, in a namespace of the test.
SHMMNI = '/proc/sys/kernel/shmmni'
# The reason why memory is not shared goes on after these.
STREAMS = 'frames travel over streams, not shared memory: '
NO_SHM = 'transport=shm cannot work: '


@contextlib.contextmanager
def apart(name, net, options=''):
    """Two nodes, started, in network namespaces of their own; the rest is
    shared."""
    with Neighbours() as places, qtest_cluster(
            name, net=net, prefix=places.prefix, options=options,
            addresses=None if net == 'unix' else [
                f'{a}:{PORT}' for a in places.addresses]) as cluster:
        for node in (0, 1):
            cluster.start(node, () if node else HEADLESS)
        yield cluster


@pytest.mark.root('network namespaces')
@cases('name, net, wanted', {
    f'door: network namespaces apart, {net}':
        (f'place-apart-{net}', net, wanted)
    for net, wanted in (('psk', 'tls'), ('insecure', 'stream'),
                        ('unix', 'stream'))})
def test_apart(name, net, wanted):
    """Network namespaces apart, and all else shared: both say why memory is
    not."""
    with apart(name, net) as cluster:
        check_runs(cluster)
        check_transport(cluster, wanted)
        for node in (0, 1):
            why = 'peers need not prove themselves (insecure=on)' \
                if net == 'insecure' else \
                f'node {1 - node} runs in another place (network namespace)'
            wait_said(cluster, node, f'node {node}: {STREAMS}{why}')


@pytest.mark.root('network namespaces')
@named('door: network namespaces apart, transport=shm')
def test_apart_shm():
    """Asked for, it is all or nothing: both end, and say what else to use."""
    with apart('place-apart-shm', 'psk', ',transport=shm') as cluster:
        status = cluster.wait(PATIENCE)
        if status != [1, 1]:
            raise Problem(f'nodes ended with {status}')
        for node in (0, 1):
            wait_said(cluster, node, f'{NO_SHM}node {1 - node} runs in '
                      'another place (network namespace); use transport=tls')


@pytest.mark.root('network namespaces')
@named('door: network namespaces apart, transport=ucx')
def test_apart_ucx():
    """UCX would share memory, and wake no sleeper in it: it does not."""
    with apart('place-apart-ucx', 'psk', ',transport=ucx') as cluster:
        check_runs(cluster)
        check_transport(cluster, 'tcp')
        for node in (0, 1):
            wait_said(cluster, node, f'node {node}: UCX shares no memory: node '
                      f'{1 - node} runs in another place (network namespace)')


@cases('name, net, wanted, options', {
    'door: one place, shared memory': ('place-shm', 'unix', 'shm', ''),
    'door: one place, shared memory, over TCP':
        ('place-shm-psk', 'psk', 'shm', ''),
    **{f'door: one place, transport=tls, {net}':
           (f'place-tls-{net}', net, wanted, ',transport=tls')
       for net, wanted in (('psk', 'tls'), ('x509', 'tls'),
                           ('unix', 'stream'), ('insecure', 'stream'))}})
def test_together(name, net, wanted, options):
    """One place: query-distkvm names what is in use there."""
    with formed(name, net=net, options=options) as cluster:
        check_runs(cluster)
        check_transport(cluster, wanted)


@contextlib.contextmanager
def namespace(kind, link, command):
    """A namespace in which the command was executed: what goes before commands
    of others there."""
    with subprocess.Popen(
            ['unshare', f'--{kind}', 'sh', '-c',
             f'{command} && echo up && exec sleep 600'],
            stdout=subprocess.PIPE, text=True) as holder:
        try:
            if holder.stdout.readline() != 'up\n':
                raise Problem(f'this could not be done: {command}')
            yield ['nsenter', f'--{kind}=/proc/{holder.pid}/ns/{link}', '--']
        finally:
            holder.kill()


def shared_memory(mebibytes):
    """A place whose /dev/shm has this size."""
    return namespace('mount', 'mnt', f'mount -t tmpfs -o size={mebibytes}m '
                     'shm /dev/shm')


def no_segments():
    """A place where nobody gets a System V segment."""
    return namespace('ipc', 'ipc', f'echo 0 >{SHMMNI}')


def of_sizes(counts):
    return {f'door: /dev/shm of {mebibytes} MiB, {nodes} nodes':
            (mebibytes, nodes) for mebibytes in (1, 8, 64)
            for nodes in counts}


@pytest.mark.root('a /dev/shm of its own')
@cases('mebibytes, nodes', of_sizes((2, 8)), of_sizes(range(3, 8)))
def test_small(mebibytes, nodes):
    """All touch all of the memory, whatever /dev/shm holds; or one line says
    what is missing.  Nobody dies of a signal, nobody is silent."""
    pages = 64
    with shared_memory(mebibytes) as prefix, MemoryCluster(
            f'door-shm-{mebibytes}-{nodes}', nodes=nodes, share=1 << 20,
            options=('lanes=2', 'transport=auto'), prefix=prefix) as cluster:
        for n, node in enumerate(cluster.node):
            node.ask('noise', cluster.home((n + 1) % nodes), pages, n + 1)
        for n, node in enumerate(cluster.node):
            at = cluster.home((n + 2) % nodes)
            sums = {each.ask('sum', at + PAGE) for each in cluster.node}
            if len(sums) != 1:
                raise Problem(f'nodes disagree: {sums}')
            node.ask('rmw', 'increment', at, 8, 0, 0, 10)
        if any(cluster.leave()):
            raise Problem('nodes did not end well')


@pytest.mark.root('an IPC namespace of its own')
@named('door: no System V segments')
def test_no_segments():
    """Where there are no segments nodes use what works, and say why; asked for
    shared memory, a node does not start."""
    with no_segments() as prefix:
        with qtest_cluster('no-segments',
                           prefix=lambda node: prefix) as cluster:
            for node in (0, 1):
                cluster.start(node, () if node else HEADLESS)
            check_runs(cluster)
            check_transport(cluster, 'stream')
            for node in (0, 1):
                wait_said(cluster, node, f'node {node}: {STREAMS}distkvm: UCX '
                          'cannot be set up over sysv,self')
        with qtest_cluster('no-segments-shm', options=',transport=shm',
                           prefix=lambda node: prefix) as cluster:
            if cluster.start(0, HEADLESS).wait(PATIENCE) != 1:
                raise Problem('it started')
            wait_said(cluster, 0, 'UCX cannot be set up over sysv,self',
                      'Check kernel.shmmax, kernel.shmall and kernel.shmmni')


def segments(pids):
    """System V segments that these processes have made or use: number and
    rights."""
    found = []
    rows = Path('/proc/sysvipc/shm').read_text().splitlines()[1:]
    for row in rows:
        words = row.split()
        if int(words[4]) in pids or int(words[5]) in pids:
            found.append((f'segment {words[1]}', int(words[2], 8)))
    for pid in pids:
        for line in Path(f'/proc/{pid}/maps').read_text().splitlines():
            path = re.search(r'(/dev/shm/\S+)', line)
            if path and os.path.exists(path.group(1)):
                found.append((path.group(1), os.stat(path.group(1)).st_mode))
    return found


@named("door: shared memory is its owner's")
def test_owners(note):
    """Shared memory is its owner's alone."""
    with formed('owners') as cluster:
        check_runs(cluster)
        check_transport(cluster, 'shm')
        found = segments({p.pid for p in cluster.process})
        if not found:
            raise Problem('no shared memory was found')
        for name, mode in found:
            if mode & 0o077:
                raise Problem(f'{name} has the mode {mode & 0o777:o}')
        note(f'{len(found)} segments')


def check_ucx(cluster, node, interface, address):
    """UCX listens at this address, and the warning names its interface."""
    wait_said(cluster, node, 'UCX checks neither senders nor contents',
              f'a host that reaches its ports ({interface}) can write into')
    ends = listening_ends(cluster.process[node].pid)
    peers_port = cluster.net.host_port(node)[1]
    if {a for a, _ in ends} != {address} or \
            not {port for _, port in ends} - {peers_port}:
        raise Problem(f'node {node} listens at {ends}, not at {address} alone')


@named('door: transport=ucx on loopback')
def test_ucx():
    """UCX listens where peers= has the node, and nowhere else."""
    with formed('ucx-lo', net='psk', options=',transport=ucx') as cluster:
        check_runs(cluster)
        for node in (0, 1):
            check_ucx(cluster, node, 'lo', '127.0.0.1')


@pytest.mark.root('network namespaces')
@named('door: transport=ucx over a network')
def test_ucx_network():
    """There loopback is another interface, where UCX must not listen."""
    with Hosts() as places, qtest_cluster(
            'ucx-veth', net='psk', options=',transport=ucx',
            prefix=places.prefix, env={'UCX_TLS': 'tcp,self'}, addresses=[
                f'{a}:{PORT}' for a in places.addresses]) as cluster:
        for node in (0, 1):
            cluster.start(node, () if node else HEADLESS)
        check_runs(cluster)
        check_transport(cluster, 'tcp')
        for node in (0, 1):
            check_ucx(cluster, node, places.links[node],
                      places.addresses[node])


@named('door: transport=ucx without an interface')
def test_ucx_nowhere():
    """No interface has 127.0.0.2: UCX would listen on all of them."""
    with qtest_cluster('ucx-nowhere', net='x509',
                       options=',transport=ucx') as cluster:
        if cluster.start(1).wait(PATIENCE) != 1:
            raise Problem('it started')
        wait_said(cluster, 1, "no interface of this host has this node's "
                  'address 127.0.0.2', 'set UCX_NET_DEVICES')


@pytest.mark.root('a /dev/shm of its own')
@named('door: each node has its own /dev/shm')
def test_other_shm(note):
    """Each node has a /dev/shm of its own, as containers do."""
    with shared_memory(64) as first, shared_memory(64) as second:
        with qtest_cluster('shm-apart', prefix=lambda node: (
                first, second)[node]) as cluster:
            for node in (0, 1):
                cluster.start(node, () if node else HEADLESS)
            check_runs(cluster)
            note(' '.join(map(str, transports(cluster))))


@pytest.mark.root('a user namespace that may open /dev/userfaultfd')
@named('door: a user namespace of its own')
def test_other_users_namespace(note):
    """In a user namespace of its own a node is another user to the others:
    refused in one line, or joined; not silent."""
    with qtest_cluster('userns', options=',join-timeout=10',
                       prefix=lambda node: ['unshare', '--user', '--map-root']
                       if node else []) as cluster:
        for node in (0, 1):
            cluster.start(node, () if node else HEADLESS)
        end = time.monotonic() + PATIENCE
        while len(cluster.alive()) == 2 and time.monotonic() < end:
            with contextlib.suppress(OSError):
                if cluster.info(0)['formed']:
                    check_runs(cluster)
                    note('joined')
                    return
            time.sleep(0.1)
        if len(cluster.alive()) == 2:
            raise Problem('they neither join nor give up')
        if not log_of(cluster, 1):
            raise Problem('node 1 does not say why')
        note('refused')


@pytest.mark.root('network namespaces')
@cases('name, seconds, survives', {
    'door: an interface is down for a second': ('flap', 1, True),
    'door: an interface is down for long': ('flap-long', 12, False)})
def test_flap(name, seconds, survives):
    """The interface is down for so long: gone on, or named."""
    with Neighbours() as places, qtest_cluster(
            name, net='psk', prefix=places.prefix,
            options=',dead-after-ms=6000',
            addresses=[f'{a}:{PORT}' for a in places.addresses]) as cluster:
        for node in (0, 1):
            cluster.start(node, () if node else HEADLESS)
        check_runs(cluster)
        places.cut()
        time.sleep(seconds)
        quiet(['ip', '-n', places.names[0], 'link', 'set', places.links[0],
               'up'])
        time.sleep(8)
        for node in (0, 1):
            lost = cluster.info(node)['failed']
            if lost == survives:
                raise Problem(f"node {node}: failed is {lost}; "
                              f'{log_of(cluster, node)[-400:]}')
            if lost and 'is lost' not in log_of(cluster, node):
                raise Problem(f'node {node} names nobody')
