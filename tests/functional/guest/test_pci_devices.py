# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of three nodes in one guest, each used from the CPUs of all nodes."""

import re

import pytest

from distkvm.cluster import Shape
from distkvm.common import BUILD, Problem
from distkvm.guests.checks import boot, check_parts
from distkvm.guests.firmware import ovmf
from distkvm.work import devices
from naming import cases

NODES = 3
# Of a disk; each has its own, by which the guest knows it.
DISK_BYTES, STEP_BYTES = 12 << 20, 64 << 10

# By name: the guest's driver of the controller, its modules, and options; d is
# the disk.
DISKS = {
    'virtio-blk': ('virtio-pci', ['virtio_pci', 'virtio_blk'],
                   ['-device', 'virtio-blk-pci,drive={d}']),
    'nvme': ('nvme', ['nvme'], ['-device', 'nvme,serial={d},drive={d}']),
    'lsi': ('sym53c8xx', ['sym53c8xx', 'sd_mod'], [
        '-device', 'lsi53c895a,id=c{d}', '-device',
        'scsi-hd,drive={d},bus=c{d}.0']),
    'ahci': ('ahci', ['ahci', 'sd_mod'], [
        '-device', 'ahci,id=c{d}', '-device', 'ide-hd,drive={d},bus=c{d}.0']),
    'megasas': ('megaraid_sas', ['megaraid_sas', 'sd_mod'], [
        '-device', 'megasas,id=c{d}', '-device', 'scsi-hd,drive={d},bus=c{d}.0']),
    'usb': ('xhci_hcd', ['xhci_pci', 'usb_storage', 'sd_mod'], [
        '-device', 'qemu-xhci,id=c{d}', '-device',
        'usb-storage,drive={d},bus=c{d}.0']),
}
NICS = {'e1000e': ('e1000e', ['e1000e']),
        'virtio-net-pci': ('virtio-pci', ['virtio_pci', 'virtio_net'])}
# By node.  Those without MSI are for pc: docs/limits.rst.
PC = (['virtio-blk', 'virtio-net-pci'], ['nvme', 'lsi'], ['e1000e'])
Q35 = (['e1000e'], ['nvme', 'megasas', 'usb'], ['virtio-net-pci', 'ahci'])
# All devices that a machine can have on followers; node 0's disks are the
# system's.
PC_FULL = (['virtio-net-pci'], ['nvme', 'lsi', 'usb', 'virtio-blk'],
           ['e1000e', 'ahci', 'megasas'])
Q35_FULL = (['e1000e'], ['megasas', 'usb'],
            ['virtio-net-pci', 'ahci', 'virtio-blk'])
# On pc, which has four lines for all of them, with the kernel's option.  Linux's
# megaraid_sas does not share its line then, with plain QEMU neither.
NO_MSI = 'pci=nomsi'
# On the root bus, of these nodes' bridges.
NODE_1, NODE_2 = 0x1f, 0x1e
LINES = (['virtio-net-pci'], ['nvme', 'lsi'], ['e1000e', 'ahci'])
# One CPU finds all devices, each of which has queues for those that come.
CPUS = 'guest.cpus=script'
# Words of the kernel about a device that does not do as it should.  Not those
# about time: a machine under load takes some.
TROUBLE = re.compile(
    r'\[ *\d+\.\d+\] .*(I/O error|nobody cared|No irq handler)')


def disk(name, path, number):
    """A disk's options; its size is its own."""
    with open(path, 'wb') as file:
        file.truncate(DISK_BYTES + number * STEP_BYTES)
    drive = f'd{number}'
    return ['-drive', f'file={path},format=raw,if=none,id={drive}',
            *(a.format(d=drive) for a in DISKS[name][2])]


def interface(name, folder, number):
    """One of two ends, from 0, of a cable."""
    return ['-netdev', 'dgram,id=n,'
            f'local.type=unix,local.path={folder}/end-{number},'
            f'remote.type=unix,remote.path={folder}/end-{1 - number}',
            '-device', f'{name},netdev=n,mac=52:54:00:00:00:0{number}']


class Devices:
    """Options of each node, and what the guest needs for them."""

    def __init__(self, nodes, folder):
        self.args = {}
        self.images = []
        self.modules = []
        # Drivers that the guest must find, by node.
        self.drivers = []
        ends = 0
        for node, names in enumerate(nodes):
            self.args[node] = []
            for name in names:
                driver, modules, *_ = DISKS.get(name) or NICS[name]
                self.modules += modules
                self.drivers.append((node, driver))
                if name in NICS:
                    self.args[node] += interface(name, folder, ends)
                    ends += 1
                    continue
                path = folder / f'{node}-{name}.img'
                self.args[node] += disk(name, path, len(self.images))
                self.images.append(path)

    def check(self, text, numa):
        """The guest has found all, of the right nodes, used all from all
        CPUs, and complained of nothing."""
        found = [(driver, int(node)) for driver, node in re.findall(
            r'guest-devices: \S+ is \S+ (\S+) node (-?\d+)', text)]
        wanted = [driver for _, driver in self.drivers]
        if sorted(driver for driver, _ in found) != sorted(wanted):
            raise Problem(f'the guest has {found}, and not {wanted}')
        if numa:
            for node, driver in self.drivers:
                if node and (driver, node) not in found:
                    raise Problem(f'{driver} is not near node {node}: {found}')
        for words, count in (('is clean on CPU', len(self.images)),
                             ('all disks right on all CPUs', 1),
                             ('answered on CPU', NODES),
                             (r'a file sent on CPU \d is right', NODES)):
            if len(re.findall(words, text)) != count or 'WRONG' in text:
                raise Problem(f"not {count} times '{words}'")
        trouble = TROUBLE.search(text)
        if trouble:
            raise Problem(f'the guest says: {trouble.group(0)}')


def pirqs(text, bridge):
    """Inputs of pc's interrupt router that functions behind a bridge have: they
    raise pin A, and each slot on the way turns pins by its number."""
    bus = re.search(rf'pci 0000:00:{bridge:02x}.0: PCI bridge to .bus (..)', text)
    return {(int(slot, 16) + bridge) % 4 for slot in re.findall(
        rf'guest-devices: \S+ is 0000:{bus.group(1)}:(..)\.0', text)}


def check_lines(text):
    """Nobody uses MSI, a device of node 1 shares its line with one of node 2, and
    few interrupts are of neither: a line that was lowered may be seen for a moment."""
    if 'PCI-MSI' in text:
        raise Problem('the guest uses MSI')
    if not pirqs(text, NODE_1) & pirqs(text, NODE_2):
        raise Problem('no input of the interrupt router is of two nodes')
    unhandled = dict(re.findall(r'/proc/irq/(\d+)/spurious:unhandled (\d+)', text))
    lines = re.findall(r'^ *(\d+):([ \d]+)IO-APIC +\d+-fasteoi +.*ahci', text, re.M)
    for number, counts in lines:
        if int(unhandled[number]) * 10 > sum(int(n) for n in counts.split()):
            raise Problem(f'{unhandled[number]} of {counts} interrupts of line '
                          f'{number} were of no device')
    if not lines:
        raise Problem('no line has interrupts of AHCI')


@cases('name, machine, nodes, firmware, append', {
    'pci: devices of three nodes from all CPUs, pc': (
        'pci-devices-pc', 'pc', PC, 'SeaBIOS', ''),
    'pci: devices of three nodes from all CPUs, q35': (
        'pci-devices-q35', 'q35', Q35, 'SeaBIOS', '')}, {
    'pci: devices of three nodes from all CPUs, q35 with OVMF': (
        'pci-devices-ovmf', 'q35', Q35, 'OVMF', ''),
    'pci: devices of three nodes by interrupt lines alone': (
        'pci-devices-lines', 'pc', LINES, 'SeaBIOS', NO_MSI)})
def test_devices(name, machine, nodes, firmware, append, tmp_path, note):
    found = Devices(nodes, tmp_path)
    text = boot(name, Shape(nodes=NODES, memory='256M', machine=machine),
                'devices', ['guest-devices: end'],
                append=f'quiet devices.disks={len(found.images)} {CPUS} {append}',
                modules=sorted(set(found.modules)),
                extra=[*(ovmf(tmp_path) if firmware == 'OVMF' else ()),
                       *found.args.pop(0)],
                devices=found.args, programs=('mke2fs', 'e2fsck'),
                # OVMF starts no unpacked kernel.
                quick=firmware == 'SeaBIOS')
    found.check(text, machine == 'q35')
    if append == NO_MSI:
        check_lines(text)
    for image in found.images:
        check_parts(image, NODES)
    note(f'{len(found.drivers)} devices, {len(found.images)} images right')


@cases('name, machine, nodes, firmware', {}, {
    f'pci: programs use devices of three nodes, {machine} with {firmware}': (
        f'pci-programs-{machine}-{firmware.lower()}', machine, nodes, firmware)
    for machine, nodes in (('pc', PC_FULL), ('q35', Q35_FULL))
    for firmware in ('SeaBIOS', 'OVMF')})
@pytest.mark.timeout(1800)
def test_programs(name, machine, nodes, firmware, tmp_path, note):
    """fio, file systems and iperf3, in a Debian system whose disk is a virtio
    disk of node 0 on pc, and an NVMe disk of node 1 on q35."""
    found = Devices(nodes, tmp_path)
    if firmware == 'OVMF':
        found.args[0] += ovmf(tmp_path)
    with devices.Devices(BUILD / 'log' / name, machine, found.args,
                         (*sorted(set(found.modules)), 'nvme'),
                         nvme=machine == 'q35') as guest:
        values = guest.hold(devices.DEVICES)
        guest.finish()
    if values['systems'] < len(found.images):
        raise Problem(f'{values}: not all of {len(found.images)} disks')
    note(f"{len(found.drivers)} devices, {values['mib']:.0f} MiB read back, "
         f"{values['systems']:.0f} file systems, Mbit/s "
         f"{', '.join(f'{values[v]:.0f}' for v in values if 'mbit' in v)}")
