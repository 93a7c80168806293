# SPDX-License-Identifier: GPL-2.0-or-later
"""Interrupts of disks of other nodes go from CPU to CPU while they come."""

import re

import pytest

from distkvm.cluster import Shape
from distkvm.common import Problem
from distkvm.guests.checks import PART_BYTES, boot, check_parts
from naming import named

NODES = 3
ROUNDS = 2
# Linux moves no interrupts of queues.  With one message for all queues it takes
# that for none of a queue's.
DISKS = {1: ['-device', 'nvme,serial=1,drive=d,msix_qsize=1'],
         2: ['-device', 'ahci,id=a', '-device', 'ide-hd,drive=d,bus=a.0']}
# Words of Linux about an interrupt that was lost, or that came to the wrong CPU.
TROUBLE = re.compile(r'No irq handler|timeout, (?:aborting|completion|reset)|'
                     r'I/O error|exception Emask|lost interrupt', re.I)
# Of each disk, on each CPU; and by each CPU of both disks' interrupts.
LEAST_INTERRUPTS, LEAST_MOVES = 10, 20


def check_moves(text):
    """All CPUs have moved them, and all have got them."""
    moves = [int(n) for n in re.findall(r'(\d+) moves by CPU', text)]
    if len(moves) != NODES or min(moves) < LEAST_MOVES:
        raise Problem(f'CPUs have made {moves} moves')
    counts = [[int(n) for n in line.split()] for line in re.findall(
        r'^ *\d+: +([\d ]+?) +PCI-MSI.*(?:nvme0q0|ahci\[0000:(?!00))', text, re.M)]
    if len(counts) != len(DISKS) or \
            any(n < LEAST_INTERRUPTS for line in counts for n in line):
        raise Problem(f'interrupts came {counts} times')
    return f'{sum(moves)} moves, interrupts by CPU {counts}'


@pytest.mark.full
@named('pci: interrupts of disks of nodes 1 and 2 go from CPU to CPU under I/O')
def test_affinity(tmp_path, note):
    """MSI-X, which Linux masks meanwhile, and MSI, which it cannot mask."""
    images = {node: tmp_path / f'{node}.img' for node in DISKS}
    devices = {}
    for node, image in images.items():
        image.write_bytes(bytes(NODES * PART_BYTES))
        devices[node] = ['-drive', f'file={image},format=raw,if=none,id=d',
                         *DISKS[node]]
    text = boot('pci-affinity', Shape(nodes=NODES, memory='256M', machine='q35'),
                'affinity', ['guest-affinity: end', *(
                    f'guest-affinity: round {n + 1} is right'
                    for n in range(ROUNDS))],
                append=f'quiet guest.cpus=script affinity.rounds={ROUNDS} '
                       f'affinity.disks={len(DISKS)}',
                modules=['nvme', 'ahci', 'sd_mod'], devices=devices, quick=True)
    trouble = TROUBLE.search(text)
    if trouble or 'WRONG' in text:
        raise Problem(f'the guest says: {trouble and trouble.group(0)}')
    for image in images.values():
        check_parts(image, NODES)
    note(check_moves(text))
