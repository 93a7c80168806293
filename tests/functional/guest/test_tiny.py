# SPDX-License-Identifier: GPL-2.0-or-later
"""A kernel of a few pages over two nodes: what stock ones seldom do."""

import os

import pytest

from distkvm import guests
from distkvm.cluster import COMMON_CPU, Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.guests.checks import tiny_says
from distkvm.hosts import without_kvm
from naming import cases, named

EXPECTED = ['counters are right', 'interrupts between CPUs are right',
            'the 8259 is heard on another node',
            'two interrupts of the 8259 at once are both heard',
            'changed code is right', 'changed page tables are right',
            'a device of another node is right', '64 bits are right',
            'passed']
# Such a KVM may not set the TSC, which is no matter to this kernel.
TINY_CPU = f'{COMMON_CPU},invtsc=off'
PATIENCE = 120
MOVES_PATIENCE = 300


@cases('name, machine, vmi, cpu', {
    **{f'guest: tiny kernel on {machine}':
           (f'tiny-{machine}', machine, 'tcg', None)
       for machine in ('q35', 'pc')},
    **{f'guest: tiny kernel under {vmi}':
           (f'tiny-{vmi.replace(",", "-")}', 'q35', vmi, TINY_CPU)
       for vmi in ('kvm', 'kvm,tcg', 'tcg,kvm')},
    **{f'guest: tiny kernel in x2APIC mode under {vmi}':
           (f'tiny-x2apic-{vmi.replace(",", "-")}', 'q35', vmi,
            f'{TINY_CPU},x2apic=on')
       for vmi in ('tcg', 'kvm', 'tcg,kvm')}})
def test_tiny(name, machine, vmi, cpu):
    shape = Shape(nodes=2, memory='64M', machine=machine, vmi=vmi, cpu=cpu)
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot('-no-reboot', '-kernel',
                               str(guests.tiny_guest()))
        tiny_says(console, 'passed', PATIENCE)
        console.drain()
        expected = EXPECTED + (['x2APIC mode'] if 'x2apic=on' in (cpu or '')
                               else [])
        for wanted in expected:
            if f'tiny: {wanted}' not in console.text:
                raise Problem(f"it does not say '{wanted}': "
                              f'{console.text[-300:]}')
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')


@cases('name, vmi', {
    f'guest: the tiny kernel is reset under {vmi}':
        (f'tiny-reset-{vmi.replace(",", "-")}', vmi)
    for vmi in ('kvm', 'tcg,kvm')})
def test_resets(name, vmi):
    """The tiny kernel, reset by QMP in the middle, passes all the same."""
    shape = Shape(nodes=2, memory='64M', vmi=vmi, cpu=TINY_CPU)
    first = f'tiny: {EXPECTED[0]}'
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot('-kernel', str(guests.tiny_guest()))
        for node in range(2):
            console.until(first, PATIENCE)
            cluster.qmp(node).execute('system_reset')
        tiny_says(console, 'passed', PATIENCE)
        console.drain()
        last = console.text[console.text.rindex(first):]
        if console.text.count(first) != 3 or \
                any(f'tiny: {wanted}' not in last for wanted in EXPECTED):
            raise Problem(f'it did not start again: {console.text[-600:]}')
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')


def check_chosen(name, wanted, prefix=None):
    """vmi=auto takes what is there, and says so."""
    with Cluster(Shape(nodes=2, memory='64M', vmi='auto'),
                 BUILD / 'log' / name, prefix) as cluster:
        cluster.start(0)
        cluster.qmp(0)
        log = cluster.log(0).read_text(errors='replace')
        if f'vmi=auto: {wanted} executes' not in log:
            raise Problem(f'it does not say that it uses {wanted}: {log}')


@pytest.mark.kvm
@named('guest: vmi=auto')
def test_auto(note):
    check_chosen('auto', 'KVM')
    note('KVM')


@named('guest: vmi=auto without /dev/kvm')
def test_auto_without_kvm(note):
    prefix = without_kvm if os.path.exists('/dev/kvm') else None
    if prefix and os.geteuid():
        pytest.skip('needs root, to hide /dev/kvm from a node')
    check_chosen('auto-tcg', 'TCG', prefix)
    note('TCG')


@cases('machine', {}, {
    'pci: a BAR moves while the CPUs of three nodes read it, pc': 'pc',
    'pci: a BAR moves while the CPUs of three nodes read it, q35': 'q35'})
def test_bars(machine):
    """Each CPU moves it in turn, also that of node 1, which has the device."""
    with Cluster(Shape(nodes=3, memory='64M', machine=machine),
                 BUILD / 'log' / f'tiny-bars-{machine}') as cluster:
        console = cluster.boot('-no-reboot', '-kernel',
                               str(guests.tiny_guest()), '-append', 'bars',
                               devices={1: ['-device', 'edu']})
        for mover in range(3):
            tiny_says(console, f'a BAR moves.*CPU {mover}', MOVES_PATIENCE)
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')
