# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm demo: a stock Linux guest over several nodes, shown and checked."""

import os
import re
import select
import subprocess
import sys
import time
from collections import deque

from . import build, guest
from .cluster import Cluster, Shape
from .common import BUILD, Problem, say

BOOT_TIMEOUT = 300
# A vCPU that executed the work used this much more than its stand-ins.
WORK_MS_MIN = 50
LOOK_SECONDS = 0.5
READ_BYTES = 1 << 16


class Console:
    """The guest's console: shown as it comes, and searched.

    With a cluster, a node that ends badly is noticed at once; the guest may say
    nothing more, and its node 0 stays."""

    def __init__(self, process, out=None, cluster=None):
        self.process = process
        self.out = out
        self.cluster = cluster
        self.pending = b''
        self.ready = deque()
        self.text = ''

    def check_nodes(self):
        for node, process in enumerate(self.cluster.process):
            if process and process.poll():
                raise Problem(f'node {node} has ended with status '
                              f'{process.poll()}; see '
                              f'{self.cluster.log(node)}')

    def read(self):
        """Wait a little for more; False at the end."""
        fd = self.process.stdout.fileno()
        if not select.select([fd], [], [], LOOK_SECONDS)[0]:
            if self.cluster:
                self.check_nodes()
            return True
        data = os.read(fd, READ_BYTES)
        *lines, self.pending = (self.pending + data).split(b'\n')
        if not data and self.pending:
            lines, self.pending = [self.pending], b''
        self.ready += (line.decode(errors='replace').replace('\r', '') + '\n'
                       for line in lines)
        return bool(data)

    def lines(self, end=None):
        """Lines as they come, until the time is `end`."""
        more = True
        while self.ready or (more and
                             (end is None or time.monotonic() < end)):
            if not self.ready:
                more = self.read()
                continue
            line = self.ready.popleft()
            self.text += line
            if self.out:
                self.out.write(line)
                self.out.flush()
            yield line

    def until(self, pattern, timeout):
        """Read until a line matches; the match."""
        for line in self.lines(time.monotonic() + timeout):
            found = re.search(pattern, line)
            if found:
                return found
        raise Problem(f"the guest did not say '{pattern}'")

    def drain(self):
        for _ in self.lines():
            pass


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
    build.ensure()
    shape = Shape(nodes=args.nodes, smp=str(args.nodes), memory='512M')
    cluster = Cluster(shape, BUILD / 'log' / 'demo')
    nodes = ','.join(str(n) for n in range(args.nodes))
    append = f'quiet demo.nodes={nodes}'
    say(f'{args.nodes} nodes, one vCPU each; logs in {cluster.log_dir}')
    try:
        for node in range(1, args.nodes):
            cluster.start(node)
        process = cluster.start(
            0, ['-nodefaults', '-display', 'none', '-serial', 'stdio',
                *guest.kernel_args(append, 'demo')], stdout=subprocess.PIPE)
        drive(cluster, Console(process, sys.stdout, cluster))
        say('one guest ran over all nodes, and its results are right')
        return 0
    finally:
        cluster.end()


def add_verb(verbs):
    verb = verbs.add_parser('demo', help='boot Linux over several nodes')
    verb.add_argument('--nodes', type=int, default=2, metavar='N')
    verb.set_defaults(function=main)
