# SPDX-License-Identifier: GPL-2.0-or-later
"""More CPUs than an APIC id of eight bits can name."""

import re

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.guests.checks import tiny_says
from naming import named

TIMEOUT = 400
CPUS = 257
# Linux wants remapped interrupts before it uses ids of 32 bits.
REMAPPED = ['-device', 'intel-iommu,intremap=on,eim=on']
# Neither is DMA translated, which a follower's device would do on its own node.
NO_DMA = [REMAPPED[0], f'{REMAPPED[1]},dma-translation=off']
NIC = ['-netdev', 'user,id=n', '-device', 'virtio-net-pci,netdev=n']
SAYS = ['guest-last: memory is right', 'guest-last: code is right']


# Two minutes; what is quick is in x2APIC mode with the tiny kernel.
@pytest.mark.full
@named('guest: 257 CPUs, the last on another node')
def test_last_of_many():
    """CPU 256, alone on node 1, comes up and is coherent with CPU 0."""
    shape = Shape(nodes=2, smp=str(CPUS), vcpus=f'{CPUS - 1}/1')
    with Cluster(shape, BUILD / 'log' / 'x2apic-many') as cluster:
        console = cluster.boot(
            *REMAPPED, *guests.kernel_args('quiet maxcpus=1', 'last'))
        console.until('guest-init: up', TIMEOUT)
        # Under TCG even a plain QEMU with so many gets a soft lockup before.
        booted = len(console.text)
        console.until(f'guest-last: cpus online 0,{CPUS - 1}\n', TIMEOUT)
        for wanted in SAYS:
            console.until(wanted, TIMEOUT)
        console.drain()
        found = guests.COMPLAINTS.search(console.text, booted)
        if found:
            raise Problem(f'the guest complains: {found.group(0)}')
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')


@pytest.mark.full
@named('guest: 257 CPUs, and a device of node 1 interrupts the last')
def test_device_of_many():
    """The tiny kernel changes the target in the IOMMU's table, between CPU 256
    on node 1 and CPU 0."""
    shape = Shape(nodes=2, memory='64M', smp=str(CPUS), vcpus=f'{CPUS - 1}/1')
    with Cluster(shape, BUILD / 'log' / 'many-tiny') as cluster:
        console = cluster.boot(
            *NO_DMA, '-no-reboot', '-kernel', str(guests.tiny_guest()),
            '-append', 'many', devices={1: ['-device', 'edu']})
        tiny_says(console, 'CPU 256 is interrupted, and no other', TIMEOUT)
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')


@pytest.mark.full
@named('guest: 257 CPUs, and a network interface of node 1 interrupts the last')
def test_interface_of_many():
    """Its MSI-X messages go by node 0's IOMMU to an APIC id beyond 255."""
    shape = Shape(nodes=2, smp=str(CPUS), vcpus=f'{CPUS - 1}/1')
    with Cluster(shape, BUILD / 'log' / 'many-net') as cluster:
        console = cluster.boot(
            *NO_DMA, *guests.kernel_args('quiet maxcpus=1', 'many',
                                         ['virtio_pci', 'virtio_net']),
            devices={1: NIC})
        console.until(f'guest-many: cpus online 0,{CPUS - 1}\n', TIMEOUT)
        console.until('guest-many: .* 20 packets received', TIMEOUT)
        console.until(f'guest-many: CPU {CPUS - 1} has its interrupts', TIMEOUT)
        console.until('guest-many: end', TIMEOUT)
        if not re.search(r'IR-PCI-MSI.* virtio\d+-input', console.text):
            raise Problem('its interrupts are not remapped')
        if f'\n{CPUS - 1}\n' not in console.text:
            raise Problem('they go to more CPUs than the last')
        console.drain()
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')
