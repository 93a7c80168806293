# SPDX-License-Identifier: GPL-2.0-or-later
"""A booted Debian guest that takes orders on its serial console.

PlainMachine is QEMU without distkvm, ClusterMachine has nodes; the bench treats
both alike."""

import re
import shlex
import subprocess
import time
from dataclasses import dataclass, field
from pathlib import Path

from .. import guests
from ..cluster import TIED, Cluster, Shape
from ..common import QEMU, Problem
from ..console import Console
from . import image, throttle

MEMORY = '1G'
BOOT_SECONDS = 900
WORK_SECONDS = 900
# Kernel addresses as kallsyms has them; TCG's CPUs have one clock.
APPEND = 'quiet nokaslr panic=-1'
# Guest and host may disagree by the greater of both about how long a workload
# took: orders and answers pass a console that is slow under load.
CLOCK_SHARE, CLOCK_SECONDS = 0.05, 2.0
# Threads have the names of what they do.
NAMED = ('-name', 'work,debug-threads=on')
LINE = re.compile(r'work: (.*)')
UP = re.compile(r'work: up ([\d.]+) cpus (\S+) nodes ?(\S*)')


@dataclass
class Outcome:
    """A workload's end."""
    status: int
    guest_seconds: float
    host_seconds: float
    values: dict = field(default_factory=dict)
    log: list = field(default_factory=list)

    @property
    def clocks_agree(self):
        return abs(self.guest_seconds - self.host_seconds) <= max(
            CLOCK_SECONDS, CLOCK_SHARE * self.host_seconds)


class Machine:
    """The conversation with the guest."""

    append = APPEND
    kernel_args = staticmethod(guests.kernel_args)
    # Of a host CPU, for each vCPU; None: all of it.
    vcpu_percent = None

    def __init__(self, log_dir):
        self.log_dir = Path(log_dir)
        self.groups = None
        self.log_dir.mkdir(parents=True, exist_ok=True)
        self.process = self.console = None
        self.init_seconds = self.boot_seconds = self.guest_uptime = None
        self.numa = '0'

    def __enter__(self):
        try:
            return self.boot()
        except BaseException:
            self.end()
            raise

    def __exit__(self, *_):
        self.end()

    def parameters(self, words):
        """More of the guest's kernel."""
        self.append = ' '.join([self.append, *words.split()])

    def source(self):
        """The image that the guest gets a copy of."""
        return image.disk()

    def drives(self):
        disk = image.fresh_disk(self.log_dir / 'disk.img', self.source())
        scripts = image.scripts_disk(self.log_dir / 'scripts.img')
        return ['-drive', f'file={disk},format=raw,if=virtio',
                '-drive', f'file={scripts},format=raw,if=virtio,readonly=on']

    def args(self):
        return ['-nodefaults', '-display', 'none', '-serial', 'stdio',
                *NAMED, *self.drives(),
                *image.initramfs_args(self.append, kernel_args=self.kernel_args)]

    def boot(self):
        args = self.args()
        started = time.monotonic()
        self.process = self.start(args)
        if self.vcpu_percent:
            self.groups = throttle.Groups(self.vcpu_percent)
            self.groups.throttle(self.processes(), self.vcpus)
        self.console = self.listen()
        self.console.until('guest-init: up', BOOT_SECONDS)
        self.init_seconds = time.monotonic() - started
        found = self.console.until(UP, BOOT_SECONDS)
        self.boot_seconds = time.monotonic() - started
        self.guest_uptime = float(found.group(1))
        self.numa = found.group(3) or '0'
        return self

    def listen(self):
        return Console(self.process, out=self.console_log(),
                       cluster=self.cluster())

    def console_log(self):
        # Closed with the process that writes to it.
        return open(self.log_dir / 'console.log', 'w', encoding='utf-8')

    def cluster(self):
        """To be watched while the guest is silent."""
        return None

    def order(self, text):
        try:
            self.process.stdin.write(f'{text}\n'.encode())
            self.process.stdin.flush()
        except OSError as error:
            raise Problem(f"the guest's console is gone: {error}") from None

    def heard(self, timeout):
        """What the guest says next to the bench."""
        return self.console.until(LINE, timeout).group(1)

    @staticmethod
    def parsed(rest, *kinds):
        """The words after the first; a line of another form ends this boot,
        and not the run."""
        words = rest.split()
        try:
            return [kind(word) for kind, word in zip(kinds, words, strict=True)]
        except ValueError:
            raise Problem(f"the guest's line has '{rest}' where "
                          f'{len(kinds)} values belong') from None

    def work(self, workload, ready=lambda: None, ended=lambda: None):
        """Run a workload; ready() is called when all is prepared, ended() when
        its programs have ended, and before their output is looked at."""
        self.order(workload.request)
        log, values = [], {}
        started = finished = time.monotonic()
        while True:
            word, _, rest = self.heard(
                WORK_SECONDS + workload.seconds).partition(' ')
            if word == 'ready':
                ready()
                started = time.monotonic()
                self.order('go')
            elif word == 'ended':
                finished = time.monotonic()
                ended()
            elif word == 'value':
                key, number = self.parsed(rest, str, float)
                values[key] = number
            elif word == 'log:':
                log.append(rest)
            elif word == 'done':
                status, seconds = self.parsed(rest, int, float)
                return Outcome(status, seconds, finished - started, values,
                               log)

    def end(self):
        if self.groups:
            self.groups.end()
            self.groups = None
        for file in ('disk.img', 'scripts.img'):
            (self.log_dir / file).unlink(missing_ok=True)
        if self.console:
            self.console.out.close()
            self.console = None


class PlainMachine(Machine):
    """QEMU of the same build, with as many vCPUs as the cluster has."""

    kind = 'plain'

    def __init__(self, log_dir, vcpus):
        super().__init__(log_dir)
        self.vcpus = vcpus

    def processes(self):
        return [self.process]

    def start(self, args):
        command = [*TIED, str(QEMU), '-machine', 'q35', '-m', MEMORY, '-smp',
                   str(self.vcpus), '-accel', 'tcg', *args]
        with open(self.log_dir / 'qemu.log', 'w', encoding='utf-8') as log:
            log.write(f'$ {shlex.join(command)}\n')
            log.flush()
            return subprocess.Popen(command, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, stderr=log)

    def end(self):
        if self.process:
            self.process.kill()
            self.process.wait()
        super().end()


class ClusterMachine(Machine):
    """Nodes of one vCPU each, unless `shape` has others."""

    kind = 'cluster'

    def __init__(self, log_dir, nodes, options='', every=lambda node: (),
                 prefix=None, **shape):
        super().__init__(log_dir)
        self.nodes = Cluster(Shape(nodes=nodes, memory=MEMORY,
                                   options=f',{options}' if options else '',
                                   **shape), self.log_dir, prefix)
        self.vcpus = int(self.nodes.shape.smp or nodes)
        self.every = every

    def processes(self):
        return self.nodes.process

    def cluster(self):
        return self.nodes

    def start(self, args):
        for node in range(1, self.nodes.shape.nodes):
            self.nodes.start(node, [*NAMED, *self.every(node)])
        return self.nodes.start(0, [*self.every(0), *args],
                                stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def infos(self):
        return [self.nodes.info(n) for n in range(self.nodes.shape.nodes)]

    def end(self):
        try:
            self.nodes.end(grace=2)
        finally:
            super().end()
