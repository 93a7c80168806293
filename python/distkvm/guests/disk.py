# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock guests: their disks."""

from pathlib import Path

from ..common import quiet

# Modules of the stock kernel; what they depend on comes with them.
DISK_MODULES = ['virtio_pci', 'virtio_blk', 'sd_mod', 'ahci',
                'crc32c_generic', 'ext4']


def disk_image(path, megabytes=64):
    """An ext4 image, made without mounting anything."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)
    quiet(['mke2fs', '-q', '-t', 'ext4', path, f'{megabytes}M'])
    return path
