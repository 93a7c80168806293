# SPDX-License-Identifier: GPL-2.0-or-later
"""From a cluster file to the command line of each of its nodes."""

from pathlib import Path

from .cluster import Shape, qemu_command
from .network import key_objects, key_options


def value(text):
    """A value among options of QEMU, where a comma ends it unless doubled."""
    return str(text).replace(',', ',,')


class FileNetwork:
    """Addresses and keys of a cluster file; QEMU makes the directory of Unix
    sockets."""

    def __init__(self, file, run_dir):
        self.file = file
        self.directory = Path(run_dir) / 'net'

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


def devices(guest):
    """Arguments of node 0: it has all devices of the guest."""
    args = ['-nodefaults', '-display', 'none']
    for disk in guest.get('disks', []):
        kind = 'qcow2' if disk.endswith('.qcow2') else 'raw'
        args += ['-drive', f'file={value(disk)},format={kind},if=virtio']
    if 'firmware' in guest:
        args += ['-drive', f'if=pflash,unit=0,format=raw,readonly=on,'
                 f'file={value(guest["firmware"])}']
    for key in ('kernel', 'initrd', 'append'):
        args += [f'-{key}', guest[key]] if key in guest else []
    return args + guest.get('arguments', [])


def command(file, node, run_dir):
    """QEMU's command line of a node; its sockets are in `run_dir`."""
    args = qemu_command(shape_of(file), FileNetwork(file, run_dir), node,
                        value(Path(run_dir) / f'qmp-{node}'))
    return args if node else args + devices(file.guest)
