# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots with the devices that libvirt gives a machine unasked: in one of thirty
a QEMU could abort in iotlb_to_section()."""

import os
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU, Problem
from distkvm.console import Console
from distkvm.guests.checks import check_console, check_disk
from naming import cases

# Of a boot, on a machine under load.
TIMEOUT = 600
BOOTS = int(os.environ.get('DISTKVM_BOOTS', '100'))
SHAPE = Shape(nodes=2, smp='2', memory='256M')
PLAIN = [str(QEMU), '-machine', 'q35', '-m', '256M', '-smp', '2', '-accel',
         'tcg,thread=multi', '-nodefaults', '-display', 'none', '-serial',
         'stdio']
# Those of a domain of q35 with a disk.
PORTS = [arg for n in range(4) for arg in (
    '-device', f'pcie-root-port,port={16 + n},chassis={n + 1},id=pci.{n + 1},'
    f'bus=pcie.0,addr=0x2.{n}{",multifunction=on" if not n else ""}')]
DEVICES = ['-device', 'qemu-xhci,p2=15,p3=15,id=usb,bus=pci.1,addr=0x0',
           '-device', 'virtio-blk-pci,bus=pci.2,addr=0x0,drive=d']
MODULES = [*guests.DISK_MODULES, 'xhci_pci']


def boot_plain(args, log):
    with open(log, 'wb') as out, subprocess.Popen(
            [*PLAIN, *args], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=out) as process:
        console = Console(process)
        try:
            console.until('guest-disk: end', TIMEOUT)
            console.drain()
            status = process.wait(TIMEOUT)
        finally:
            process.kill()
    if status:
        raise Problem(f'QEMU ended with {status}: '
                      f'{Path(log).read_text(errors="replace")[-300:]}')
    return console.text


def boot_cluster(args, log):
    with Cluster(SHAPE, log) as cluster:
        console = cluster.boot(*args)
        console.until('guest-disk: end', TIMEOUT)
        console.drain()
        statuses = cluster.wait(20)
        if any(statuses):
            raise Problem(f'nodes ended with {statuses}; logs in '
                          f'{cluster.log_dir}')
    return console.text


def check_boot(boot, log):
    with tempfile.TemporaryDirectory() as scratch:
        image = guests.disk_image(Path(scratch) / 'disk.img')
        text = boot(['-drive', f'file={image},format=raw,if=none,id=d', *PORTS,
                     *DEVICES, *guests.kernel_args('quiet', 'disk', MODULES)],
                    log)
        check_console(text, SHAPE)
        check_disk(image, 2)
        if 'WRONG' in text or 'ext4 on /dev/vda' not in text:
            raise Problem(text[-500:])


@pytest.mark.full
@pytest.mark.timeout(BOOTS * TIMEOUT)
@cases('name, boot', {
    "guest: boots with libvirt's devices, two nodes": ('cluster',
                                                       boot_cluster),
    "guest: boots with libvirt's devices, plain QEMU": ('plain', boot_plain)})
def test_boots(name, boot, note):
    """The kernel finds the functions of all ports and gives them addresses,
    with all CPUs up; each boot's disk is right."""
    log = BUILD / 'log' / f'libvirt-boots-{name}'
    log.parent.mkdir(parents=True, exist_ok=True)
    started = time.monotonic()
    for number in range(1, BOOTS + 1):
        try:
            check_boot(boot, log)
        except Problem as problem:
            raise Problem(f'boot {number}: {problem}') from None
    each = (time.monotonic() - started) / BOOTS
    note(f'{BOOTS} boots of {each:.1f} s')
