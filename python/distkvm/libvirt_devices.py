# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of a node as elements of libvirt's domains."""

import itertools
import xml.etree.ElementTree as ET

from .cluster_command import has_console
from .cluster_devices import (CDROM, boot_orders, cdroms, format_of, mac_of,
                              stable_mac)

# Options of QEMU whose values name a network of libvirt's kind "user".
USER_NICS = {'user,model=virtio-net-pci', 'user,model=virtio'}
# First letters of a disk's name, by its bus.
PREFIX = {'virtio': 'vd', 'scsi': 'sd', 'sata': 'sd', 'ide': 'hd'}


def add(parent, tag, text=None, **attributes):
    element = ET.SubElement(parent, tag, {
        key: str(value) for key, value in attributes.items()})
    element.text = None if text is None else str(text)
    return element


def letters(number):
    """a to z, aa, ab: names of disks."""
    text = ''
    number += 1
    while number:
        number, last = divmod(number - 1, 26)
        text = chr(ord('a') + last) + text
    return text


class Disks:
    """The disks of a domain, with names of their own.

    libvirt gives the first disk of each domain without an order the same one,
    and no two of a guest may have it: so all have one."""

    def __init__(self, devices, file):
        self.devices = devices
        self.orders = boot_orders(file)
        self.count = {}

    def add(self, key, path, bus='virtio', kind=None, device='disk', name=None,
            **more):
        """`more`: cache, readonly."""
        block = path.startswith('/dev/')
        element = add(self.devices, 'disk', type='block' if block else 'file',
                      device=device)
        cache = {'cache': more['cache']} if more.get('cache') else {}
        add(element, 'driver', name='qemu', type=kind or format_of(path),
            **cache)
        add(element, 'source', **{'dev' if block else 'file': path})
        prefix = PREFIX[bus]
        if not name:
            counter = self.count.setdefault(prefix, itertools.count())
            name = f'{prefix}{letters(next(counter))}'
        add(element, 'target', dev=name, bus=bus)
        if device == 'cdrom' or more.get('readonly'):
            add(element, 'readonly')
        add(element, 'boot', order=self.orders[key])


def add_interface(devices, file, node, number):
    each = node.interfaces[number]
    element = add(devices, 'interface',
                  type='ethernet' if each.tap else 'user')
    add(element, 'mac', address=mac_of(file, node, number))
    if each.tap:
        # It is there, and vhost cannot work.
        add(element, 'target', dev=each.tap, managed='no')
    add(element, 'model', type=each.model)
    if each.tap and each.model == 'virtio':
        add(element, 'driver', name='qemu')


def own_elements(disks, file):
    """Devices of QEMU arguments that libvirt has elements for; the other
    arguments."""
    guest, images = file.guest, cdroms(file)
    arguments = guest.get('arguments', [])
    rest, number = [], 0
    q35 = 'q35' in guest.get('machine', 'q35')
    while number < len(arguments):
        option, text = (arguments[number:number + 2] + [''])[:2]
        if option == '-nic' and text in USER_NICS:
            element = add(disks.devices, 'interface', type='user')
            add(element, 'mac', address=stable_mac(file, f'argument {number}'))
            add(element, 'model', type='virtio')
            number += 2
        elif option in CDROM and text in images:
            # Where QEMU has it.
            bus, name = ('sata', None) if q35 else ('ide', 'hdc')
            disks.add(('cdrom', text), images[text], bus, 'raw', 'cdrom',
                      name)
            number += 2
        else:
            rest.append(option)
            number += 1
    return rest


def add_console(devices):
    serial = add(devices, 'serial', type='pty')
    add(serial, 'target', port=0)
    console = add(devices, 'console', type='pty')
    add(console, 'target', type='serial', port=0)


def add_screen(devices, file):
    """With a tablet: a viewer's pointer is where the guest's is."""
    if 'graphics' in file.guest:
        add(devices, 'input', type='tablet', bus='usb')
        screen = add(devices, 'graphics', type=file.guest['graphics'],
                     autoport='yes')
        # Against vnc_listen of qemu.conf: there is no password.
        add(screen, 'listen', type='address', address='127.0.0.1')
        add(add(devices, 'video'), 'model', type='vga')


def add_all(devices, file, node):
    """All devices of a node; arguments of node 0 that stay arguments."""
    disks, rest = Disks(devices, file), []
    if node.id == 0:
        for number, path in enumerate(file.guest.get('disks', ())):
            disks.add(('guest', number), path)
        rest = own_elements(disks, file)
    if any(d.bus == 'scsi' for d in node.disks):
        add(devices, 'controller', type='scsi', index=0, model='virtio-scsi')
    for number, each in enumerate(node.disks):
        disks.add((node.id, number), each.file, each.bus, each.format,
                  'cdrom' if each.cdrom else 'disk', cache=each.cache,
                  readonly=each.readonly)
    for number in range(len(node.interfaces)):
        add_interface(devices, file, node, number)
    if node.id == 0:
        if has_console(file.guest):
            add_console(devices)
        add_screen(devices, file)
    return rest
