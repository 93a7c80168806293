# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel of a few pages over two nodes: what stock ones seldom do."""

import os
import subprocess

from . import guest
from .cluster import Cluster, Shape
from .common import BUILD, Problem
from .demo import Console
from .testing import Skip

HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']
EXPECTED = ['counters are right', 'interrupts between CPUs are right',
            'the 8259 is heard on another node',
            'two interrupts of the 8259 at once are both heard',
            'changed code is right', 'changed page tables are right',
            'a device of another node is right', '64 bits are right',
            'passed']
# What TCG and any KVM have in common, also one that interprets the guest.
COMMON_CPU = 'qemu64,pni=off,vendor=GenuineIntel'
PATIENCE = 120


def need_kvm(vmi):
    if 'kvm' in vmi and not os.access('/dev/kvm', os.R_OK | os.W_OK):
        raise Skip('needs a /dev/kvm that this user may open')


def chosen(name):
    """vmi=auto takes what is there, and says so."""
    cluster = Cluster(Shape(nodes=2, memory='64M', vmi='auto'),
                      BUILD / 'log' / name)
    wanted = 'KVM' if os.access('/dev/kvm', os.R_OK | os.W_OK) else 'TCG'
    try:
        cluster.start(0)
        cluster.qmp(0)
        log = cluster.log(0).read_text(errors='replace')
        if f'vmi=auto: {wanted} executes' not in log:
            raise Problem(f'it does not say that it uses {wanted}: {log}')
        return wanted
    finally:
        cluster.end()


def tiny(name, machine, vmi='tcg', cpu=None):
    need_kvm(vmi)
    shape = Shape(nodes=2, memory='64M', machine=machine, vmi=vmi, cpu=cpu)
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
    results.run('guest: vmi=auto', chosen, 'auto')
    for vmi in ('kvm', 'kvm,tcg', 'tcg,kvm'):
        results.run(f'guest: tiny kernel under {vmi}', tiny,
                    f'tiny-{vmi.replace(",", "-")}', 'q35', vmi, COMMON_CPU)
