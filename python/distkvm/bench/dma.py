# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench dma: a disk of node 0, used by programs on node 1's CPU and on
node 0's own, alternating in one boot; the same under plain QEMU."""

import contextlib
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
REMOTE, LOCAL = 1, 0
# The guest's clock and the host's may differ so much.
CLOCKS_DIFFER = 0.05
CLOCKS_DIFFER_SECONDS = 2


def make_image(path):
    """Words that are not 0, to be read; behind them room to write."""
    words = array('Q', ((n * 0x9e3779b97f4a7c15 + 1) & WORD_MASK
                        for n in range(LARGE * MIB // 8)))
    path.write_bytes(words.tobytes() + bytes(LARGE * MIB))
    return sum(words) & WORD_MASK


def arguments(image, rounds):
    return ['-nodefaults', '-display', 'none', '-serial', 'stdio',
            *guests.kernel_args(f'quiet dma.rounds={rounds}', 'dma-bench',
                                ['virtio_pci', 'virtio_blk']),
            '-drive', f'file={image},format=raw,if=none,id=d,cache=none',
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
    found = {cpu: {name: [] for name in FIGURES} for cpu in (REMOTE, LOCAL)}
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
         'tcg', *args], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
    try:
        yield Console(process)
    finally:
        process.kill()
        process.wait()


@contextlib.contextmanager
def spread(args, policy):
    shape = Shape(nodes=2, memory='256M', options=f',dma-policy={policy}')
    with Cluster(shape, BUILD / 'log' / f'bench-dma-{policy}') as cluster:
        cluster.start(1)
        yield Console(cluster.start(0, args, stdout=subprocess.PIPE))


def show(found, reference):
    """The middle of all rounds, and ratios of speed: 1 is as fast."""
    for name, what in zip(FIGURES, NAMES):
        remote, local = (median(found[cpu][name]) for cpu in (REMOTE, LOCAL))
        text = f'  {what}: node 1 {remote:.0f} us, node 0 {local:.0f} us, ' \
               f'ratio {local / remote:.2f}'
        if reference:
            theirs = [median(reference[cpu][name]) for cpu in (REMOTE, LOCAL)]
            text += f'; of plain QEMU {theirs[0] / remote:.2f} and ' \
                    f'{theirs[1] / local:.2f}'
        print(text)


def main(rounds):
    results = {}
    with tempfile.TemporaryDirectory() as directory:
        image = Path(directory) / 'disk.img'
        total = make_image(image)
        args = arguments(image, rounds)
        for name, guest in (('plain QEMU', plain(args)),
                            ('auto', spread(args, 'auto')),
                            ('faults', spread(args, 'faults'))):
            say(f'booting: {name}')
            with guest as console:
                results[name] = listen(console, total)
    print(f'a disk of node 0, {rounds} rounds that alternate between the CPUs, '
          'the middle one; depth 1')
    reference = results.pop('plain QEMU')
    print(' plain QEMU, CPU 1 and CPU 0:')
    show(reference, None)
    for name, found in results.items():
        print(f' dma-policy={name}:')
        show(found, reference)
    return 0
