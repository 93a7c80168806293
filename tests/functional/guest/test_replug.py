# SPDX-License-Identifier: GPL-2.0-or-later
"""The address map changes all the time, while another CPU does I/O."""

import re
import subprocess
import tempfile
from pathlib import Path

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU, Problem
from distkvm.console import Console
from naming import named

SECONDS, SECONDS_FULL = 15, 600
# Of the disk.  The guest ends after a whole read of it, which the changes hold up:
# 4 MiB take a minute on a slow machine.
MIB, MIB_FULL = 1, 4
# Boot and end, on a busy machine.
PATIENCE = 180
DEVICES = ['-device', 'virtio-blk-pci,drive=d']
for port, device in enumerate(('qemu-xhci', 'virtio-rng-pci',
                               'virtio-scsi-pci')):
    DEVICES += ['-device', f'pcie-root-port,id=p{port},chassis={port + 1},'
                f'slot={port}', '-device', f'{device},bus=p{port}']
DEVICES += ['-device', 'pci-testdev']
PLAIN = [str(QEMU), '-machine', 'q35', '-m', '256M', '-smp', '2', '-accel',
         'tcg,thread=multi', '-nodefaults', '-display', 'none', '-serial',
         'stdio']


def guest_args(scratch, seconds, mib):
    image = guests.disk_image(Path(scratch) / 'disk.img', mib)
    return ['-drive', f'file={image},format=raw,if=none,id=d,cache=none',
            *DEVICES,
            *guests.quick_args(f'quiet replug.s={seconds}', 'replug',
                               ['virtio_pci', 'virtio_blk'])]


def follow(console, seconds):
    console.until('guest-init: up', PATIENCE)
    done = console.until(r'guest-replug: (\d+) rounds, (\d+) reads',
                         seconds * 4 + PATIENCE)
    for line in console.text.splitlines():
        if re.search('WRONG|GONE', line) or guests.COMPLAINTS.search(line):
            raise Problem(f'the guest says: {line}')
    if '0' in done.groups():
        raise Problem(f'the guest did nothing: {done.group(0)}')
    return f'{done.group(1)} rounds beside {done.group(2)} reads'


@pytest.mark.full
@pytest.mark.timeout(3600)
@named('guest: PCI functions come and go, plain QEMU')
def test_plain(note):
    """QEMU as it is, but for the patch of its TLB."""
    log = BUILD / 'log' / 'replug-plain.log'
    log.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch, open(log, 'wb') as out:
        with subprocess.Popen([*PLAIN, *guest_args(scratch, SECONDS_FULL,
                                                   MIB_FULL)],
                              stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, stderr=out) as process:
            try:
                note(follow(Console(process), SECONDS_FULL))
            except Problem as problem:
                process.kill()
                raise Problem(f'{problem}: {log.read_text()[-300:]}') from None
            process.kill()


@pytest.mark.timeout(3600)
@named('guest: PCI functions come and go, two nodes')
def test_cluster(full, note):
    seconds, mib = (SECONDS_FULL, MIB_FULL) if full else (SECONDS, MIB)
    with tempfile.TemporaryDirectory() as scratch, \
            Cluster(Shape(memory='256M'), BUILD / 'log' / 'replug') as nodes:
        note(follow(nodes.boot(*guest_args(scratch, seconds, mib)), seconds))
