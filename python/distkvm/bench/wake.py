# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench wake: two tasks on two nodes that wake each other through pipes,
without companions and with them, alternating."""

import re
from statistics import median

from .. import guests
from ..cluster import Cluster, Shape
from ..common import BUILD, Problem, say

TIMEOUT = 300
TRIPS = 1000
KINDS = ('read', 'write', 'upgrade')
FIGURES = ('faults', 'waited ms', 'round trip us')


def waits(cluster):
    """Faults that asked another node, and ms that they waited.  A thread that
    waits for a page which is on its way already is in neither."""
    memory = [cluster.info(n)['memory'] for n in range(cluster.shape.nodes)]
    return (sum(m[f'faults-{k}'] for m in memory for k in KINDS),
            sum(m[f'wait-{k}-ns'] for m in memory for k in KINDS) / 1e6)


def one(switch):
    shape = Shape(nodes=2, memory='256M', options=f',companions={switch}')
    with Cluster(shape, BUILD / 'log' / 'bench-wake') as cluster:
        console = cluster.boot(*guests.kernel_args('quiet', 'wake'))
        console.until('guest-wake: ready', TIMEOUT)
        before = waits(cluster)
        console.until('guest-wake: done', TIMEOUT)
        after = waits(cluster)
        found = re.findall(r'wake: (\d+) round trips, median (\d+) ns',
                           console.text)
        if [int(trips) for trips, _ in found] != [TRIPS]:
            raise Problem(f'the guest made other round trips: {found}')
        return (*((b - a) / TRIPS for a, b in zip(before, after)),
                int(found[0][1]) / 1000)


def main(rounds):
    samples = {'off': [], 'on': []}
    for number in range(1, rounds + 1):
        for switch, found in samples.items():
            found.append(one(switch))
            say(f'round {number}, companions={switch}: ' + ', '.join(
                f'{name} {value:.3g}'
                for name, value in zip(FIGURES, found[-1])))
    print(f'a round trip of two tasks on two nodes, middle of {rounds}:')
    for place, name in enumerate(FIGURES):
        off, on = (median(s[place] for s in samples[switch])
                   for switch in samples)
        print(f'  {name}: {off:.3g}; with companions {on:.3g}; ratio '
              f'{on / off:.2f}')
    return 0
