# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel of a few pages over two nodes: what stock ones seldom do."""

import subprocess

from . import guest
from .cluster import Cluster, Shape
from .common import BUILD, Problem
from .demo import Console

HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']
EXPECTED = ['counters are right', 'interrupts between CPUs are right',
            'the 8259 is heard on another node',
            'two interrupts of the 8259 at once are both heard', 'passed']
PATIENCE = 120


def tiny(name, machine):
    shape = Shape(nodes=2, memory='64M', machine=machine)
    cluster = Cluster(shape, BUILD / 'log' / name)
    try:
        cluster.start(1)
        process = cluster.start(
            0, [*HEADLESS, '-no-reboot', '-kernel', str(guest.tiny_guest())],
            stdout=subprocess.PIPE)
        console = Console(process)
        console.until(r'tiny: (passed|FAILED.*)\n', PATIENCE)
        console.drain()
        for wanted in EXPECTED:
            if f'tiny: {wanted}' not in console.text:
                raise Problem(f"it does not say '{wanted}': "
                              f'{console.text[-300:]}')
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')
    finally:
        cluster.end()


def run(results, full):
    del full
    for machine in ('q35', 'pc'):
        results.run(f'guest: tiny kernel on {machine}', tiny,
                    f'tiny-{machine}', machine)
