# SPDX-License-Identifier: GPL-2.0-or-later
"""Where nodes of one host may be: containers with namespaces of their own,
and little shared memory.  All works, over what works there."""

import contextlib
import os
import re
import subprocess
import time
from pathlib import Path

from distkvm.common import Problem, quiet
from distkvm.door.common import (HEADLESS, PATIENCE, check_calm, formed,
                                 log_of, qtest_cluster, until)
from distkvm.hosts import Hosts
from distkvm.memory import PAGE, MemoryCluster
from .testing import Skip

PORT = 7700


def need_root(what):
    if os.geteuid():
        raise Skip(f'needs root, for {what}')


class Neighbours(Hosts):
    """Two network namespaces that share all else, as pods with hostIPC do."""

    def prefix(self, node):
        return ['ip', 'netns', 'exec', self.names[node]]


def transports(cluster):
    return {n.get('transport') for node in range(cluster.shape.nodes)
            for n in cluster.info(node)['nodes'] if n['state'] == 'joined'}


def check_transport(cluster, wanted):
    found = transports(cluster)
    if found != {wanted}:
        raise Problem(f'nodes are joined by {found}, not by {wanted}')


def check_runs(cluster):
    """Pages travel: what one node writes, another reads."""
    cluster.wait_formed(PATIENCE)
    check_calm(cluster, range(cluster.shape.nodes))
    for node in range(cluster.shape.nodes):
        until('the guest runs', lambda node=node: cluster.qmp(node).execute(
            'query-status')['status'] == 'running')
    copies = set()
    for node in range(cluster.shape.nodes):
        copy = cluster.run_dir / f'copy-{node}'
        # Below the video memory, and what is node 0's only.
        cluster.qmp(node).execute('pmemsave', val=0, size=640 << 10,
                                  filename=str(copy))
        copies.add(copy.read_bytes())
    if len(copies) != 1:
        raise Problem("nodes see different things in the guest's memory")


def apart(name, net, wanted):
    """Network namespaces apart, and all else shared."""
    need_root('network namespaces')
    with Neighbours() as places, qtest_cluster(
            name, net=net, prefix=places.prefix,
            addresses=None if net == 'unix' else [
                f'{a}:{PORT}' for a in places.addresses]) as cluster:
        for node in (0, 1):
            cluster.start(node, () if node else HEADLESS)
        check_runs(cluster)
        check_transport(cluster, wanted)


def together(name, net, wanted, options=''):
    """One place: query-distkvm names what is in use there."""
    with formed(name, net=net, options=options) as cluster:
        check_runs(cluster)
        check_transport(cluster, wanted)


@contextlib.contextmanager
def shared_memory(mebibytes):
    """A place whose /dev/shm has this size: what goes before commands."""
    need_root('a /dev/shm of its own')
    with subprocess.Popen(
            ['unshare', '--mount', 'sh', '-c',
             f'mount -t tmpfs -o size={mebibytes}m shm /dev/shm && echo up && '
             'exec sleep 600'], stdout=subprocess.PIPE, text=True) as holder:
        try:
            if holder.stdout.readline() != 'up\n':
                raise Problem('no /dev/shm could be mounted')
            yield ['nsenter', f'--mount=/proc/{holder.pid}/ns/mnt', '--']
        finally:
            holder.kill()


def small(mebibytes, nodes):
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


def owners():
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
        return f'{len(found)} segments'


def other_shm():
    """Each node has a /dev/shm of its own, as containers do."""
    with shared_memory(64) as first, shared_memory(64) as second:
        with qtest_cluster('shm-apart', prefix=lambda node: (
                first, second)[node]) as cluster:
            for node in (0, 1):
                cluster.start(node, () if node else HEADLESS)
            check_runs(cluster)
            return ' '.join(map(str, transports(cluster)))


def other_users_namespace():
    """In a user namespace of its own a node is another user to the others:
    refused in one line, or joined; not silent."""
    need_root('a user namespace that may open /dev/userfaultfd')
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
                    return 'joined'
            time.sleep(0.1)
        if len(cluster.alive()) == 2:
            raise Problem('they neither join nor give up')
        if not log_of(cluster, 1):
            raise Problem('node 1 does not say why')
        return 'refused'


def flap(name, seconds, survives):
    """The interface is down for so long: gone on, or named."""
    need_root('network namespaces')
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


def run(results, full):
    results.run('door: one place, shared memory', together, 'place-shm',
                'unix', 'shm')
    results.run('door: one place, shared memory, over TCP', together,
                'place-shm-psk', 'psk', 'shm')
    for net, wanted in (('psk', 'tls'), ('x509', 'tls'), ('unix', 'stream'),
                        ('insecure', 'stream')):
        results.run(f'door: one place, transport=tls, {net}', together,
                    f'place-tls-{net}', net, wanted, ',transport=tls')
    for net, wanted in (('psk', 'tls'), ('insecure', 'stream'),
                        ('unix', 'stream')):
        results.run(f'door: network namespaces apart, {net}', apart,
                    f'place-apart-{net}', net, wanted)
    for mebibytes in (1, 8, 64):
        for nodes in range(2, 9) if full else (2, 8):
            results.run(f'door: /dev/shm of {mebibytes} MiB, {nodes} nodes',
                        small, mebibytes, nodes)
    results.run('door: each node has its own /dev/shm', other_shm)
    results.run('door: a user namespace of its own', other_users_namespace)
    results.run("door: shared memory is its owner's", owners)
    results.run('door: an interface is down for a second', flap, 'flap', 1,
                True)
    results.run('door: an interface is down for long', flap, 'flap-long', 12,
                False)
