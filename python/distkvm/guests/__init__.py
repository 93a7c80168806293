# SPDX-License-Identifier: GPL-2.0-or-later
"""Parts of guests: Debian's kernels, a small initramfs, disks."""

from ..common import GUEST
from .disk import DISK_MODULES, disk_image
from .initramfs import (boot_sector, guest_program, initramfs, kernel_args,
                        quick_args, tiny_guest)
from .kernel import COMPLAINTS, one_at_a_time, unpacked, vmlinuz

__all__ = ['COMPLAINTS', 'DISK_MODULES', 'GUEST', 'boot_sector',
           'disk_image', 'guest_program', 'initramfs', 'kernel_args',
           'one_at_a_time', 'quick_args', 'tiny_guest', 'unpacked', 'vmlinuz']
