# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks and interfaces of the nodes of a cluster file.

Each is a PCI device of its node, and the guest finds it in its one PCI tree.
arguments() makes QEMU's arguments of them, and libvirt_devices.py libvirt's
elements.  Both give an interface the same address."""

import hashlib
import itertools
import re
from dataclasses import dataclass

FORMATS = ('raw', 'qcow2')
BUSES = ('virtio', 'scsi')
CACHES = ('none', 'writeback', 'writethrough', 'directsync', 'unsafe')
# By our names: QEMU's.
MODELS = {'virtio': 'virtio-net-pci', 'e1000e': 'e1000e'}
# An address of one station: its first byte is even.
MAC = re.compile(r'[\da-f][02468ace](:[\da-f]{2}){5}', re.A | re.I)
# Of Linux, for any interface.
TAP = re.compile(r'[A-Za-z0-9][\w.-]{0,14}', re.A)
# As hw/vpci-cluster has it.
SLOTS_MAX = 31
# Places in the order in which firmware tries disks, for disks with `boot`, and
# for the others of each node.
ORDERS = 1000
# Options of QEMU for a CD of node 0.
CDROM = {'-cdrom', '--cdrom'}


@dataclass
class Disk:
    file: str
    format: str = None
    bus: str = None
    cache: str = None
    readonly: bool = False
    cdrom: bool = False
    # Among all disks of the guest, from 1.
    boot: int = None

    def __post_init__(self):
        self.format = self.format or format_of(self.file)
        self.bus = self.bus or ('scsi' if self.cdrom else 'virtio')
        self.readonly = self.readonly or self.cdrom


@dataclass
class Interface:
    model: str = 'virtio'
    mac: str = None
    # An interface of the host; without one the guest gets QEMU's own network.
    tap: str = None


def format_of(path):
    return 'qcow2' if path.endswith('.qcow2') else 'raw'


def identity(file):
    """A text that is the same at each use of a file."""
    return file.cluster.get('name') or str(file.path.resolve())


def stable_mac(file, text):
    """An address for an interface: QEMU gives those of two processes the
    same, and libvirt gives others at each define."""
    digest = hashlib.sha256(f'{identity(file)} {text}'.encode()).hexdigest()
    return '52:54:00:' + ':'.join(digest[n:n + 2] for n in (0, 2, 4))


def mac_of(file, node, number):
    """The address of a node's interface."""
    return node.interfaces[number].mac or \
        stable_mac(file, f'{node.id} {number}')


def tap_options(name):
    return f'tap,ifname={name},script=no,downscript=no'


# ------------------------------------------------------------------ checks

def name_of(place):
    table, number, key = place
    return f'{table}[{number}].{key}' if '[' in table else f'{table}.{key}'


class Once:
    """Things that one device only can have; `shared` ones several, if all
    share them."""

    def __init__(self, reader):
        self.reader = reader
        self.seen = {}

    def add(self, place, key, name, remedy='write another', shared=False):
        before, was_shared = self.seen.setdefault(key, (place, shared))
        if before != place and not (shared and was_shared):
            self.reader.error(place, f'{name} is that of {name_of(before)}, '
                              'too', remedy)


def check_disk(reader, place, disk):
    """A disk alone."""
    if 'file' not in disk and (*place, 'file') not in reader.wrong:
        reader.error((*place, 'file'), 'is missing', 'write file = "DISK"')
    if disk.get('cdrom') and disk.get('bus') == 'virtio':
        reader.error((*place, 'bus'), 'a CD cannot be on "virtio"',
                     'write "scsi" or leave it out')
    if disk.get('cdrom') and disk.get('readonly') is False:
        reader.error((*place, 'readonly'), 'nothing writes a CD',
                     'leave it out')


def check(reader, guest, nodes):
    """Errors of the devices of all nodes, which have passed the schema; paths
    are whole."""
    files, boots, macs, taps = (Once(reader) for _ in range(4))
    for number, node in enumerate(nodes):
        host = node.get('host', 'local')
        for path in guest.get('disks', ()) if node.get('id') == 0 else ():
            # One list names all of them.
            place = ('guest', 0, 'disks')
            files.add(place, (host, path), repr(path))
        for n, disk in enumerate(node['disk']):
            place = (f'node[{number}].disk', n)
            check_disk(reader, place, disk)
            if 'file' in disk:
                files.add((*place, 'file'), (host, disk['file']),
                          repr(disk['file']), 'write another, or readonly = '
                          'true for all',
                          bool(disk.get('cdrom') or disk.get('readonly')))
            if 'boot' in disk:
                boots.add((*place, 'boot'), disk['boot'], disk['boot'])
        for n, each in enumerate(node['interface']):
            place = (f'node[{number}].interface', n)
            if 'mac' in each:
                macs.add((*place, 'mac'), each['mac'].lower(), each['mac'])
            if 'tap' in each:
                taps.add((*place, 'tap'), (host, each['tap']), each['tap'])
        check_slots(reader, number, node)


def check_slots(reader, number, node):
    disks = node['disk']
    scsi = any(d.get('bus') == 'scsi' or d.get('cdrom') for d in disks)
    count = len(node['interface']) + scsi + sum(
        d.get('bus') != 'scsi' and not d.get('cdrom') for d in disks)
    if count > SLOTS_MAX:
        key = 'disk' if disks else 'interface'
        reader.error(('node', number, key), f'{count} PCI devices are too '
                     f'many for one node', f'give it at most {SLOTS_MAX}, or '
                     'write bus = "scsi" for its disks')


# ------------------------------------------------------------- boot order

def cdroms(file):
    """Paths in -cdrom of node 0's arguments, by the arguments' values; QEMU
    has the file's directory, on this host."""
    here = file.path.resolve().parent
    arguments = file.guest.get('arguments', [])
    found = {text: str(here / text) for option, text in
             zip(arguments, arguments[1:]) if option in CDROM and (
                 file.nodes[0].host == 'local' or text.startswith('/'))}
    return found


def boot_orders(file):
    """From 1, by ('guest', number of a disk), ('cdrom', text of the argument)
    and (id of a node, number of its disk).

    Disks with `boot` come first, then all others: node 0's, and of each node
    as the file has them.  Numbers of one node's disks do not follow from
    another's: its domain would have to be defined again with the other's."""
    found = {}
    for node in file.nodes:
        keys = [(node.id, n) for n in range(len(node.disks))]
        if node.id == 0:
            keys = [*(('guest', n) for n in
                      range(len(file.guest.get('disks', ())))), *keys,
                    *(('cdrom', text) for text in cdroms(file))]
        found.update(zip(keys, itertools.count((node.id + 1) * ORDERS)))
        found.update(((node.id, n), disk.boot)
                     for n, disk in enumerate(node.disks) if disk.boot)
    return found


# ---------------------------------------------------------------- arguments

def value(text):
    """A value among options of QEMU, where a comma ends it unless doubled."""
    return str(text).replace(',', ',,')


def disk_arguments(disk, number):
    drive = f'file={value(disk.file)},format={disk.format},if=none,' \
        f'id=drive{number}'
    drive += ',readonly=on' if disk.readonly else ''
    drive += f',cache={disk.cache}' if disk.cache else ''
    device = {'virtio': 'virtio-blk-pci',
              'scsi': 'scsi-cd,bus=scsi.0' if disk.cdrom else
                      'scsi-hd,bus=scsi.0'}[disk.bus]
    device += f',drive=drive{number},id=disk{number}'
    device += f',bootindex={disk.boot}' if disk.boot else ''
    return ['-drive', drive, '-device', device]


def arguments(file, node):
    """QEMU's, for the disks and interfaces of a node."""
    args = []
    if any(d.bus == 'scsi' for d in node.disks):
        args += ['-device', 'virtio-scsi-pci,id=scsi']
    for number, disk in enumerate(node.disks):
        args += disk_arguments(disk, number)
    for number, each in enumerate(node.interfaces):
        kind = tap_options(each.tap) if each.tap else 'user'
        args += ['-netdev', f'{kind},id=net{number}', '-device',
                 f'{MODELS[each.model]},netdev=net{number},id=nic{number},'
                 f'mac={mac_of(file, node, number)}']
    return args
