# SPDX-License-Identifier: GPL-2.0-or-later
"""From a cluster file to the command line of each of its nodes."""

from pathlib import Path

from . import cluster_devices
from .cluster import Shape, qemu_command
from .cluster_devices import format_of, value
from .network import key_objects, key_options


class FileNetwork:
    """Addresses and keys of a cluster file; QEMU makes the directory of Unix
    sockets."""

    def __init__(self, file, directory):
        self.file = file
        self.directory = directory

    def peers(self):
        nodes = self.file.nodes
        if self.file.credentials == 'unix':
            return f'unix:{len(nodes)}:{value(self.directory)}'
        return '/'.join(n.address for n in nodes)

    def options(self):
        return key_options(self.file.credentials)

    def objects(self, node):
        keys = self.file.nodes[node].keys
        return key_objects(self.file.credentials, value(keys)) if keys else []


def shape_of(file):
    cluster, guest, nodes = file.cluster, file.guest, file.nodes
    options = ''
    for key in ('transport', 'distance', 'join-timeout', 'dead-after-ms'):
        options += f',{key}={cluster[key]}' if key in cluster else ''
    options += f',cluster={cluster["name"]}' if 'name' in cluster else ''
    options += ',numa=off' if cluster.get('numa') is False else ''
    return Shape(
        nodes=len(nodes), smp=str(sum(n.vcpus for n in nodes)),
        memory=guest['memory'], machine=guest.get('machine', 'q35'),
        cpu=guest.get('cpu'), vmi=','.join(n.vmi for n in nodes),
        vcpus='/'.join(str(n.vcpus) for n in nodes),
        mem='/'.join(n.memory for n in nodes) if nodes[0].memory else None,
        options=options, sandbox=True,
        own_options=[f',cap={n.cap}' if n.cap else '' for n in nodes])


# Arguments that give the guest a serial console of their own.
SERIAL = {'-serial', '--serial', '-nographic', '--nographic'}
CONSOLE = 'console'
# A socket for viewers of the guest's screen.
SCREEN = 'vnc'


def has_console(guest):
    """Whether the guest's first serial port is the socket CONSOLE."""
    return not SERIAL & set(guest.get('arguments', []))


def console_args(run_dir):
    """A socket, and a file that keeps words said while nobody is there; to its
    end, so that it may be emptied at any time."""
    path = value(Path(run_dir) / CONSOLE)
    return ['-chardev', f'socket,id={CONSOLE},path={path},server=on,'
            f'wait=off,logfile={path}.log,logappend=on',
            '-serial', f'chardev:{CONSOLE}']


def board(guest, run_dir):
    """Arguments of node 0 for devices that are the guest's."""
    args = ['-nodefaults', '-display', 'none']
    args += console_args(run_dir) if has_console(guest) else []
    for disk in guest.get('disks', []):
        args += ['-drive', f'file={value(disk)},format={format_of(disk)},'
                 'if=virtio']
    if 'graphics' in guest:
        # A tablet: a viewer's pointer is where the guest's is.
        args += ['-vnc', f'unix:{value(Path(run_dir) / SCREEN)}',
                 '-device', 'VGA', '-device', 'qemu-xhci,id=usb',
                 '-device', 'usb-tablet,bus=usb.0']
    if 'firmware' in guest:
        args += ['-drive', f'if=pflash,unit=0,format=raw,readonly=on,'
                 f'file={value(guest["firmware"])}']
    for key in ('kernel', 'initrd', 'append'):
        args += [f'-{key}', guest[key]] if key in guest else []
    return args


def command(file, node, run_dir):
    """QEMU's command line of a node; its sockets are in `run_dir`."""
    network = FileNetwork(file, Path(run_dir) / 'net')
    args = qemu_command(shape_of(file), network, node,
                        value(Path(run_dir) / f'qmp-{node}'))
    args[0] = file.nodes[node].qemu
    args += [] if node else board(file.guest, run_dir)
    args += cluster_devices.arguments(file, file.nodes[node])
    return args if node else args + file.guest.get('arguments', [])
