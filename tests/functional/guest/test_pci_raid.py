# SPDX-License-Identifier: GPL-2.0-or-later
"""A RAID-0 of one disk of each of three nodes."""

import hashlib
import re

import pytest

from distkvm.bench import raid
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.guests.checks import TIMEOUT, check_console
from naming import named

CHUNK = 64 << 10
DISK_MIB = 2


def content(images, size):
    """What an array has whose superblocks are at the ends of its disks."""
    files = [image.open('rb') for image in images]
    return b''.join(files[number % len(files)].read(CHUNK)
                    for number in range(size // CHUNK))


@pytest.mark.full
@named('pci: a RAID-0 of disks of three nodes')
def test_raid(tmp_path, note):
    """Each CPU writes it, each reads all, and each image has its third."""
    images = [tmp_path / f'{n}.img' for n in range(raid.NODES)]
    for image in images:
        image.write_bytes(bytes(DISK_MIB << 20))
    shape = Shape(nodes=raid.NODES, memory=raid.MEMORY)
    with Cluster(shape, BUILD / 'log' / 'pci-raid') as cluster:
        console = cluster.boot(*raid.kernel(), *raid.disk(images[0], 0),
                               devices={n: raid.disk(images[n], n)
                                        for n in range(1, raid.NODES)})
        console.until('guest-init: up', TIMEOUT)
        console.drain()
        (cluster.log_dir / 'console.log').write_text(console.text)
        statuses = cluster.wait(20)
        check_console(console.text, shape)
    if any(statuses) or 'guest-raid: right on all CPUs' not in console.text:
        raise Problem(f'nodes ended with {statuses}: {console.text[-500:]}')
    size = int(re.search(r'guest-raid: 3 disks, (\d+) bytes',
                         console.text).group(1))
    wanted = hashlib.sha256(content(images, size)).hexdigest()
    sums = re.findall(r'CPU \d reads (\w+)', console.text)
    if sums != [wanted] * raid.NODES:
        raise Problem(f'the images have {wanted}, and CPUs read {sums}')
    note(f'{size >> 10} KiB in the images, as all CPUs read them')
