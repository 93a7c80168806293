# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt domains of a cluster file, one for each node.

libvirt gives QEMU a machine, memory, CPUs and the devices of node 0.  It knows
no -accel distkvm: that goes through <qemu:commandline>, and wins over the
accelerator that libvirt names."""

import uuid
import xml.etree.ElementTree as ET

from . import libvirt_devices
from .cluster import qemu_command
from .cluster_command import FileNetwork, shape_of
from .cluster_devices import identity
from .cluster_file import FileErrors
from .common import parse_size
from .libvirt_devices import add

QEMU_SCHEMA = 'http://libvirt.org/schemas/domain/qemu/1.0'
# libvirt's QEMUs run as a user who may make directories here.
SOCKETS = '/var/lib/libvirt/qemu'
# A domain has the same UUID whenever its file is read, so that "virsh define"
# replaces it.
NAMESPACE = uuid.UUID('5f1a52de-4b0f-4c9e-8b43-6d6973746b76')
KIB, MIB = 1 << 10, 1 << 20
# With xAPIC ids alone.
VCPUS_MAX = 255

ET.register_namespace('qemu', QEMU_SCHEMA)


def name_of(file):
    return file.cluster.get('name') or file.path.stem


def check(file):
    """FileErrors for a guest that libvirt would not start as it is."""
    errors = []
    if parse_size(file.guest['memory']) % MIB:
        # libvirt rounds it up, and shares of nodes would not sum up.
        errors.append((('guest', 0, 'memory'), 'libvirt gives whole MiB only',
                       'write a number and M, or G'))
    vcpus = sum(n.vcpus for n in file.nodes)
    if vcpus > VCPUS_MAX:
        errors.append((('guest', 0, None), f'libvirt asks for an element '
                       f'<iommu> for {vcpus} vCPUs, which is not written '
                       'here', f'give at most {VCPUS_MAX}'))
    if errors:
        raise FileErrors([file.error(*error) for error in errors])


def uuid_of(file, node):
    """Of a domain; another one for a file without a name at another path, so
    that libvirt refuses a second domain of one name."""
    name = f'{name_of(file)}-{node.id}'
    if 'name' not in file.cluster:
        name = f'{identity(file)} {name}'
    return uuid.uuid5(NAMESPACE, name)


def operating_system(root, file, boot):
    guest, system = file.guest, add(root, 'os')
    add(system, 'type', 'hvm', arch='x86_64',
        machine=guest.get('machine', 'q35'))
    if not boot:
        return
    if 'firmware' in guest:
        # cluster_command.devices() gives it no variables either.
        add(system, 'loader', guest['firmware'], readonly='yes',
            type='pflash', stateless='yes')
    for key, tag in (('kernel', 'kernel'), ('initrd', 'initrd'),
                     ('append', 'cmdline')):
        if key in guest:
            add(system, tag, guest[key])


def commandline(root, file, node, sockets, rest):
    """Arguments that libvirt has no elements for."""
    network = FileNetwork(file, sockets)
    command = qemu_command(shape_of(file), network, node.id, '')
    args = [*network.objects(node.id), '-accel',
            command[command.index('-accel') + 1]]
    # libvirt's own <cpu> has other names for some features.
    args += ['-cpu', file.guest['cpu']] if 'cpu' in file.guest else []
    element = add(root, f'{{{QEMU_SCHEMA}}}commandline')
    for arg in args + rest:
        add(element, f'{{{QEMU_SCHEMA}}}arg', value=arg)


def domain(file, node, sockets=None):
    """The domain of a node, as XML."""
    check(file)
    boot = node.id == 0
    name = name_of(file)
    root = ET.Element('domain', type='kvm' if node.vmi == 'kvm' else 'qemu')
    add(root, 'name', f'{name}-{node.id}')
    add(root, 'uuid', uuid_of(file, node))
    add(root, 'memory', parse_size(file.guest['memory']) // KIB, unit='KiB')
    add(root, 'vcpu', sum(n.vcpus for n in file.nodes))
    operating_system(root, file, boot)
    add(add(root, 'features'), 'acpi')
    # After a loss: libvirt's default would end nodes that can be asked why.
    add(root, 'on_crash', 'preserve')
    devices = add(root, 'devices')
    add(devices, 'emulator', node.qemu)
    # A follower's controllers are the guest's, too.
    screen = boot and 'graphics' in file.guest
    add(devices, 'controller', type='usb',
        model='qemu-xhci' if screen else 'none')
    rest = libvirt_devices.add_all(devices, file, node)
    add(devices, 'memballoon', model='none')
    commandline(root, file, node, sockets or f'{SOCKETS}/distkvm-{name}',
                rest)
    ET.indent(root)
    return ET.tostring(root, encoding='unicode') + '\n'
