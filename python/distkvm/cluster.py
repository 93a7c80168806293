# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes of one cluster on this host: start, watch, ask, end."""

import json
import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .common import QEMU, Problem
from .console import Console
from .network import Network


# As the accelerator has it.
NODES_MAX = 64
# Until a QEMU listens, and for each answer, on a machine under load.
QMP_SECONDS = 60
# Options with which libvirt starts a QEMU.
SANDBOX = ['-sandbox', 'on,obsolete=deny,elevateprivileges=deny,spawn=deny,'
                       'resourcecontrol=deny']
# Kills a node when its starter is gone, also by a signal that cannot be
# caught; a guest that goes on alone would hold its disks and nobody could stop
# it.  A program does it, since no Python may run between fork and exec while
# other threads run.
TIED = ['setpriv', '--pdeathsig', 'KILL', '--']

# The CPU that TCG and any KVM have in common, also one that interprets the
# guest.
COMMON_CPU = 'qemu64,pni=off,vendor=GenuineIntel'

# Options of QEMU that all nodes must share, and those of `scripts/distkvm run`
# that set them.
SHARED = {'-m': '--memory', '-smp': '--smp', '-M': '--machine',
          '-machine': '--machine', '-accel': '--vmi', '-cpu': '--cpu',
          '--m': '--memory', '--smp': '--smp', '--machine': '--machine',
          '--accel': '--vmi', '--cpu': '--cpu', '-enable-kvm': '--vmi'}

# Last words of a node that gives up; hints follow on lines of their own.
ERROR = re.compile(r'(\S+ )?qemu-system-\w+: (?!warning: |info: )')
LAST_WORDS_MAX = 12
# Of a log, which may be long.
LAST_BYTES_MAX = 1 << 16


def check_nodes(nodes):
    if not 2 <= nodes <= NODES_MAX:
        raise Problem(f'a cluster has 2 to {NODES_MAX} nodes, not {nodes}')


def last_words(log):
    """The last error in a node's log and all that follows; its last line, if
    it died without a word."""
    with open(log, 'rb') as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - LAST_BYTES_MAX))
        lines = file.read().decode(errors='replace').splitlines()
    # Its command, or a part of a line.
    if lines and (size > LAST_BYTES_MAX or lines[0].startswith('$ ')):
        lines = lines[1:]
    errors = [n for n, line in enumerate(lines) if ERROR.match(line)]
    return lines[errors[-1] if errors else -1:][:LAST_WORDS_MAX]


class Qmp:
    """A QMP connection over a UNIX socket.

    Not QEMU's own client (qemu.qmp): that cannot send a command without waiting
    for its answer, and it is there only once QEMU's tree has been prepared."""

    def __init__(self, path, timeout=QMP_SECONDS, oob=False):
        end = time.monotonic() + timeout
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            # A process that is stopped accepts nobody: connect() waits, too.
            self.socket.settimeout(timeout)
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                self.socket.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        # For reading alone: a file of both kinds forgets, when it is written,
        # the lines that came with the one before.
        self.file = self.socket.makefile('r')
        self.events = []
        # By event, what the last of its kind said.
        self.event_data = {}
        # Ids of devices that have gone.
        self.deleted = []
        # QEMU sends events ahead of its greeting, if they come about between
        # the connection and the greeting.
        while 'QMP' not in self.receive():
            pass
        self.word = 'execute'
        self.execute('qmp_capabilities', **{'enable': ['oob']} if oob else {})
        # QEMU answers commands out of band, also while its main loop waits.
        self.word = 'exec-oob' if oob else 'execute'

    def send(self, command, **arguments):
        """Without waiting for its answer()."""
        request = {self.word: command}
        if arguments:
            request['arguments'] = arguments
        self.socket.sendall((json.dumps(request) + '\n').encode())

    def execute(self, command, **arguments):
        self.send(command, **arguments)
        return self.answer(command)

    def answer(self, command):
        """That of a command which was sent."""
        while True:
            answer = self.receive()
            if 'error' in answer:
                raise Problem(f"{command}: {answer['error']['desc']}")
            if 'return' in answer:
                return answer['return']

    def receive(self):
        """One line of QEMU's, of which events are remembered."""
        line = self.file.readline()
        if not line:
            raise OSError('QMP connection closed')
        said = json.loads(line)
        if 'event' in said:
            self.events.append(said['event'])
            self.event_data[said['event']] = said.get('data')
            if said['event'] == 'DEVICE_DELETED':
                self.deleted.append(said['data'].get('device'))
        return said

    def close(self):
        self.file.close()
        self.socket.close()


@dataclass
class Shape:
    """What the nodes of a cluster have in common."""
    nodes: int = 2
    smp: str = None
    memory: str = '512M'
    machine: str = 'q35'
    cpu: str = None
    vmi: str = 'tcg'
    vcpus: str = None
    mem: str = None
    options: str = ''
    # Further options of each node alone, if they differ.
    own_options: list = None
    # Name of it in network.py, and addresses of nodes if that is no loopback.
    net: str = 'unix'
    addresses: list = None
    sandbox: bool = False
    env: dict = field(default_factory=dict)

    def vmi_of(self, node):
        each = self.vmi.split(',')
        return each[node] if len(each) > 1 else each[0]


def qemu_command(s, net, node, qmp_path):
    """The command line of a node, of any cluster; `net` has peers(), options()
    and objects() as Network has them."""
    accel = (f'distkvm,vmi={s.vmi_of(node)},node={node},'
             f'peers={net.peers()}{net.options()}')
    accel += f',vcpus={s.vcpus}' if s.vcpus else ''
    accel += f',mem={s.mem}' if s.mem else ''
    accel += s.options
    accel += s.own_options[node] if s.own_options else ''
    args = [str(QEMU), *(SANDBOX if s.sandbox else ()), *net.objects(node),
            '-machine', s.machine, '-m', s.memory,
            '-smp', str(s.smp or s.nodes), '-accel', accel,
            '-qmp', f'unix:{qmp_path},server=on,wait=off']
    if s.cpu:
        args += ['-cpu', s.cpu]
    if node:
        args += ['-nodefaults', '-display', 'none']
    return args


class Cluster:
    """Nodes as child processes, in our session and process group.

    Not QEMU's own qemu.machine: that owns one machine and asks it to end; here
    nodes are stopped, killed and started again while others go on, and a
    console is searched while all of them are watched."""

    def __init__(self, shape, log_dir=None, prefix=None):
        self.shape = shape
        self.log_dir = Path(log_dir or tempfile.mkdtemp(prefix='distkvm-'))
        self.log_dir.mkdir(parents=True, exist_ok=True)
        for old in self.log_dir.glob('node-*.log'):
            old.unlink()
        # UNIX socket paths are short; a log directory may not be.
        self.run_dir = Path(tempfile.mkdtemp(prefix='distkvm-run-'))
        self.net = Network(shape.net, shape.nodes, shape.addresses)
        self.prefix = prefix or (lambda node: [])
        self.process = [None] * shape.nodes
        self.qmp_cache = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    @property
    def peers(self):
        """Addresses of the nodes, as messages show them."""
        return self.net.addresses

    def command(self, node, extra=()):
        qemu = qemu_command(self.shape, self.net, node, self.qmp_path(node))
        return [*TIED, *self.prefix(node), *qemu, *extra]

    def qmp_path(self, node):
        return self.run_dir / f'qmp-{node}'

    def log(self, node):
        return self.log_dir / f'node-{node}.log'

    def start(self, node, extra=(), stdin=subprocess.DEVNULL, stdout=None):
        log = open(self.log(node), 'wb')
        command = self.command(node, extra)
        log.write(f'$ {shlex.join(command)}\n'.encode())
        log.flush()
        self.process[node] = subprocess.Popen(
            command, stdin=stdin, stdout=stdout or log, stderr=log,
            env=dict(os.environ, **self.shape.env))
        log.close()
        return self.process[node]

    def boot(self, *args, every=(), devices=()):
        """Start all nodes, with `every`; the console of node 0's guest.

        `devices`: by node, more of a follower's command line."""
        for node in range(1, self.shape.nodes):
            self.start(node, [*every, *dict(devices).get(node, ())])
        process = self.start(0, ['-nodefaults', '-display', 'none', '-serial',
                                 'stdio', *every, *args],
                             stdout=subprocess.PIPE)
        return Console(process, cluster=self)

    def qmp(self, node):
        if node not in self.qmp_cache:
            self.qmp_cache[node] = Qmp(self.qmp_path(node))
        return self.qmp_cache[node]

    def info(self, node):
        return self.qmp(node).execute('query-distkvm')

    def wait_formed(self, timeout=20):
        """Until every node that was started knows that all have joined: one
        node's word is not enough, as the last answer of a join reaches two
        nodes at two times."""
        end = time.monotonic() + timeout
        for node in [n for n, p in enumerate(self.process) if p]:
            while not self.info(node)['formed']:
                if self.process[node].poll() is not None:
                    raise Problem(f'node {node} has ended')
                if time.monotonic() > end:
                    raise Problem(f'node {node}: the cluster did not form')
                time.sleep(0.05)

    def alive(self):
        return [n for n, p in enumerate(self.process)
                if p and p.poll() is None]

    def wait(self, timeout):
        """Exit statuses once all have ended; None for those that have not."""
        end = time.monotonic() + timeout
        while self.alive() and time.monotonic() < end:
            time.sleep(0.02)
        return [p.poll() if p else None for p in self.process]

    def end(self, grace=5):
        """End every node that still runs: politely, then not."""
        for node in self.alive():
            self.process[node].send_signal(signal.SIGCONT)
            self.process[node].terminate()
        self.wait(grace)
        for node in self.alive():
            self.process[node].kill()
        self.wait(5)
        for connection in self.qmp_cache.values():
            connection.close()
        self.qmp_cache.clear()
        shutil.rmtree(self.run_dir, ignore_errors=True)
        self.net.remove()
