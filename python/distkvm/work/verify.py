# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs of a server that check their own results, in a guest over several nodes,
for as long as asked.

A cluster that dies or hangs meanwhile is noticed within seconds, not when the work
should have ended: nodes that end or are named as lost, complaints of the guest's
kernel, and CPUs of the guest that execute nothing (guest/alive.py)."""

import contextlib
import json
import os
import re
import subprocess
import time
from dataclasses import replace
from pathlib import Path

from .. import guests
from ..cluster import Qmp
from ..common import Problem, quiet
from ..console import LOOK_SECONDS, Console
from ..guests import COMPLAINTS
from . import unpacked
from .machine import APPEND, ClusterMachine
from .workloads import ANY, Workload

CHECKS = {w.name: w for w in (
    Workload('stress-ng', 'verify-stress', ANY, 'stress-ng --verify',
             ('programs', 'operations')),
    Workload('fio', 'verify-fio', ANY, "fio's checksums", ('passes', 'mib')),
    Workload('pgbench', 'verify-pgbench', ANY, 'pgbench and pg_amcheck',
             ('transactions', 'checks', 'relations')))}
# The sentence that says how much a check has verified, from its values.
SHOWN = {
    'stress-ng': '{operations:.0f} operations of {programs:.0f} programs',
    'fio': '{mib:.0f} MiB read back, in {passes:.0f} passes',
    'pgbench': '{transactions:.0f} transactions, and {relations:.0f} tables and '
               'indexes in {checks:.0f} checks'}
ALIVE = re.compile(r'work: alive (.*)')
LOST = re.compile(r'node \d+ \(.*?\) is lost: .*')
# A CPU of the guest that executes nothing for this long hangs, by a clock that stands
# still while other programs have the host's CPUs (spare_seconds).  Signs of life are
# two seconds apart, and far less than this is left of the time of a long check.
HUNG_SECONDS = 60
# The guest's kernel complains as late, of stalls and (after twice the threshold)
# of lockups; by itself it would take a host under load for a mistake.
PATIENCE = (f'rcupdate.rcu_cpu_stall_timeout={HUNG_SECONDS} '
            f'watchdog_thresh={HUNG_SECONDS // 2}')
TICKS = os.sysconf('SC_CLK_TCK')
END_SECONDS = 300
# For nodes to end after the console has, as tests of boots have it.
EXIT_SECONDS = 20
# For an answer of a node that may hang.
QMP_SECONDS = 3


def idle_ticks(stat):
    """Of all CPUs, from /proc/stat, and the number of CPUs."""
    idle, iowait = (int(n) for n in stat.split('\n', 1)[0].split()[4:6])
    return idle + iowait, len(re.findall(r'^cpu\d', stat, re.M))


def used_ticks(stat):
    """Of a process, from its /proc/PID/stat: user and system."""
    fields = stat.rpartition(')')[2].split()
    return int(fields[11]) + int(fields[12])


def spare_seconds(pids, proc=Path('/proc')):
    """A clock by the CPU time that these processes had or could have had: as fast
    as any other on a host without other work, and slow on a host under load."""
    idle, cpus = idle_ticks((proc / 'stat').read_text())
    used = 0
    for pid in pids:
        # One that has ended is noticed otherwise.
        with contextlib.suppress(OSError):
            used += used_ticks((proc / str(pid) / 'stat').read_text())
    return (idle + used) / cpus / TICKS


class Pulse:
    """When each CPU of a guest was last seen to execute."""

    def __init__(self):
        self.seen = {}
        self.awaited = None

    def start(self, now):
        """From now on there must be beats."""
        self.awaited = now

    def stop(self):
        """Nothing beats any more."""
        self.seen.clear()
        self.awaited = None

    def hear(self, line, now):
        found = ALIVE.search(line)
        for part in found.group(1).split() if found else ():
            cpu, _, beats = part.partition('=')
            if self.seen.get(cpu, (None,))[0] != beats:
                self.seen[cpu] = beats, now

    def check(self, now):
        if not self.seen and self.awaited is not None and \
                now - self.awaited > HUNG_SECONDS:
            raise Problem('the guest hangs: it has given no sign of life for '
                          f'{now - self.awaited:.0f} s')
        hung = {cpu: now - when for cpu, (_, when) in self.seen.items()
                if now - when > HUNG_SECONDS}
        if hung:
            raise Problem('the guest hangs: ' + ', '.join(
                f'CPU {cpu} has executed nothing for {silent:.0f} s'
                for cpu, silent in hung.items()))


class Watch(Console):
    """A console that ends with its cluster, at once, and says why."""

    def __init__(self, process, out, cluster):
        super().__init__(process, out, cluster)
        self.pulse = Pulse()
        self.checked = 0

    def now(self):
        return spare_seconds(p.pid for p in self.cluster.process if p)

    def check_nodes(self):
        for node, process in enumerate(self.cluster.process):
            lost = process and LOST.search(
                self.cluster.log(node).read_text(errors='replace'))
            if lost:
                raise Problem(f'node {node} says: {lost.group(0)}')
        super().check_nodes()
        self.checked = time.monotonic()
        self.pulse.check(self.now())

    def lines(self, end=None):
        for line in super().lines(end):
            complaint = COMPLAINTS.search(line)
            if complaint:
                raise Problem(f"the guest's kernel complains: {line.strip()}")
            if ALIVE.search(line):
                self.pulse.hear(line, self.now())
            # Also while the guest is never silent.
            if time.monotonic() - self.checked > LOOK_SECONDS:
                self.check_nodes()
            yield line
        if end is None or time.monotonic() < end:
            self.ended()

    def ended(self):
        """Node 0's output has; others may say why."""
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            raise Problem('node 0 has closed its console') from None
        self.check_nodes()


class Unpacked(ClusterMachine):
    """A cluster of nodes of one vCPU each whose guest verifies, with a disk that is
    made, and boots, in seconds."""

    append = f'{APPEND} {PATIENCE}'
    kernel_args = staticmethod(guests.quick_args)

    def source(self):
        return unpacked.disk()

    def listen(self):
        return Watch(self.process, self.console_log(), self.nodes)

    def order(self, text):
        try:
            super().order(text)
        except Problem:
            self.console.ended()
            raise

    def heard(self, timeout):
        end = time.monotonic() + timeout
        while True:
            said = super().heard(max(0, end - time.monotonic()))
            if not said.startswith('alive'):
                return said

    def verify(self, name, seconds, mistake=''):
        """The values of a check, which went on for these seconds and a while."""
        return self.hold(replace(CHECKS[name], seconds=seconds,
                                 mistake=mistake))

    def hold(self, check):
        """The values of a workload that must succeed."""
        started = time.monotonic()
        self.console.pulse.start(self.console.now())
        try:
            outcome = self.work(check)
        except (Problem, OSError) as problem:
            self.picture()
            raise Problem(
                f'{check.name} on {self.nodes.shape.nodes} nodes, after '
                f'{time.monotonic() - started:.0f} s: {problem}; see '
                f'{self.log_dir}') from None
        finally:
            self.console.pulse.stop()
        if outcome.status or any(v not in outcome.values
                                 for v in check.values):
            raise Problem(f'{check.name} failed in the guest with status '
                          f'{outcome.status}: ' + ' / '.join(outcome.log))
        return outcome.values

    def picture(self):
        """What nodes know of a guest that went wrong, for its reader."""
        told = []
        for node in self.nodes.alive():
            try:
                # A node serves one connection at a time.
                cache = self.nodes.qmp_cache
                if node not in cache:
                    cache[node] = Qmp(self.nodes.qmp_path(node), QMP_SECONDS)
                qmp = cache[node]
                qmp.socket.settimeout(QMP_SECONDS)
                told.append([node, qmp.execute('query-status'),
                             qmp.execute('query-distkvm')])
            except (Problem, OSError) as problem:
                told.append([node, str(problem) or repr(problem)])
        (self.log_dir / 'nodes.json').write_text(json.dumps(told, indent=1))

    def finish(self):
        """Power off: all nodes end well, and the disk is clean."""
        self.order('quit')
        for _ in self.console.lines(time.monotonic() + END_SECONDS):
            pass
        statuses = self.nodes.wait(EXIT_SECONDS)
        if None in statuses:
            raise Problem(f'nodes have not ended {END_SECONDS} s after the guest '
                          f'was told to power off; see {self.log_dir}')
        if any(statuses):
            raise Problem(f'nodes ended with {statuses}; see {self.log_dir}')
        quiet(['e2fsck', '-fn', self.log_dir / 'disk.img'])


def shown(name, values):
    return f'{name}: {SHOWN[name].format(**values)}'
