# SPDX-License-Identifier: GPL-2.0-or-later
"""What happens before the cluster is complete, or while it starts."""

import os
import time

import pytest

from distkvm.cluster import Shape
from distkvm.common import Problem
from distkvm.door.common import until
from distkvm.qtest import HEADLESS, qtest_cluster
from naming import named

MIB = 1 << 20


@pytest.mark.overlaps
@named('guest: an image loaded before the cluster formed')
def test_loader():
    """An image for another node's RAM, given to node 0 while it is alone."""
    with qtest_cluster('early-loader') as cluster:
        image = cluster.log_dir / 'image.bin'
        image.write_bytes(os.urandom(MIB + 1000))
        # From the last page of node 0's RAM into that of node 1.
        address = 32 * MIB - 4096
        cluster.start(0, [*HEADLESS, '-device',
                          f'loader,file={image},addr={address},'
                          'force-raw=on'])
        if cluster.info(0)['formed']:
            raise Problem('formed without node 1')
        cluster.start(1)
        cluster.wait_formed()
        # A follower reads the memory map of node 0, once it has that.
        until('node 1 runs', lambda: cluster.qmp(1).execute(
            'query-status')['status'] == 'running')
        for node in (1, 0):
            copy = cluster.run_dir / f'copy-{node}'
            cluster.qmp(node).execute('pmemsave', val=address,
                                      size=image.stat().st_size,
                                      filename=str(copy))
            if copy.read_bytes() != image.read_bytes():
                raise Problem(f'node {node} sees something else')


@pytest.mark.overlaps
@named('guest: an image loaded, and nobody comes')
def test_loader_alone():
    """The same, and nobody else comes: it ends in time all the same."""
    with qtest_cluster('early-alone', options=',join-timeout=2') as cluster:
        image = cluster.log_dir / 'image.bin'
        image.write_bytes(b'x' * MIB)
        process = cluster.start(0, [*HEADLESS, '-device',
                                    f'loader,file={image},addr={40 * MIB},'
                                    'force-raw=on'])
        if process.wait(60) != 1:
            raise Problem(f'node 0 ended with {process.returncode}')
        if 'did not join' not in cluster.log(0).read_text():
            raise Problem('it does not say why')


@named('guest: memory is read while the cluster forms')
def test_read_while_joining(clusters):
    """Memory is read in order while the cluster forms, over pages that were
    written before: what comes along must not run into those."""
    cluster = clusters(Shape(nodes=2, memory='1G', vmi='qtest'),
                       'early-read')
    image = cluster.log_dir / 'page.bin'
    image.write_bytes(b'x' * 4096)
    # In node 1's half, throughout.
    loaders = [arg for address in range(513 * MIB, 1024 * MIB, 8 * MIB)
               for arg in ('-device', f'loader,file={image},addr={address},'
                           'force-raw=on')]
    cluster.start(0, [*HEADLESS, '-S', *loaders])
    qmp = cluster.qmp(0)
    cluster.start(1, ['-S'])
    # One command, so that nothing is settled before it has ended.
    qmp.send('pmemsave', val=512 * MIB, size=512 * MIB,
             filename=os.devnull)
    end = time.monotonic() + 60
    while 'all 2 nodes have joined' not in cluster.log(0).read_text():
        if 'is lost' in cluster.log(0).read_text() or \
                time.monotonic() > end:
            raise Problem(cluster.log(0).read_text()[-600:])
        time.sleep(0.05)
    if cluster.info(1)['failed']:
        raise Problem(cluster.log(1).read_text()[-600:])


def states(cluster):
    return [cluster.qmp(n).execute('query-status')['status'] for n in (0, 1)]


def wait_states(cluster, wanted):
    end = time.monotonic() + 60
    while states(cluster) != [wanted] * 2:
        if time.monotonic() > end:
            raise Problem(f'the nodes are {states(cluster)}, not {wanted}')
        time.sleep(0.05)


@pytest.mark.overlaps
@named('guest: stop before the start')
def test_stop_before_start():
    """The last word counts, also while a start is under way."""
    with qtest_cluster('early-stop') as cluster:
        cluster.start(0, [*HEADLESS, '-S'])
        cluster.start(1, ['-S'])
        cluster.wait_formed()
        cluster.qmp(1).execute('cont')
        cluster.qmp(1).execute('stop')
        cluster.qmp(0).execute('cont')
        time.sleep(1)
        if 'running' in states(cluster):
            raise Problem('it runs although node 1 said stop last')
        cluster.qmp(1).execute('cont')
        wait_states(cluster, 'running')
        for node in (0, 1, 0, 1):
            for command in ('stop', 'cont', 'stop'):
                cluster.qmp(node).execute(command)
            wait_states(cluster, 'paused')
            time.sleep(0.2)
            wait_states(cluster, 'paused')
            cluster.qmp(node).execute('cont')
            wait_states(cluster, 'running')


@pytest.mark.overlaps
@named('guest: system_powerdown on a follower')
def test_powerdown():
    """The power button of any node is the cluster's."""
    with qtest_cluster('early-powerdown') as cluster:
        cluster.start(0, HEADLESS)
        cluster.start(1)
        cluster.wait_formed()
        wait_states(cluster, 'running')
        cluster.qmp(1).execute('system_powerdown')
        end = time.monotonic() + 60
        while 'POWERDOWN' not in cluster.qmp(0).events:
            if time.monotonic() > end:
                raise Problem('node 0 was not told')
            cluster.qmp(0).execute('query-status')
            time.sleep(0.05)
