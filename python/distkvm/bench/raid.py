# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench raid: a RAID-0 of one disk of each node is read in order, and so is
each of its disks alone; the same disks in plain QEMU.

Disks of a test are files in the host's memory: with those it is the host's CPUs
that limit both.  So each disk gets a limit as well, as a real one has."""

import contextlib
import os
import re
import subprocess
import tempfile
from array import array
from pathlib import Path
from statistics import mean, median

from .. import guests
from ..cluster import Cluster, Shape
from ..common import BUILD, QEMU, Problem, say
from ..console import Console

# Of each boot, and of each round in it, where other work has most of the CPUs.
BOOT_SECONDS, ROUND_SECONDS = 300, 300
MIB = 1 << 20
NODES = 3
MEMORY = '256M'
# Of each disk, and what the guest reads of it; behind that is the superblock.
DISK_MIB, READ_MIB = 17, 16
# Of each disk, MiB a second; 0: none.
LIMITS = (8, 32, 0)
WORD_MASK = (1 << 64) - 1
# The guest's names, by node, and of all.
DISKS, ARRAY = ('node0', 'node1', 'node2'), 'md0'
MODULES = ('virtio_pci', 'virtio_blk', 'raid0')
LINE = re.compile(
    r'guest-sequential: /dev/(\w+) cpu (\d+) bytes (\d+) ns (\d+) sum (\w+)')


def kernel(append=''):
    return guests.kernel_args(f'quiet {append}', 'raid', MODULES,
                              programs=['mdadm'])


def disk(image, node, name='d', limit=0):
    """Of a node; the guest knows it by its serial number."""
    throttling = f',throttling.bps-read={limit * MIB}' if limit else ''
    return ['-drive', f'file={image},format=raw,if=none,id={name}{throttling}',
            '-device', f'virtio-blk-pci,drive={name},serial={DISKS[node]}']


def make_images(directory):
    """Files with chance bytes, and sums of what the guest reads of each."""
    images, sums = [], []
    for number in range(NODES):
        image = Path(directory) / f'disk-{number}.img'
        data = os.urandom(READ_MIB * MIB)
        image.write_bytes(data)
        os.truncate(image, DISK_MIB * MIB)
        images.append(image)
        sums.append(sum(array('Q', data)) & WORD_MASK)
    return images, sums


@contextlib.contextmanager
def spread(images, limit, append):
    """One disk on each node."""
    with Cluster(Shape(nodes=NODES, memory=MEMORY),
                 BUILD / 'log' / 'bench-raid') as cluster:
        yield cluster.boot(*kernel(append), *disk(images[0], 0, limit=limit),
                           devices={n: disk(images[n], n, limit=limit)
                                    for n in range(1, NODES)})


@contextlib.contextmanager
def plain(images, limit, append):
    disks = [arg for number, image in enumerate(images)
             for arg in disk(image, number, f'd{number}', limit)]
    process = subprocess.Popen(
        [str(QEMU), '-machine', 'q35', '-m', MEMORY, '-smp', str(NODES),
         '-accel', 'tcg', '-nodefaults', '-display', 'none', '-serial',
         'stdio', *kernel(append), *disks], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE)
    try:
        yield Console(process)
    finally:
        process.kill()
        process.wait()


def listen(console, sums, rounds):
    """MiB a second by CPU and disk; the bytes read must be the images'."""
    console.until('guest-raid: end', BOOT_SECONDS + rounds * ROUND_SECONDS)
    right = {**dict(zip(DISKS, sums)), ARRAY: sum(sums) & WORD_MASK}
    found = {}
    for name, cpu, count, ns, total in LINE.findall(console.text):
        if int(total, 16) != right[name]:
            raise Problem(f'{name} has other bytes than were written')
        found.setdefault(int(cpu), {}).setdefault(name, []).append(
            int(count) / MIB / (int(ns) / 1e9))
    if len(found) != NODES or any(set(f) != set(right) for f in found.values()):
        raise Problem(f'the guest has not read all: {console.text[-300:]}')
    return {cpu: {name: median(rates) for name, rates in by_disk.items()}
            for cpu, by_disk in found.items()}


def alone(rates):
    return [rates[name] for name in DISKS]


def ratio(rates):
    """Of the array, to the disks alone."""
    return rates[ARRAY] / mean(alone(rates))


def show(limit, ours, theirs):
    print(f' disks of {limit} MiB/s each:' if limit else
          ' disks without a limit:')
    for cpu, rates in sorted(ours.items()):
        each = ', '.join(f'{rate:.1f}' for rate in alone(rates))
        print(f'  CPU of node {cpu}: disks of nodes 0 to {NODES - 1} alone '
              f'{each} MiB/s, RAID-0 {rates[ARRAY]:.1f} MiB/s, ratio '
              f'{ratio(rates):.2f}; plain QEMU {ratio(theirs[cpu]):.2f}')


def main(rounds):
    print(f'a RAID-0 of {NODES} disks, one of each node, read in order by 1 '
          'MiB, past the page\ncache, and its disks alone; the middle one of '
          f'{rounds} rounds', flush=True)
    append = f'raid.rounds={rounds} raid.mib={READ_MIB}'
    for limit in LIMITS:
        found = []
        for name, boot in (('the cluster', spread), ('plain QEMU', plain)):
            say(f'booting: {name}, disks of {limit or "any"} MiB/s')
            with tempfile.TemporaryDirectory() as directory:
                images, sums = make_images(directory)
                with boot(images, limit, append) as console:
                    found.append(listen(console, sums, rounds))
        show(limit, *found)
    return 0
