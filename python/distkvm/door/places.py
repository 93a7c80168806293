# SPDX-License-Identifier: GPL-2.0-or-later
"""Places where nodes may be, and whether they are one machine there."""

import shutil
import subprocess

from ..common import Problem
from ..hosts import Hosts
from .common import PATIENCE, check_calm, until

PORT = 7700


class Neighbours(Hosts):
    """Two network namespaces that share all else, as pods with hostIPC do."""

    def prefix(self, node):
        return ['ip', 'netns', 'exec', self.names[node]]


def has_firewall():
    """Whether nft is here, and this kernel has its rules."""
    return bool(shutil.which('nft')) and not subprocess.run(
        ['nft', 'list', 'tables'], capture_output=True, check=False).returncode


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
