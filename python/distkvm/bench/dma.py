# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench dma: a disk, used by programs on node 1's CPU and on node 0's,
alternating in one boot; the disk is node 0's, and then node 1's; the same under
plain QEMU."""

import contextlib
import itertools
import re
import subprocess
import tempfile
import time
from array import array
from pathlib import Path
from statistics import median

from .. import guests
from ..cluster import Cluster, Shape
from ..common import BUILD, QEMU, Problem, say
from ..console import Console

TIMEOUT = 600
MIB = 1 << 20
# As tests/guest/check-dma-bench.c has it.
LARGE = 8
WORD_MASK = (1 << 64) - 1
FIGURES = ('read', 'write', 'random')
NAMES = ('read 1 MiB', 'dirty and write 1 MiB', 'read 4 KiB at random')
CPUS = (1, 0)
# The guest's clock and the host's may differ so much.
CLOCKS_DIFFER = 0.05
CLOCKS_DIFFER_SECONDS = 2


def make_image(path):
    """Words that are not 0, to be read; behind them room to write."""
    words = array('Q', ((n * 0x9e3779b97f4a7c15 + 1) & WORD_MASK
                        for n in range(LARGE * MIB // 8)))
    path.write_bytes(words.tobytes() + bytes(LARGE * MIB))
    return sum(words) & WORD_MASK


def kernel(rounds):
    return guests.kernel_args(f'quiet dma.rounds={rounds}', 'dma-bench',
                              ['virtio_pci', 'virtio_blk'])


def disk(image):
    return ['-drive', f'file={image},format=raw,if=none,id=d,cache=none',
            '-device', 'virtio-blk-pci,drive=d']


def listen(console, total):
    """Times in us, by CPU and figure; the bytes read must be the image's, and
    the guest's clock must agree with the host's."""
    console.until('guest-dma-bench: begins', TIMEOUT)
    started = time.monotonic()
    took = int(console.until(r'guest-dma-bench: took (\d+) ns',
                             TIMEOUT).group(1)) / 1e9
    real = time.monotonic() - started
    if abs(took - real) > max(CLOCKS_DIFFER_SECONDS, CLOCKS_DIFFER * real):
        raise Problem(f"the guest's clock has counted {took:.1f} s, and the "
                      f"host's {real:.1f} s")
    found = {cpu: {name: [] for name in FIGURES} for cpu in CPUS}
    for line in re.finditer(
            r'guest-dma-bench: round (\d+) cpu (\d+) read (\d+) write (\d+) '
            r'random (\d+) sum (\w+)', console.text):
        number, cpu, *times = map(int, line.groups()[:-1])
        if int(line.group(6), 16) != total:
            raise Problem(f'other bytes were read: {line.group(0)}')
        if number:
            for name, ns in zip(FIGURES, times):
                found[cpu][name].append(ns / 1000)
    return found


@contextlib.contextmanager
def plain(args):
    process = subprocess.Popen(
        [str(QEMU), '-machine', 'q35', '-m', '256M', '-smp', '2', '-accel',
         'tcg', '-nodefaults', '-display', 'none', '-serial', 'stdio', *args],
        stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        yield Console(process)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def spread(args, image, owner, policy):
    shape = Shape(nodes=2, memory='256M', options=f',dma-policy={policy}')
    own = disk(image) if owner == 0 else []
    with Cluster(shape, BUILD / 'log' / f'bench-dma-{owner}-{policy}') \
            as cluster:
        yield cluster.boot(*args, *own,
                           devices={1: disk(image)} if owner == 1 else {})


def show(found, reference, owner=0):
    """The middle of all rounds, and ratios of speed: 1 is as fast."""
    for name, what in zip(FIGURES, NAMES):
        took = {cpu: median(found[cpu][name]) for cpu in CPUS}
        text = f'  {what}: node 1 {took[1]:.0f} us, node 0 {took[0]:.0f} us, ' \
               f'ratio {took[owner] / took[1 - owner]:.2f}'
        if reference:
            theirs = {cpu: median(reference[cpu][name]) for cpu in CPUS}
            text += f'; of plain QEMU {theirs[1] / took[1]:.2f} and ' \
                    f'{theirs[0] / took[0]:.2f}'
        print(text, flush=True)


def main(rounds):
    print(f'a disk, {rounds} rounds that alternate between the CPUs, the middle '
          "one; depth 1;\nratio: speed on the other node's CPU to that on the "
          "disk's own node's", flush=True)
    with tempfile.TemporaryDirectory() as directory:
        image = Path(directory) / 'disk.img'
        total = make_image(image)
        args = kernel(rounds)
        say('booting: plain QEMU')
        with plain([*args, *disk(image)]) as console:
            reference = listen(console, total)
        print(' plain QEMU, CPU 1 and CPU 0:')
        show(reference, None)
        for owner, policy in itertools.product((0, 1), ('auto', 'faults')):
            say(f"booting: node {owner}'s disk, {policy}")
            with spread(args, image, owner, policy) as console:
                found = listen(console, total)
            print(f" node {owner}'s disk, dma-policy={policy}:")
            show(found, reference, owner)
    return 0
