# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes of one cluster on this host: start, watch, ask, end."""

import json
import os
import random
import shlex
import signal
import socket
import subprocess
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path

from .common import QEMU, Problem
from .console import Console


# Below those that the kernel gives to whoever asks for any (32768 and up, by
# default): between choosing a port and listening there, connections are made.
PORTS = range(20000, 32000)


def free_ports(count):
    """Ports that nobody listens on now."""
    ports = []
    for port in random.sample(PORTS, len(PORTS)):
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(('127.0.0.1', port))
            except OSError:
                continue
        ports.append(port)
        if len(ports) == count:
            return ports
    raise Problem(f'no {count} free ports in {PORTS}')


class Qmp:
    """A QMP connection over a UNIX socket."""

    def __init__(self, path, timeout=10):
        end = time.monotonic() + timeout
        while True:
            self.socket = socket.socket(socket.AF_UNIX)
            try:
                self.socket.connect(str(path))
                break
            except OSError:
                self.socket.close()
                if time.monotonic() > end:
                    raise
                time.sleep(0.05)
        self.socket.settimeout(timeout)
        self.file = self.socket.makefile('rw')
        self.events = []
        # By event, what the last of its kind said.
        self.event_data = {}
        self.file.readline()
        self.execute('qmp_capabilities')

    def execute(self, command, **arguments):
        request = {'execute': command}
        if arguments:
            request['arguments'] = arguments
        self.file.write(json.dumps(request) + '\n')
        self.file.flush()
        while True:
            line = self.file.readline()
            if not line:
                raise OSError('QMP connection closed')
            answer = json.loads(line)
            if 'event' in answer:
                self.events.append(answer['event'])
                self.event_data[answer['event']] = answer.get('data')
            elif 'error' in answer:
                raise Problem(f"{command}: {answer['error']['desc']}")
            else:
                return answer['return']

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
    env: dict = field(default_factory=dict)

    def vmi_of(self, node):
        each = self.vmi.split(',')
        return each[node] if len(each) > 1 else each[0]


class Cluster:
    """Nodes as child processes, in our session and process group."""

    def __init__(self, shape, log_dir=None, prefix=None):
        self.shape = shape
        self.log_dir = Path(log_dir or tempfile.mkdtemp(prefix='distkvm-'))
        self.log_dir.mkdir(parents=True, exist_ok=True)
        for old in self.log_dir.glob('node-*.log'):
            old.unlink()
        # UNIX socket paths are short; a log directory may not be.
        self.run_dir = Path(tempfile.mkdtemp(prefix='distkvm-run-'))
        self.peers = [f'127.0.0.1:{p}' for p in free_ports(shape.nodes)]
        self.prefix = prefix or (lambda node: [])
        self.process = [None] * shape.nodes
        self.qmp_cache = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()

    def command(self, node, extra=()):
        s = self.shape
        accel = (f"distkvm,vmi={s.vmi_of(node)},node={node},"
                 f"peers={'/'.join(self.peers)}")
        accel += f',vcpus={s.vcpus}' if s.vcpus else ''
        accel += f',mem={s.mem}' if s.mem else ''
        accel += s.options
        args = [*self.prefix(node), str(QEMU),
                '-machine', s.machine, '-m', s.memory,
                '-smp', str(s.smp or s.nodes), '-accel', accel,
                '-qmp', f'unix:{self.qmp_path(node)},server=on,wait=off']
        if s.cpu:
            args += ['-cpu', s.cpu]
        if node:
            args += ['-nodefaults', '-display', 'none']
        return args + list(extra)

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

    def boot(self, *args, every=()):
        """Start all nodes, with `every`; the console of node 0's guest."""
        for node in range(1, self.shape.nodes):
            self.start(node, every)
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
        """Until all nodes have joined each other."""
        end = time.monotonic() + timeout
        while not self.info(0)['formed']:
            if time.monotonic() > end:
                raise Problem('the cluster did not form')
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
        for path in self.run_dir.glob('*'):
            path.unlink()
        if self.run_dir.exists():
            self.run_dir.rmdir()
