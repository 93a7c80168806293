# SPDX-License-Identifier: GPL-2.0-or-later
"""The time that each slot of node 1, and each PCI function in it, add to a boot,
beside plain QEMU.

A stock kernel boots without such functions, with one in each of some slots, and
with eight in each of them.  Firmware and kernel read and write the configuration
space of each; no driver takes them."""

import subprocess
import time
from statistics import median

from .. import guests
from ..cluster import Cluster, Shape
from ..common import BUILD, QEMU
from ..console import Console

PATIENCE = 300
MEMORY = '256M'
SLOTS, MANY = 16, 8


def devices(each):
    """Root ports, and `each` functions behind each of them."""
    args = []
    for slot in range(SLOTS):
        args += ['-device', f'pcie-root-port,id=port{slot},chassis={slot + 1}']
        for number in range(each):
            args += ['-device', f'edu,bus=port{slot},addr=0.{number},'
                                'multifunction=on']
    return args


LAYOUTS = {'none': [], 'one': devices(1), 'many': devices(MANY)}


def kernel():
    return guests.quick_args('quiet', 'plain')


def to_init(console, started):
    console.until('guest-init: up', PATIENCE)
    return time.monotonic() - started


def spread(layout):
    """Without the time until all nodes have joined."""
    with Cluster(Shape(nodes=2, memory=MEMORY),
                 BUILD / 'log' / f'bench-functions-{layout}') as cluster:
        console = cluster.boot('-S', *kernel(),
                               devices={1: LAYOUTS[layout]})
        cluster.wait_formed(PATIENCE)
        started = time.monotonic()
        cluster.qmp(0).execute('cont')
        return to_init(console, started)


def plain(layout):
    process = subprocess.Popen(
        [str(QEMU), '-machine', 'q35', '-m', MEMORY, '-smp', '2', '-accel',
         'tcg', '-nodefaults', '-display', 'none', '-serial', 'stdio',
         *LAYOUTS[layout], *kernel()],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
    try:
        return to_init(Console(process), time.monotonic())
    finally:
        process.kill()
        process.wait()


def one_round():
    """Seconds to the guest's init, by machine and layout."""
    return {name: {layout: boot(layout) for layout in LAYOUTS}
            for name, boot in (('plain', plain), ('cluster', spread))}


def each_ms(times):
    """What a slot with one function adds, and what each further function."""
    slots, functions = times['one'] - times['none'], times['many'] - times['one']
    return {'slot with one function': slots * 1e3 / SLOTS,
            'further function': functions * 1e3 / (SLOTS * (MANY - 1))}


def show(samples):
    print(f'boots to init with 0, {SLOTS} and {SLOTS * MANY} functions of node 1 '
          f'in {SLOTS} slots, {len(samples)} rounds, the middle one (least to '
          'greatest)')
    for name in ('plain', 'cluster'):
        took = [s[name] for s in samples]
        print(f'  {name}: ' + ', '.join(
            f'{median(t[layout] for t in took):.2f} s' for layout in LAYOUTS))
        for what in each_ms(took[0]):
            each = sorted(each_ms(t)[what] for t in took)
            print(f'    each {what}: {median(each):.1f} ms '
                  f'({each[0]:.1f} to {each[-1]:.1f})', flush=True)
