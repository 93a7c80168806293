# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench idle: what a guest that does nothing costs."""

import os
import time
from pathlib import Path

from .. import guests
from ..cluster import Cluster, Shape
from ..common import BUILD, say

SECONDS = 20
SETTLE = 5
# Threads get names of their own; without it all have the process's.
NAMED = ['-name', 'idle,debug-threads=on']
TICKS = os.sysconf('SC_CLK_TCK')


def thread_seconds(pid, prefix):
    """CPU time of a process's threads whose names start so."""
    ticks = 0
    for task in Path(f'/proc/{pid}/task').iterdir():
        if (task / 'comm').read_text().startswith(prefix):
            fields = (task / 'stat').read_text().rpartition(')')[2].split()
            ticks += int(fields[11]) + int(fields[12])
    return ticks / TICKS


def sample(cluster):
    nodes = range(cluster.shape.nodes)
    return (sum(cluster.info(n)['memory']['frames-sent'] for n in nodes),
            sum(thread_seconds(cluster.process[n].pid, 'distkvm')
                for n in nodes),
            time.monotonic())


def main():
    with Cluster(Shape(nodes=2), BUILD / 'log' / 'bench-idle') as cluster:
        say('booting two nodes')
        console = cluster.boot(*guests.kernel_args('quiet', 'still'),
                               every=NAMED)
        console.until(r'guest-init: up', 300)
        time.sleep(SETTLE)
        frames, used, started = sample(cluster)
        time.sleep(SECONDS)
        frames_then, used_then, ended = sample(cluster)
    seconds = ended - started
    print(f'idle guest over two nodes, {seconds:.0f} s: '
          f'{(frames_then - frames) / seconds:.0f} frames a second, '
          f"distkvm's threads {(used_then - used) / seconds * 100:.1f} % of "
          'a CPU, both nodes together')
    return 0
