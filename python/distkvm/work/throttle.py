# SPDX-License-Identifier: GPL-2.0-or-later
"""vCPUs that get a share of a host CPU, so that engines find CPUs free.

Each vCPU's thread is in a control group of its own with a quota of CPU time: it
runs for a part of each period, and stands still for the rest.  A host with more
CPUs than vCPUs has no such stops, so that this is nearer to one, and no more."""

import contextlib
import os
import re
import time
from pathlib import Path

from ..common import Problem, say

# As short as it can be: Linux takes no quota below 1,000 us.
PERIOD_US = 2_000
LEAST_PERCENT = 50
THREADS_SECONDS = 30
VCPU = re.compile(r'CPU \d+/(TCG|KVM)')
V1 = Path('/sys/fs/cgroup/cpu')
V2 = Path('/sys/fs/cgroup')


def check(percent, vcpus):
    if percent is None:
        return
    if not LEAST_PERCENT <= percent < 100:
        raise Problem(f'--vcpu-percent: from {LEAST_PERCENT} to 99')
    cpus = len(os.sched_getaffinity(0))
    if vcpus * percent > (cpus - 0.5) * 100:
        raise Problem(f'--vcpu-percent: {vcpus} vCPUs of {percent} % leave '
                      f"less than half a CPU of this host's {cpus} to engines")


def vcpu_threads(pid):
    """Threads that run guest code, by the names that debug-threads=on gives."""
    found = []
    for task in Path(f'/proc/{pid}/task').iterdir():
        # Threads come and go while QEMU starts.
        with contextlib.suppress(FileNotFoundError, ProcessLookupError):
            if VCPU.match((task / 'comm').read_text()):
                found.append(int(task.name))
    return found


def cpu_controller():
    """The group of version 1 that this process is in, or None."""
    for line in Path('/proc/self/cgroup').read_text().splitlines():
        _, controllers, path = line.split(':', 2)
        if 'cpu' in controllers.split(',') and V1.is_dir():
            return V1 / path.lstrip('/')
    return None


def wait_for_threads(processes, count):
    end = time.monotonic() + THREADS_SECONDS
    while True:
        ended = [p.pid for p in processes if p.poll() is not None]
        if ended:
            raise Problem('QEMU has ended before its vCPUs had threads; its '
                          'log says why')
        found = {p.pid: vcpu_threads(p.pid) for p in processes}
        if sum(map(len, found.values())) == count:
            return found
        if time.monotonic() > end:
            raise Problem(f'{count} vCPUs were to be throttled, and have '
                          f'threads: {found}')
        time.sleep(0.05)


class Groups:
    """Control groups of one machine's vCPUs; they go with it."""

    def __init__(self, percent):
        self.quota_us = PERIOD_US * percent // 100
        self.v1 = cpu_controller()
        self.made = []

    def throttle(self, processes, count):
        for pid, threads in wait_for_threads(processes, count).items():
            try:
                self.throttle_process(pid, threads)
            except OSError as error:
                raise Problem(
                    f'--vcpu-percent: {error}; the controller cpu of control '
                    'groups is needed, and the right to use it') from None

    def make(self, path):
        path.mkdir()
        self.made.append(path)
        return path

    def throttle_process(self, pid, threads):
        # No name is used twice: a group may outlive a run that was killed.
        top = self.make((self.v1 or V2) / f'distkvm-bench-{pid}-'
                        f'{time.monotonic_ns()}')
        if not self.v1:
            # The controller stays on for all groups of this host.
            (V2 / 'cgroup.subtree_control').write_text('+cpu')
        # Engines get their CPU beside the vCPUs, in the same group.
        (top / 'cgroup.procs').write_text(str(pid))
        groups = [self.make(top / f'vcpu-{thread}') for thread in threads]
        if not self.v1:
            for group in groups:
                (group / 'cgroup.type').write_text('threaded')
            (top / 'cgroup.subtree_control').write_text('+cpu')
        for thread, group in zip(threads, groups):
            self.limit(group, thread)

    def limit(self, group, thread):
        if self.v1:
            (group / 'cpu.cfs_period_us').write_text(str(PERIOD_US))
            (group / 'cpu.cfs_quota_us').write_text(str(self.quota_us))
            (group / 'tasks').write_text(str(thread))
        else:
            (group / 'cpu.max').write_text(f'{self.quota_us} {PERIOD_US}')
            (group / 'cgroup.threads').write_text(str(thread))

    def end(self):
        """After the processes have ended.  A group that is still in use stays,
        and is named."""
        left = []
        while self.made:
            path = self.made.pop()
            try:
                path.rmdir()
            except OSError as error:
                left.append(f'{path}: {error.strerror}')
        if left:
            say(f"control groups were left behind: {'; '.join(left)}")
