# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm demo: a stock Linux guest over several nodes, shown and checked."""

import re
import sys

from .. import build, guests
from ..cluster import Cluster, Shape, check_nodes
from ..common import BUILD, Problem, say

BOOT_TIMEOUT = 300
# A vCPU that executed the work used this much more than its stand-ins.
WORK_MS_MIN = 50


def executed(cluster):
    """Per node: CPU time that its thread of each vCPU has used."""
    return [{c['index']: c['executed-ms'] for c in cluster.info(n)['cpus']}
            for n in range(cluster.shape.nodes)]


def show_and_check(cluster, before, after):
    """Each vCPU worked on its own node and on no other."""
    cpus = cluster.info(0)['cpus']
    wrong = []
    for cpu in cpus:
        index, owner = cpu['index'], cpu['node']
        used = [after[n][index] - before[n][index]
                for n in range(cluster.shape.nodes)]
        say(f'vCPU {index}: node {owner}; work done on it by each node: '
            + ', '.join(f'node {n} {ms} ms' for n, ms in enumerate(used)))
        if used[owner] < WORK_MS_MIN or \
                any(ms > used[owner] / 4 for n, ms in enumerate(used)
                    if n != owner):
            wrong.append(index)
    if wrong:
        raise Problem(f'vCPUs {wrong} did not run where they should')
    for node in range(cluster.shape.nodes):
        memory = cluster.info(node)['memory']
        say(f"node {node}: {memory['resident-pages'] // 256} MiB of the "
            f"guest's RAM present, {memory['owned-pages'] // 256} MiB owned, "
            f"{memory['faults-read'] + memory['faults-write']} pages fetched")


def drive(cluster, console):
    console.until(r'guest-init: up', BOOT_TIMEOUT)
    before = executed(cluster)
    console.until(r'guest-demo: worked', BOOT_TIMEOUT)
    after = executed(cluster)
    show_and_check(cluster, before, after)
    console.drain()
    if 'guest-demo: result is right' not in console.text:
        raise Problem('the program in the guest computed a wrong result')
    if re.search(r'\bBUG:|WARNING:|Call Trace', console.text):
        raise Problem("the guest's kernel warned")
    statuses = cluster.wait(20)
    if any(statuses):
        raise Problem(f'nodes ended with {statuses}')


def main(args):
    check_nodes(args.nodes)
    build.ensure()
    shape = Shape(nodes=args.nodes, smp=str(args.nodes), memory='512M',
                  sandbox=True)
    cluster = Cluster(shape, BUILD / 'log' / 'demo')
    nodes = ','.join(str(n) for n in range(args.nodes))
    append = f'quiet demo.nodes={nodes}'
    say(f'{args.nodes} nodes, one vCPU each; logs in {cluster.log_dir}')
    try:
        console = cluster.boot(*guests.kernel_args(append, 'demo'))
        console.out = sys.stdout
        drive(cluster, console)
        say('one guest ran over all nodes, and its results are right')
        return 0
    finally:
        cluster.end()


def add_verb(verbs):
    verb = verbs.add_parser('demo', help='boot Linux over several nodes')
    verb.add_argument('--nodes', type=int, default=2, metavar='N',
                      help='how many, 2 to 64 (default: 2)')
    verb.set_defaults(function=main)
