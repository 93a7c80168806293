# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks: what each CPU writes, others read, and it is in the image."""

import re

from distkvm import guests
from distkvm.cluster import Shape
from distkvm.common import Problem
from distkvm.guests.checks import boot, check_disk
from naming import cases

VIRTIO = ['-drive', 'file=IMAGE,format=raw,if=none,id=d,cache=none',
          '-device', 'virtio-blk-pci,drive=d']
AHCI = ['-drive', 'file=IMAGE,format=raw,if=none,id=d',
        '-device', 'ide-hd,drive=d,bus=ide.0']


@cases('name, drive', {
    'guest: virtio disk, cache=none': ('disk-virtio', VIRTIO)}, {
    'guest: AHCI disk': ('disk-ahci', AHCI)})
def test_disk(name, drive, tmp_path, note):
    image = guests.disk_image(tmp_path / 'disk.img')
    text = boot(name, Shape(nodes=2, memory='256M'), 'disk',
                ['guest-disk: ext4 on /dev/.da', 'guest-disk: end'],
                append='quiet', modules=guests.DISK_MODULES, quick=True,
                extra=[a.replace('IMAGE', str(image)) for a in drive])
    right = len(re.findall('is right on CPU', text))
    if 'WRONG' in text or right != 2:
        raise Problem('a file read on another CPU differs')
    check_disk(image, right)
    note(f'{right} files, image clean')
