# SPDX-License-Identifier: GPL-2.0-or-later
"""A host that was suspended finds that the others have given it up."""

import time

from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU_BUILD, Problem
from naming import named

HEADLESS = ['-nodefaults', '-display', 'none']
PRELOAD = 'tests/qtest/distkvm/distkvm-suspended.so'
PATIENCE = 60


def wait_said(cluster, node, wanted):
    """Until the node has said it; a loaded machine may take its time."""
    end = time.monotonic() + PATIENCE
    while wanted not in cluster.log(node).read_text():
        if time.monotonic() > end:
            raise Problem(f"node {node} does not say '{wanted}'")
        time.sleep(0.05)


@named('door: a suspended host finds that it was expelled')
def test_suspended():
    """Its own clocks tell it, since they count that time; it stops at once."""
    shape = Shape(nodes=2, memory='64M', vmi='qtest')
    with Cluster(shape, BUILD / 'log' / 'door-suspended') as cluster:
        mark = cluster.run_dir / 'suspended'
        shape.env = {'LD_PRELOAD': str(QEMU_BUILD / PRELOAD),
                     'DISTKVM_SUSPENDED': str(mark)}
        cluster.start(1)
        shape.env = {}
        cluster.start(0, HEADLESS)
        cluster.wait_formed()
        mark.touch()
        wait_said(cluster, 1, 'was stopped for too long and has been expelled')
        if cluster.qmp(1).execute('query-status')['status'] == 'running':
            raise Problem('node 1 runs on')
