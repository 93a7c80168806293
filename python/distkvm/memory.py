# SPDX-License-Identifier: GPL-2.0-or-later
"""Programs that share memory and are not QEMU: start, command, end."""

import os
import subprocess

from .cluster import TIED
from .common import BUILD, EMULATOR, Problem
from .network import Network

MIB = 1 << 20
PAGE = 4096


class MemoryNode:
    """One distkvm-emulator; a command is answered by a line."""

    def __init__(self, command, log, env):
        self.log = open(log, 'w', encoding='utf-8')
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=self.log, text=True, env=env)

    def send(self, *words):
        self.process.stdin.write(' '.join(str(w) for w in words) + '\n')
        self.process.stdin.flush()

    def answer(self):
        line = self.process.stdout.readline().strip()
        if not line:
            with open(self.log.name, encoding='utf-8') as log:
                last = log.read().strip().split('\n')[-1]
            raise Problem(f'a memory node has ended with status '
                          f'{self.process.wait(10)}: {last}; '
                          f'see {self.log.name}')
        return line

    def ask(self, *words):
        """The number that a command answers with."""
        self.send(*words)
        return self.number(words)

    def number(self, words=('?',)):
        line = self.answer()
        if not line.startswith('ok '):
            raise Problem(f"{' '.join(str(w) for w in words)}: {line}")
        return float(line[3:]) if '.' in line else int(line[3:], 0)

    def probe(self, *words):
        """Latencies in ns, by the name of the figure."""
        self.send(*words)
        parts = self.answer().split()
        if parts[0] != 'median':
            raise Problem(f"{' '.join(str(w) for w in words)}: {parts}")
        return {parts[i]: int(parts[i + 1]) for i in range(0, len(parts), 2)}


class MemoryCluster:
    """Nodes of equal shares, as child processes.

    Options are for all nodes; those of `each` for one node each, and those of
    `every` for every cluster.  `net` is what network.py calls it; `prefix`
    goes before every node's command, and `hosts` are places for each."""

    every = ()

    def __init__(self, name, nodes=2, share=16 * MIB, options=(), each=None,
                 env=None, net='unix', prefix=(), hosts=None):
        # pylint: disable=too-many-arguments
        self.share = share
        self.net = Network(net, nodes, hosts and [
            f'{address}:7700' for address in hosts.addresses])
        log_dir = BUILD / 'log' / name
        log_dir.mkdir(parents=True, exist_ok=True)
        env = dict(os.environ, **(env or {}))
        self.node = [
            MemoryNode([*TIED, *prefix, *(hosts.prefix(n) if hosts else ()),
                        str(EMULATOR), str(n), self.net.peers(), str(nodes * share),
                        *self.net.words(n), *self.every, *options,
                        *(each[n] if each else ())],
                       log_dir / f'node-{n}.log', env)
            for n in range(nodes)]

    def __enter__(self):
        try:
            for node in self.node:
                if node.answer() != 'ok joined':
                    raise Problem(f'it did not join; see {node.log.name}')
        except Problem:
            self.end()
            raise
        return self

    def __exit__(self, *_):
        self.end()

    def home(self, node, page=0):
        """Address of a page that a node is home of."""
        return node * self.share + page * PAGE

    def leave(self):
        """In good order; exit statuses."""
        for node in self.node:
            node.process.stdin.close()
        return [node.process.wait(20) for node in self.node]

    def end(self):
        for node in self.node:
            if node.process.poll() is None:
                node.process.kill()
            node.process.wait()
            node.process.stdout.close()
            node.log.close()
        self.net.remove()
