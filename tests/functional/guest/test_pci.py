# SPDX-License-Identifier: GPL-2.0-or-later
"""PCI devices of other nodes than node 0."""

import re

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.guests.checks import TIMEOUT, boot, check_disk
from distkvm.qtest import HEADLESS, qtest_cluster, wait_said
from naming import cases, named

IMAGE = ['-drive', 'file=IMAGE,format=raw,if=none,id=d,cache=none']
VIRTIO = [*IMAGE, '-device', 'virtio-blk-pci,drive=d']
AHCI = [*IMAGE, '-device', 'ahci,id=a', '-device', 'ide-hd,drive=d,bus=a.0']
PORT = ['-device', 'pcie-root-port,id=slot3,bus=pcie.0,addr=3.1,'
        'multifunction=on', *IMAGE,
        '-device', 'virtio-blk-pci,drive=d,bus=slot3']
NIC = ['-netdev', 'user,id=n', '-device', 'virtio-net-pci,netdev=n']

SAYS = b'the boot sector of node 1\r\n'
# mov dx, 0x3f8; for each byte: mov al, byte; out dx, al; then cli; hlt.
SECTOR = (b'\xba\xf8\x03' + b''.join(b'\xb0%c\xee' % c for c in SAYS) +
          b'\xfa\xf4').ljust(510, b'\0') + b'\x55\xaa'


def with_image(args, image):
    return [a.replace('IMAGE', str(image)) for a in args]


@cases('name, machine, device, append', {
    'pci: a disk of node 1, without MSI': (
        'pci-intx', 'pc', VIRTIO, 'pci=nomsi'),
}, {
    'pci: a disk of node 1, pc': ('pci-pc', 'pc', VIRTIO, ''),
    'pci: a disk of node 1, q35': ('pci-q35', 'q35', VIRTIO, ''),
    'pci: a disk of node 1 behind its own root port': (
        'pci-port', 'q35', PORT, ''),
    'pci: an AHCI controller of node 1, q35': (
        'pci-ahci', 'q35', AHCI, ''),
})
def test_disk(name, machine, device, append, tmp_path, note):
    """What each CPU writes, others read, and it is in node 1's image."""
    image = guests.disk_image(tmp_path / 'disk.img')
    text = boot(name, Shape(nodes=2, memory='256M', machine=machine), 'disk',
                ['guest-disk: ext4 on /dev/.da', 'guest-disk: end'],
                append=f'quiet {append}', modules=guests.DISK_MODULES,
                quick=True, devices={1: with_image(device, image)})
    right = len(re.findall('is right on CPU', text))
    if 'WRONG' in text or right != 2:
        raise Problem('a file read on another CPU differs')
    check_disk(image, right)
    note(f'{right} files, image clean')


@cases('name, script, device, modules, says', {}, {
    'pci: a disk of node 1, interrupts remapped': (
        'pci-remapped', 'disk', VIRTIO, guests.DISK_MODULES,
        ['file of CPU 0 is right on CPU 1', 'file of CPU 1 is right on CPU 0',
         'guest-disk: end']),
    'pci: a network interface of node 1, interrupts remapped': (
        'pci-remapped-net', 'net', NIC, ['virtio_pci', 'virtio_net'],
        [r'IR-PCI-MSI.* virtio\d+-input', 'guest-net: answered on CPU 0',
         'guest-net: answered on CPU 1', 'guest-net: end'])})
def test_remapped(name, script, device, modules, says, tmp_path):
    """Node 0's IOMMU remaps interrupts of all nodes, and translates no DMA."""
    image = guests.disk_image(tmp_path / 'disk.img')
    boot(name, Shape(nodes=2, memory='256M', machine='q35'), script,
         ['Enabled IRQ remapping', *says], modules=modules, extra=[
             '-device', 'intel-iommu,intremap=on,eim=on,dma-translation=off'],
         devices={1: with_image(device, image)})


@cases('device', {
    'pci: refused with an IOMMU that translates': 'intel-iommu',
    'pci: refused with an IOMMU of virtio': 'virtio-iommu-pci',
    'pci: refused with an IOMMU of AMD': 'amd-iommu'})
def test_iommu(device):
    with qtest_cluster('pci-iommu') as cluster:
        cluster.start(1, [*HEADLESS, '-device', 'virtio-rng-pci'])
        cluster.start(0, [*HEADLESS, '-device', device])
        wait_said(cluster, 0, 'other nodes: an IOMMU would have to translate'
                  '.*dma-translation=off')


@cases('machine', {'pci: refused: no room on the root bus, pc': 'pc'}, {
    'pci: refused: no room on the root bus, q35': 'q35'})
def test_root_bus(machine):
    """Node 0's own devices have all device numbers."""
    with qtest_cluster('pci-root-bus', machine=machine) as cluster:
        cluster.start(1, [*HEADLESS, '-device', 'virtio-rng-pci'])
        cluster.start(0, [*HEADLESS, *30 * ['-device', 'virtio-rng-pci']])
        wait_said(cluster, 0, "PCI devices of other nodes: node 0's root bus"
                  ' has 0 free device numbers.*need 1: put devices of node 0'
                  ' behind a bridge')


@cases('name, machine', {
    'pci: a network interface of node 1': ('pci-net', 'pc')}, {
    'pci: a network interface of node 1, q35': ('pci-net-q35', 'q35')})
def test_net(name, machine):
    text = boot(name, Shape(nodes=2, memory='256M', machine=machine), 'net',
                ['guest-net: answered on CPU 0', 'guest-net: answered on CPU 1',
                 'guest-net: end'], append='quiet',
                modules=['virtio_pci', 'virtio_net'], devices={1: NIC})
    if not re.search(r'virtio\d+-input', text):
        raise Problem('the interface has no interrupts of its own')


@cases('name, machine, device', {
    'pci: firmware boots from a disk of node 1': (
        'pci-boot', 'pc', VIRTIO)}, {
    'pci: firmware boots from an NVMe disk of node 1': (
        'pci-boot-nvme', 'q35', [*IMAGE, '-device',
                                 'nvme,serial=1,drive=d'])})
def test_firmware(name, machine, device, tmp_path):
    image = tmp_path / 'boot.img'
    image.write_bytes(SECTOR.ljust(1 << 20, b'\0'))
    shape = Shape(nodes=2, memory='128M', machine=machine)
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(devices={1: with_image(device, image)})
        console.until(SAYS.decode().strip(), 60)


@pytest.mark.full
@named('pci: two nodes have a disk, of three')
def test_two(tmp_path):
    images = [guests.disk_image(tmp_path / f'{n}.img') for n in (1, 2)]
    boot('pci-two', Shape(nodes=3, memory='256M', machine='q35'), 'disks',
         [r'guest-disks: vda right on all CPUs',
          r'guest-disks: vdb right on all CPUs'], append='quiet',
         modules=guests.DISK_MODULES,
         devices={n: with_image(VIRTIO, image)
                  for n, image in zip((1, 2), images)})


@pytest.mark.full
@named('pci: the guest is reset, and has node 1\'s disk again')
def test_reset(tmp_path):
    image = guests.disk_image(tmp_path / 'disk.img')
    shape = Shape(nodes=2, memory='256M', machine='pc')
    with Cluster(shape, BUILD / 'log' / 'pci-reset') as cluster:
        console = cluster.boot(*[
            a for a in guests.kernel_args('quiet', 'disk',
                                          guests.DISK_MODULES)
            if a != '-no-reboot'], devices={1: with_image(VIRTIO, image)})
        for node in (0, 1):
            console.until('guest-disk: ext4 on /dev/vda', TIMEOUT)
            cluster.qmp(node).execute('system_reset')
        console.until('guest-disk: ext4 on /dev/vda', TIMEOUT)
        console.until('guest-disk: end', TIMEOUT)


@cases('device, why', {
    'pci: refused on node 1: VGA': ('VGA', 'is a VGA device'),
    'pci: refused on node 1: a bridge': ('pci-bridge,chassis_nr=1',
                                         'is a bridge'),
    'pci: refused on node 1: virtual functions': ('igb', 'has SR-IOV'),
    'pci: refused on node 1: virtual functions of NVMe': (
        'nvme,serial=1,sriov_max_vfs=2', 'use sriov_max_vfs=0'),
    'pci: refused on node 1: address translations': (
        'virtio-net-pci,ats=on', 'use ats=off')})
def test_refused(device, why):
    with Cluster(Shape(nodes=2, memory='64M', machine='q35', vmi='qtest'),
                 BUILD / 'log' / 'pci-refused') as cluster:
        process = cluster.start(1, ['-device', device])
        if process.wait(20) != 1:
            raise Problem('node 1 runs')
        text = cluster.log(1).read_text()
        if why not in text or 'node 1' not in text:
            raise Problem(text)
