# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that execute no guest code: they come up at once."""

import re
import time

from .cluster import Cluster, Shape
from .common import BUILD, Problem

HEADLESS = ['-nodefaults', '-display', 'none']
# A machine under load needs this long at most; no test measures it.
PATIENCE = 60


def qtest_cluster(name, nodes=2, options='', **shape):
    return Cluster(Shape(nodes=nodes, memory='64M', vmi='qtest',
                         options=options, **shape), BUILD / 'log' / name)


def wait_said(cluster, node, wanted):
    """Until the node has said it: a busy machine may take its time."""
    end = time.monotonic() + PATIENCE
    while not re.search(wanted, cluster.log(node).read_text()):
        if time.monotonic() > end:
            raise Problem(f"node {node} does not say '{wanted}'")
        time.sleep(0.05)
