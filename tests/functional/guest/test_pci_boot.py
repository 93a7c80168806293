# SPDX-License-Identifier: GPL-2.0-or-later
"""Firmware boots from disks of other nodes, as bootindex= says."""

import subprocess

from distkvm.cluster import Cluster, Console, Shape
from distkvm.common import BUILD
from distkvm.guests.firmware import efi_image, ovmf, says, sector_image
from distkvm.qtest import HEADLESS, qtest_cluster, wait_said
from commands import TOOL
from naming import cases, named

PATIENCE = 120


def disk(file, device):
    return ['-drive', f'file={file},format=raw,if=none,id=d,readonly=on',
            *device]


BLK = ['-device', 'virtio-blk-pci,drive=d,bootindex=%d']
NVME = ['-device', 'nvme,serial=1,drive=d,bootindex=%d']
SCSI = ['-device', 'virtio-scsi-pci,id=s', '-device',
        'scsi-hd,drive=d,bus=s.0,bootindex=%d']


def with_index(device, index):
    return [a.replace('%d', str(index)) for a in device]


# A node without a disk may have a root port, or no device at all.
PORT = ['-device', 'pcie-root-port,id=p,chassis=1']


def node_args(file, device, index):
    return device if device in ([], PORT) else \
        disk(file, with_index(device, index))


def boot_from_last(name, machine, devices, files, own=()):
    """The last node has the lowest index, and node 0 the highest."""
    nodes = len(devices)
    args = [node_args(file, device, nodes - n)
            for n, (file, device) in enumerate(zip(files, devices))]
    shape = Shape(nodes=nodes, memory='256M', machine=machine)
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*args[0], *own,
                               devices=dict(enumerate(args)))
        console.until(says(nodes - 1), PATIENCE)


@cases('name, machine, devices', {
    'pci: SeaBIOS boots from the node that bootindex= says, pc': (
        'pci-bootindex', 'pc', [BLK, SCSI])}, {
    'pci: SeaBIOS boots from the node that bootindex= says, q35': (
        'pci-bootindex-q35', 'q35', [BLK, SCSI, NVME]),
    'pci: SeaBIOS boots from a node behind others without disks': (
        'pci-bootindex-empty', 'q35', [BLK, [], PORT, NVME])})
def test_seabios(name, machine, devices, tmp_path):
    boot_from_last(name, machine, devices,
                   [sector_image(tmp_path / f'{n}.img', n)
                    for n in range(len(devices))])


@cases('name, devices', {}, {
    'pci: OVMF boots from the node that bootindex= says': (
        'pci-bootindex-ovmf', [BLK, SCSI, NVME]),
    "pci: OVMF boots from node 2's NVMe, and node 1 has no device": (
        'pci-ovmf-none', [BLK, [], NVME]),
    'pci: OVMF boots from a node behind others without disks': (
        'pci-ovmf-empty', [BLK, [], PORT, NVME])})
def test_ovmf(name, devices, tmp_path):
    boot_from_last(name, 'q35', devices,
                   [efi_image(tmp_path / f'{n}.img', n)
                    for n in range(len(devices))], own=ovmf(tmp_path))


@named('tool: run with a disk on each node, as the README has it')
def test_run(tmp_path):
    """Node 1's disk has the lower index."""
    images = [sector_image(tmp_path / f'{n}.img', n) for n in (0, 1)]
    command = [str(TOOL), 'run', '--nodes', '2', '--memory', '128M',
               '--log-dir', str(tmp_path / 'log'), '--node',
               f'1:-drive file={images[1]},format=raw,if=none,id=d1 '
               '-device virtio-blk-pci,drive=d1,id=disk1,bootindex=0',
               '--', '-nodefaults', '-display', 'none', '-serial', 'stdio',
               '-drive', f'file={images[0]},format=raw,if=virtio']
    with subprocess.Popen(command, stdin=subprocess.DEVNULL,
                          stdout=subprocess.PIPE) as process:
        try:
            Console(process).until(says(1), PATIENCE)
        finally:
            process.terminate()


@named('pci: refused: nodes with one bootindex=')
def test_twice():
    device = ['-device', 'virtio-rng-pci', '-device',
              'virtio-net-pci,bootindex=1']
    with qtest_cluster('pci-bootindex-twice') as cluster:
        for node in (0, 1):
            cluster.start(node, [*HEADLESS, *device])
        wait_said(cluster, 0, 'PCI device of node 1: bootindex=1 is another'
                  ".*bootindex= of its own")
