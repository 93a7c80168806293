# SPDX-License-Identifier: GPL-2.0-or-later
"""Boots of stock guests, and checks of their consoles and disks."""

import hashlib
import re
import subprocess
from array import array

from ..cluster import Cluster
from ..common import BUILD, Problem, quiet
from . import COMPLAINTS, kernel_args, quick_args

TIMEOUT = 240
# As tests/guest/check-disks.c has it: bytes that each CPU writes, and words.
PART_BYTES = 128 << 10
FACTOR, WORD_MASK = 0x9e3779b97f4a7c15, (1 << 64) - 1
LITMUS = ['guest-litmus: memory is right', 'guest-litmus: code is right',
          'guest-litmus: time is right']


def check_console(text, shape):
    complaint = COMPLAINTS.search(text)
    if complaint:
        line = next(l for l in text.splitlines() if complaint.group(0) in l)
        raise Problem(f"the guest's kernel complains: {line}")
    cpus = int(shape.smp or shape.nodes)
    online = f'0-{cpus - 1}' if cpus > 1 else '0'
    if f'cpus online {online},' not in text:
        raise Problem(f'not all {cpus} CPUs are online')


def check_transport(cluster, wanted):
    for node in cluster.info(0)['nodes']:
        found = node.get('transport', '')
        if node['state'] == 'joined' and wanted != found:
            raise Problem(f"node {node['id']} is reached over {found}, not "
                          f'{wanted}')


def tiny_says(console, words, timeout):
    """Until the tiny kernel says so, or that it is not so."""
    found = console.until(rf'tiny: ({words}|FAILED.*)\n', timeout)
    if 'FAILED' in found.group(0):
        raise Problem(found.group(0))


def boot(name, shape, script, expect, append='', modules=(), extra=(),
         transport=None, timeout=TIMEOUT, kernel='stock', devices=(),
         programs=(), quick=False):
    """Boot, run the script to its end, power off; all must end well.

    `devices`: by node, more of a follower's command line.  `quick`: as by
    quick_args()."""
    make = quick_args if quick else kernel_args
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(
            *make(append, script, modules, kernel, programs), *extra,
            devices=devices)
        # As it comes, for a guest that hangs.
        with open(cluster.log_dir / 'console.log', 'w',
                  encoding='utf-8') as console.out:
            console.until('guest-init: up', timeout)
            if transport:
                check_transport(cluster, transport)
            console.drain()
        statuses = cluster.wait(20)
        if any(statuses):
            raise Problem(f'nodes ended with {statuses}; logs in '
                          f'{cluster.log_dir}')
        check_console(console.text, shape)
        for pattern in expect:
            if not re.search(pattern, console.text):
                raise Problem(f"the guest did not say '{pattern}'; see "
                              f'{cluster.log_dir}/console.log')
        return console.text


def check_disk(image, cpus):
    """The image is clean, and what each CPU wrote is in it, as it wrote it."""
    quiet(['e2fsck', '-fn', image])
    for cpu in range(cpus):
        check_file(image, cpu)


def check_file(image, cpu):
    data, sums = (subprocess.run(
        ['debugfs', '-R', f'cat /{name}-{cpu}', str(image)], check=True,
        capture_output=True).stdout for name in ('file', 'sum'))
    if len(data) != 1 << 20 or \
            hashlib.sha256(data).hexdigest() != sums.decode().split()[0]:
        raise Problem(f'the file of CPU {cpu} is not right in the image')


def check_parts(image, cpus):
    """What each CPU wrote by guest-check disks is at its place in the image, and
    was meant for this disk."""
    size, bytes_written = image.stat().st_size, cpus * PART_BYTES
    wanted = array('Q', ((n * FACTOR + size) & WORD_MASK
                         for n in range(1, bytes_written // 8 + 1)))
    with image.open('rb') as file:
        if file.read(bytes_written) != wanted.tobytes():
            raise Problem(f'{image.name} has other bytes than the guest wrote')
