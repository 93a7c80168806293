# SPDX-License-Identifier: GPL-2.0-or-later
"""DMA: a device's bytes meet pages of another node where those are."""

import contextlib
import hashlib
import re
import threading
import time
from array import array
from pathlib import Path

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU_BUILD, Problem
from distkvm.door.common import NAMED
from distkvm.guests.checks import TIMEOUT, check_console
from distkvm.memory import PAGE
from distkvm.ptrace import stopped, threads
from naming import cases, named

MIB = 1 << 20
READ_MIB = 8
STRETCH_PAGES = 512
CODE_BYTES = 8 * 4096
# Behind all others, for some tests; only their first page can be read.
BAD_BYTES = 64 * 4096
BAD_DISK = 'tests/qtest/distkvm/distkvm-bad-disk.so'
FACTOR = 0x9e3779b97f4a7c15
WORD_MASK = (1 << 64) - 1
# A slow lane is stopped for so long, and runs for so long; seconds.
STOP_SECONDS = 0.05
RUN_SECONDS = 0.01
DELAYS_LEAST = 5
# From the first read to a reset, in seconds: the slow lane takes longer for
# what is to be read.
RESET_SECONDS = 0.3
# By page faults it is hundreds.
WAITS_PER_MIB = 5


def pattern(mib):
    """As tests/guest/check-dma.c has it."""
    return array('Q', ((n + 1) * FACTOR & WORD_MASK
                       for n in range(mib * MIB // 8))).tobytes()


def image(path, mib):
    """Half of it written by this function, half by the guest; behind that
    room for code."""
    path = Path(path)
    path.write_bytes(pattern(mib) + bytes(mib * MIB) + bytes(CODE_BYTES))
    return path


def holds(path):
    """Is the image what the guest has written, where it has written data?"""
    return path.read_bytes()[:2 * READ_MIB * MIB] == pattern(2 * READ_MIB)


class Counts:
    """Of both nodes: faults on the guest's buffer, and node 0's copies."""

    def __init__(self, cluster, console):
        self.cluster = cluster
        self.console = console
        said = console.until('guest-dma: pages(.*)', TIMEOUT).group(1)
        self.pages = {int(page, 16) for page in said.split()}
        # Of a lane of two.
        self.odd = sum(page // STRETCH_PAGES % 2 for page in self.pages)

    def over(self, begin, end):
        """What was counted between two lines of the guest."""
        self.console.until(begin, TIMEOUT)
        logs = [self.cluster.log(n) for n in range(2)]
        at = [log.stat().st_size for log in logs]
        before = self.cluster.info(0)['memory']['dma']
        started = time.monotonic()
        self.console.until(end, TIMEOUT)
        took = time.monotonic() - started
        after = self.cluster.info(0)['memory']['dma']
        faults = sum(int(page, 16) in self.pages
                     for log, offset in zip(logs, at)
                     for page in re.findall(rb'distkvm_fault page (0x\w+)',
                                            log.read_bytes()[offset:]))
        copies = {k: v - before[k] for k, v in after.items()}
        return {'waits': faults, 'odd': self.odd, 'seconds': took, **copies}


@contextlib.contextmanager
def slow_lane(cluster, node, lane):
    """A lane of a node does nothing for most of the time."""
    engines = threads(cluster.process[node].pid, 'distkvm-engine')
    with stopped(engines[lane]):
        pass        # It is possible: else this raises here.
    over = threading.Event()
    delays = []

    def delay():
        while not over.wait(RUN_SECONDS):
            with stopped(engines[lane]):
                over.wait(STOP_SECONDS)
            delays.append(STOP_SECONDS)

    thread = threading.Thread(target=delay)
    thread.start()
    try:
        yield delays
    finally:
        over.set()
        thread.join()


def run(policy, path, name=None, lanes=1, slow=None):
    bad = path.stat().st_size + PAGE
    with path.open('ab') as disk:
        disk.write(bytes(BAD_BYTES))
    shape = Shape(nodes=2, memory='256M',
                  options=f',dma-policy={policy},lanes={lanes}',
                  env={'LD_PRELOAD': str(QEMU_BUILD / BAD_DISK),
                       'DISTKVM_BAD': str(bad)})
    with Cluster(shape, BUILD / 'log' / f'dma-{name or policy}') as cluster:
        console = cluster.boot(
            *guests.quick_args(f'quiet dma.mib={READ_MIB}', 'dma',
                               ['virtio_pci', 'virtio_blk']),
            '-drive', f'file={path},format=raw,if=none,id=d,cache=none',
            '-device', 'virtio-blk-pci,drive=d',
            every=('-trace', 'distkvm_fault', *NAMED))
        counts = Counts(cluster, console)
        with slow(cluster) if slow else contextlib.nullcontext():
            read = counts.over('guest-dma: reads', 'has read')
        written = counts.over('guest-dma: writes', 'has written')
        console.drain()
        (cluster.log_dir / 'console.log').write_text(console.text)
        check_console(console.text, shape)
    if 'guest-dma: has failed to read' not in console.text or \
            'guest-dma: all is right' not in console.text or \
            'WRONG' in console.text:
        raise Problem('the guest has read other bytes than were written')
    return read, written


@cases('policy', {
    'guest: bytes by DMA go to their pages': 'auto'}, {
    'guest: bytes by DMA, pages are visited': 'visit',
    'guest: bytes by DMA, pages come': 'move',
    'guest: bytes by DMA, by page faults': 'faults'})
def test_dma(policy, tmp_path, note):
    path = image(tmp_path / 'disk.img', READ_MIB)
    read, written = run(policy, path)
    if not holds(path):
        raise Problem('the image is not what the guest wrote')
    waits = [c['waits'] / READ_MIB for c in (read, written)]
    times = [c['seconds'] / READ_MIB * 1000 for c in (read, written)]
    note(f'waits for its pages per MiB: {waits[0]:.1f} reading, '
         f'{waits[1]:.1f} writing; ms per MiB: {times[0]:.0f}, '
         f"{times[1]:.0f}; bytes put {read['put-bytes']}, got {written['got-bytes']}")
    # A CPU of the other node has used them last.
    if policy == 'move' and read['filled-bytes'] < READ_MIB * MIB * 0.9:
        raise Problem(f'pages that were overwritten came otherwise: {read}')
    if policy not in ('auto', 'visit'):
        if min(waits) <= WAITS_PER_MIB:
            raise Problem(f'{waits} waits: this test counts nothing')
        return
    # All but the few pages that are shared, or at home with the device.
    if read['put-bytes'] < READ_MIB * MIB * 0.9 or \
            written['got-bytes'] < READ_MIB * MIB * 0.9:
        raise Problem(f'bytes went by another way: {read}, {written}')
    if max(waits) >= WAITS_PER_MIB:
        raise Problem(f'{waits} waits for pages of the buffer per MiB')


@named('guest: bytes by DMA are there before the interrupt')
def test_before_the_interrupt(tmp_path, note):
    """Bytes go over a lane that is slow, and the interrupt over another
    one."""
    path = image(tmp_path / 'disk.img', READ_MIB)
    delays = []

    @contextlib.contextmanager
    def slow(cluster):
        with slow_lane(cluster, 1, 1) as found:
            yield
        delays.extend(found)

    try:
        read, _ = run('visit', path, 'slow', 2, slow)
    except Problem as problem:
        if 'ptrace needs' in str(problem):
            pytest.skip(str(problem))
        raise
    if not read['odd'] or len(delays) < DELAYS_LEAST or \
            read['put-bytes'] < READ_MIB * MIB * 0.9:
        raise Problem(f'nothing was delayed: {len(delays)} times, {read}')
    note(f"{len(delays)} delays, {read['put-bytes']} bytes put")


def reset_in_reads(cluster, console, node):
    """A reset by a node in the middle of reads; bytes that node 0 has put, or
    filled pages with."""
    def count():
        dma = cluster.info(0)['memory']['dma']
        return dma['put-bytes'] + dma['filled-bytes']

    console.until('guest-dma: reads', TIMEOUT)
    begin = count()
    deadline = time.monotonic() + TIMEOUT
    with slow_lane(cluster, 1, 1):
        while count() == begin and time.monotonic() < deadline:
            time.sleep(RESET_SECONDS)
        cluster.qmp(node).execute('system_reset')
        put = count() - begin
    return put


@cases('policy', {}, {
    'guest: resets while a disk reads into pages of another node': 'visit',
    'guest: resets while pages come for a disk that reads': 'move'})
def test_reset(policy, tmp_path, note):
    """Each ends, and the guest that boots after it reads and writes
    right."""
    path = image(tmp_path / 'disk.img', READ_MIB)
    shape = Shape(nodes=2, memory='256M',
                  options=f',dma-policy={policy},lanes=2')
    with Cluster(shape, BUILD / 'log' / f'dma-reset-{policy}') as cluster:
        console = cluster.boot(
            *(a for a in guests.quick_args(
                f'quiet dma.mib={READ_MIB}', 'dma',
                ['virtio_pci', 'virtio_blk']) if a != '-no-reboot'),
            '-drive', f'file={path},format=raw,if=none,id=d,cache=none',
            '-device', 'virtio-blk-pci,drive=d', every=NAMED)
        try:
            put = [reset_in_reads(cluster, console, node) for node in (0, 1)]
        except Problem as problem:
            if 'ptrace needs' in str(problem):
                pytest.skip(str(problem))
            raise
        console.drain()
        (cluster.log_dir / 'console.log').write_text(console.text)
        statuses = cluster.wait(20)
        check_console(console.text, shape)
    if any(statuses):
        raise Problem(f'nodes ended with {statuses}')
    if 'guest-dma: all is right' not in console.text or \
            'WRONG' in console.text:
        raise Problem('the guest has read other bytes than were written')
    if console.text.count('has read') != 1 or not min(put):
        raise Problem(f'a reset came before or after all reads: {put}')
    if not holds(path):
        raise Problem('the image is not what the guest wrote')
    note(f'bytes put, or filled with, before each reset: {put}')


@named('guest: a floppy disk, whose controller has no DMA of its own')
def test_floppy(tmp_path, note):
    """A CPU of node 1 programs node 0's DMA controller."""
    path = tmp_path / 'floppy.img'
    path.write_bytes(bytes(1440 << 10))
    shape = Shape(nodes=2, machine='pc', memory='256M')
    with Cluster(shape, BUILD / 'log' / 'floppy') as cluster:
        console = cluster.boot(
            *guests.quick_args('quiet', 'floppy', ['floppy']),
            '-drive', f'file={path},format=raw,if=floppy',
            '-trace', 'distkvm_io_serve')
        wanted = console.until('guest-floppy: ([0-9a-f]{64})', TIMEOUT)
        dma = cluster.info(0)['memory']['dma']
        console.drain()
        (cluster.log_dir / 'console.log').write_text(console.text)
        served = cluster.log(0).read_text(errors='replace')
        check_console(console.text, shape)
    if 'guest-floppy: right' not in console.text:
        raise Problem('the floppy disk holds other bytes than were written')
    if hashlib.sha256(path.read_bytes()[:144 << 10]).hexdigest() != \
            wanted.group(1):
        raise Problem('the image is not what the guest wrote')
    # Address and page of channel 2, and the mask of all channels.
    for port in (0x04, 0x81, 0x0a):
        if not re.search(rf'from 1 addr {port:#x} size 1 write 1', served):
            raise Problem(f'no CPU of node 1 has written to port {port:#x}')
    if dma['put-bytes'] + dma['got-bytes'] + dma['moved-bytes'] < 144 << 10:
        raise Problem(f'the data were on node 0 already: {dma}')
    note(f"bytes put {dma['put-bytes']}, got {dma['got-bytes']}, moved "
         f"{dma['moved-bytes']}")
