# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware fetches files by TFTP through network interfaces of other nodes."""

import shutil

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD
from distkvm.guests.checks import TIMEOUT, check_console
from distkvm.guests.firmware import efi_program, network_program, ovmf, says
from naming import cases, named

PATIENCE = 120
# The kernel of a stock guest boots by itself with these.
SCRIPT = '''#!ipxe
kernel vmlinuz console=ttyS0 panic=-1 quiet
initrd initramfs
boot
'''


def interface(model, folder):
    return ['-netdev', f'user,id=n,tftp={folder},bootfile=boot',
            '-device', f'{model},netdev=n,bootindex=0']


@cases('name, machine, model', {
    'pci: iPXE fetches a program by TFTP through node 1, pc': (
        'pci-tftp-pc', 'pc', 'e1000')}, {
    'pci: iPXE fetches a program by TFTP through node 1, q35': (
        'pci-tftp-q35', 'q35', 'virtio-net-pci'),
    'pci: iPXE fetches a program by TFTP through node 1, e1000e': (
        'pci-tftp-e1000e', 'q35', 'e1000e')})
def test_program(name, machine, model, tmp_path):
    (tmp_path / 'boot').write_bytes(network_program(1))
    shape = Shape(nodes=2, memory='128M', machine=machine)
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(devices={1: interface(model, tmp_path)})
        console.until(says(1), PATIENCE)


@pytest.mark.full
@named('pci: OVMF fetches a program by TFTP through node 1')
def test_ovmf(tmp_path):
    """Newer OVMFs do nothing in a network without random numbers."""
    folder = tmp_path / 'tftp'
    folder.mkdir()
    (folder / 'boot').write_bytes(efi_program(1))
    shape = Shape(nodes=2, memory='256M')
    with Cluster(shape, BUILD / 'log' / 'pci-tftp-ovmf') as cluster:
        console = cluster.boot(
            *ovmf(tmp_path), '-device', 'virtio-rng-pci',
            devices={1: interface('virtio-net-pci', folder)})
        console.until(says(1), PATIENCE)


@cases('name, machine, model', {}, {
    'pci: a stock kernel comes by TFTP through node 1': (
        'pci-tftp-kernel', 'pc', 'virtio-net-pci')})
def test_kernel(name, machine, model, tmp_path):
    """The kernel then uses the same interface, from all CPUs."""
    shutil.copy(guests.vmlinuz(), tmp_path / 'vmlinuz')
    shutil.copy(guests.initramfs('net', ('virtio_pci', 'virtio_net')),
                tmp_path / 'initramfs')
    (tmp_path / 'boot').write_text(SCRIPT)
    shape = Shape(nodes=2, memory='256M', machine=machine)
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot('-no-reboot',
                               devices={1: interface(model, tmp_path)})
        for cpu in (0, 1):
            console.until(f'guest-net: answered on CPU {cpu}', TIMEOUT)
        console.until('guest-net: end', TIMEOUT)
        check_console(console.text, shape)
