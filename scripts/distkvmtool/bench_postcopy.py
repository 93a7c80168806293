# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench postcopy: the fault of a page that another process has, here
and under QEMU's own postcopy migration.

One probe for both, from trace events: from when the thread that serves faults
has read the fault, to when the page is in place and its reader woken."""

import re
import subprocess
import tempfile
import time
from pathlib import Path

from . import guest
from .cluster import Cluster, Qmp, Shape, free_ports
from .common import BUILD, QEMU, Problem, say
from .demo import Console

MEMORY = '512M'
TOUCHED_MIB = 128
SECONDS = 20
TIMEOUT = 300
HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']
TCP = {'UCX_TLS': 'tcp,self', 'UCX_NET_DEVICES': 'lo'}
# What is copied without being asked for must not be in the way.
BACKGROUND_BYTES = 4 << 20
CAPABILITIES = [{'capability': name, 'state': True}
                for name in ('postcopy-ram', 'postcopy-preempt')]
STAMP = r'\d+@(\d+)\.(\d+):'
PAGE_MASK = ~0xfff


def traced(events, file):
    args = ['-msg', 'timestamp=on', '-D', str(file)]
    for event in events:
        args += ['-trace', event]
    return args


def stamp_us(match):
    return int(match.group(1)) * 1_000_000 + int(match.group(2))


def guest_args():
    return [*HEADLESS, *guest.kernel_args(f'quiet touch.mb={TOUCHED_MIB}',
                                          'touch')]


# ------------------------------------------------------------------ distkvm

FAULT = re.compile(STAMP + r'distkvm_fault page (0x[0-9a-f]+) write 0')
FETCHED = re.compile(STAMP + r'distkvm_fetched page (0x[0-9a-f]+) write 0 '
                     r'remote (\d)')


def distkvm_waits(log):
    """us that each read of a page of another node took."""
    asked, waits = {}, []
    for line in log.read_text(errors='replace').splitlines():
        fault, fetched = FAULT.match(line), FETCHED.match(line)
        if fault:
            asked.setdefault(fault.group(3), stamp_us(fault))
        elif fetched:
            start = asked.pop(fetched.group(3), None)
            if start is not None and fetched.group(4) == '1':
                waits.append(stamp_us(fetched) - start)
    return waits


def distkvm():
    """Node 0's CPU reads what node 1's has written; node 1 has nothing else to
    do meanwhile, as the source of a migration."""
    cluster = Cluster(Shape(nodes=2, memory=MEMORY, env=TCP),
                      BUILD / 'log' / 'bench-postcopy')
    log = cluster.log_dir / 'trace-0'
    log.unlink(missing_ok=True)
    try:
        cluster.start(1)
        process = cluster.start(0, [*guest_args(), *traced([], log)],
                                stdout=subprocess.PIPE)
        Console(process, cluster=cluster).until('guest-touch: working',
                                                TIMEOUT)
        time.sleep(SECONDS)
        for name in ('distkvm_fault', 'distkvm_fetched'):
            cluster.qmp(0).execute('trace-event-set-state', name=name,
                                   enable=True)
        time.sleep(SECONDS)
    finally:
        cluster.end()
    return distkvm_waits(log)


# ----------------------------------------------------------------- postcopy

REQUEST = re.compile(STAMP + r'postcopy_ram_fault_thread_request .*?'
                     r'HVA=(?:0x)?([0-9a-f]+)')
PLACED = re.compile(STAMP + r'postcopy_place_page(?:_zero)? '
                    r'host=(?:0x)?([0-9a-f]+)')


def postcopy_waits(log):
    asked, waits = {}, []
    for line in log.read_text(errors='replace').splitlines():
        request, placed = REQUEST.match(line), PLACED.match(line)
        if request:
            asked.setdefault(int(request.group(3), 16) & PAGE_MASK,
                             stamp_us(request))
        elif placed:
            start = asked.pop(int(placed.group(3), 16), None)
            if start is not None:
                waits.append(stamp_us(placed) - start)
    return waits


def plain(socket, *extra):
    return subprocess.Popen(
        [str(QEMU), '-machine', 'q35', '-accel', 'tcg', '-smp', '2', '-m',
         MEMORY, '-qmp', f'unix:{socket},server=on,wait=off', *extra,
         *guest_args()], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)


def migrate(source, target, port):
    """Postcopy from its first moment: all pages are still at the source."""
    for qmp in (source, target):
        qmp.execute('migrate-set-capabilities', capabilities=CAPABILITIES)
    source.execute('migrate-set-parameters',
                   **{'max-postcopy-bandwidth': BACKGROUND_BYTES,
                      'max-bandwidth': BACKGROUND_BYTES})
    target.execute('migrate-incoming', uri=f'tcp:127.0.0.1:{port}')
    source.execute('migrate', uri=f'tcp:127.0.0.1:{port}')
    end = time.monotonic() + TIMEOUT
    while source.execute('query-migrate').get('status') != 'active':
        if time.monotonic() > end:
            raise Problem('the migration did not start')
        time.sleep(0.05)
    source.execute('migrate-start-postcopy')


def postcopy():
    port = free_ports(1)[0]
    log = BUILD / 'log' / 'bench-postcopy' / 'trace-postcopy'
    log.parent.mkdir(parents=True, exist_ok=True)
    log.unlink(missing_ok=True)
    with tempfile.TemporaryDirectory(prefix='distkvm-run-') as scratch:
        sockets = [Path(scratch) / name for name in ('source', 'target')]
        nodes = [plain(sockets[0])]
        try:
            Console(nodes[0]).until('guest-touch: working', TIMEOUT)
            nodes.append(plain(sockets[1], '-incoming', 'defer', *traced(
                ['postcopy_ram_fault_thread_request',
                 'postcopy_place_page*'], log)))
            migrate(*[Qmp(s) for s in sockets], port)
            time.sleep(SECONDS)
        finally:
            for node in nodes:
                node.kill()
                node.wait()
    return postcopy_waits(log)


# --------------------------------------------------------------------- both

def show(name, waits):
    if not waits:
        raise Problem(f'{name}: no faults were seen')
    waits.sort()
    median = waits[len(waits) // 2]
    print(f'{name}: {len(waits)} faults, median {median} us, 99 % '
          f'{waits[len(waits) * 99 // 100]} us', flush=True)
    return median


def main():
    say('reads of pages that another process has, over TCP loopback')
    theirs = show("QEMU's postcopy, with preemption", postcopy())
    ours = show('distkvm', distkvm())
    print(f'ratio of medians: {ours / theirs:.2f}')
    return 0
