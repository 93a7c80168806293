# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench postcopy: the fault of a page that another process has, here
and under QEMU's own postcopy migration.

One probe for both, from trace events: from when the thread that serves faults
has read the fault, to when the page is in place and its reader woken.  Both
without readahead; once wherever the scheduler likes, and once with each process
on one CPU, as if on a host of its own."""

import re
import subprocess
import tempfile
import time
from pathlib import Path

from .. import guests
from ..cluster import Cluster, Qmp, Shape
from ..common import BUILD, QEMU, Problem, keep_to, say
from ..console import Console
from ..network import free_ports

MEMORY = '512M'
TOUCHED_MIB = 128
SECONDS = 20
TIMEOUT = 300
HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']
# Pages that are copied unasked must not be in the way.
BACKGROUND_BYTES = 4 << 20
CAPABILITIES = [{'capability': name, 'state': True}
                for name in ('postcopy-ram', 'postcopy-preempt')]
STAMP = r'\d+@(\d+)\.(\d+):'
# Of an address: all but where in its page it is.
PAGE = r'0x([0-9a-f]+)[0-9a-f]{3}\b'


def traced(events, file):
    args = ['-msg', 'timestamp=on', '-D', str(file)]
    for event in events:
        args += ['-trace', event]
    return args


def stamp_us(match):
    return int(match.group(1)) * 1_000_000 + int(match.group(2))


def place(processes, apart):
    for cpu, process in enumerate(processes if apart else ()):
        keep_to(process.pid, cpu)


def traced_waits(log, asked, done):
    """us from each page's first line of one kind to its next of the other."""
    starts, waits = {}, []
    for line in log.read_text(errors='replace').splitlines():
        first, last = asked.match(line), done.match(line)
        if first:
            starts.setdefault(first.group(3), stamp_us(first))
        elif last:
            start = starts.pop(last.group(3), None)
            # A page of this node's own is no fetch.
            if start is not None and last.groupdict().get('remote') != '0':
                waits.append(stamp_us(last) - start)
    return waits


def guest_args():
    return [*HEADLESS, *guests.kernel_args(f'quiet touch.mb={TOUCHED_MIB}',
                                          'touch')]


# ------------------------------------------------------------------ distkvm

FAULT = re.compile(STAMP + r'distkvm_fault page (0x[0-9a-f]+) write 0')
FETCHED = re.compile(STAMP + r'distkvm_fetched page (0x[0-9a-f]+) write 0 '
                     r'remote (?P<remote>\d)')


def distkvm(apart):
    """Node 0's CPU reads what node 1's has written; node 1 has nothing else to
    do meanwhile, as the source of a migration."""
    cluster = Cluster(Shape(nodes=2, memory=MEMORY, net='insecure',
                            options=',readahead=0,transport=tls'),
                      BUILD / 'log' / 'bench-postcopy')
    log = cluster.log_dir / 'trace-0'
    log.unlink(missing_ok=True)
    try:
        server = cluster.start(1)
        process = cluster.start(0, [*guest_args(), *traced([], log)],
                                stdout=subprocess.PIPE)
        Console(process, cluster=cluster).until('guest-touch: working',
                                                TIMEOUT)
        place((process, server), apart)
        time.sleep(SECONDS)
        for name in ('distkvm_fault', 'distkvm_fetched'):
            cluster.qmp(0).execute('trace-event-set-state', name=name,
                                   enable=True)
        time.sleep(SECONDS)
    finally:
        cluster.end()
    return traced_waits(log, FAULT, FETCHED)


# ----------------------------------------------------------------- postcopy

REQUEST = re.compile(STAMP + r'postcopy_ram_fault_thread_request .*?HVA=' +
                     PAGE)
PLACED = re.compile(STAMP + r'postcopy_place_page(?:_zero)? host=' + PAGE)


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


def postcopy(apart):
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
            place(nodes, apart)
            migrate(*[Qmp(s) for s in sockets], port)
            time.sleep(SECONDS)
        finally:
            for node in nodes:
                node.kill()
                node.wait()
    return traced_waits(log, REQUEST, PLACED)


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
    theirs, ours = [], []
    for apart in (False, True):
        where = 'a CPU each' if apart else 'anywhere'
        theirs.append(show(f"{where}, QEMU's postcopy, with preemption",
                           postcopy(apart)))
        ours.append(show(f'{where}, distkvm', distkvm(apart)))
        print(f'{where}, ratio of medians: {ours[-1] / theirs[-1]:.2f}')
    print(f'ratio of the better medians: {min(ours) / min(theirs):.2f}')
    return 0
