# SPDX-License-Identifier: GPL-2.0-or-later
"""A guest of three nodes whose programs use devices of all of them."""

import os

from . import image
from .verify import Unpacked
from .workloads import ANY, Workload

NODES = 3
# Of the first virtio disk, where that is not the system's.
FIRST_BYTES = 16 << 20
# With seconds, so that the guest gives signs of life.
DEVICES = Workload('devices', 'devices', ANY, 'fio, file systems, iperf3',
                   ('mib', 'systems', *(f'mbit{n}' for n in range(NODES))), 1)


class Devices(Unpacked):
    """`args`: of each node.  The disk of the system is node 0's, or with `nvme`
    an NVMe disk of node 1."""

    def __init__(self, log_dir, machine, args, modules, nvme=False):
        super().__init__(log_dir, NODES, every=self.own, machine=machine)
        self.node_args = args
        self.modules = modules
        self.nvme = nvme
        if nvme:
            self.append += ' root.disk=nvme0n1'

    def own(self, node):
        disk = self.log_dir / 'disk.img'
        root = ['-drive', f'file={disk},format=raw,if=none,id=root', '-device',
                'nvme,serial=root,drive=root'] if self.nvme and node == 1 else []
        return [*root, *self.node_args.get(node, ())]

    def args(self):
        """The second virtio disk has the scripts, in any guest of this kind."""
        drives = self.drives()
        if self.nvme:
            first = self.log_dir / 'vda.img'
            first.write_bytes(b'')
            os.truncate(first, FIRST_BYTES)
            drives[:2] = ['-drive', f'file={first},format=raw,if=virtio']
        return ['-nodefaults', '-display', 'none', '-serial', 'stdio', *drives,
                *image.initramfs_args(self.append, self.modules)]
