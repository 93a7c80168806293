# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm logs: words of the nodes of a cluster file."""

import os
import select
import subprocess
import sys

from .. import cluster_file
from ..common import Problem
from ..operate.remote import Hosts

CONSOLE = 'console'
READ_BYTES = 1 << 16


def wanted(file, text):
    """Pairs of a node and the name of a log."""
    if text is None:
        return [(n, str(n.id)) for n in file.nodes]
    if text == CONSOLE:
        return [(file.nodes[0], CONSOLE)]
    if not text.isascii() or not text.isdigit() or \
            int(text) >= len(file.nodes):
        raise Problem(f"there is no node '{text}': write 0 to "
                      f'{len(file.nodes) - 1}, or {CONSOLE}')
    return [(file.nodes[int(text)], text)]


class Log:
    """A log that comes in from its host; lines with a prefix if it has one."""

    def __init__(self, hosts, node, name, follow, prefix):
        # Ctrl-C is for us: a session of its own.
        self.process = hosts.of(node).stream(
            ['log', hosts.name, name, *(['--follow'] if follow else [])],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            start_new_session=True)
        self.fd = self.process.stdout.fileno()
        self.prefix = prefix.encode()
        self.part = b''

    def take(self):
        """Write words that have come in; False if they were the last ones."""
        data = os.read(self.fd, READ_BYTES)
        out = sys.stdout.buffer
        if self.prefix:
            *lines, self.part = (self.part + data).split(b'\n')
            if self.part and (not data or len(self.part) > READ_BYTES):
                lines.append(self.part)
                self.part = b''
            out.writelines(self.prefix + line + b'\n' for line in lines)
        else:
            out.write(data)
        out.flush()
        return bool(data)

    def leave(self):
        """The other end stops when it hears no more of us."""
        self.process.stdin.close()


def copy(logs):
    """Words of logs until all have ended; a BrokenPipeError if nobody reads
    them any more, also while none come."""
    poll, left = select.poll(), {log.fd: log for log in logs}
    for fd in left:
        poll.register(fd, select.POLLIN)
    reader = sys.stdout.fileno()
    poll.register(reader, 0)
    while left:
        for fd, _ in poll.poll():
            if fd == reader:
                raise BrokenPipeError
            if not left[fd].take():
                poll.unregister(fd)
                del left[fd]


def main(args):
    file = cluster_file.load(args.file)
    names = wanted(file, args.node)
    hosts = Hosts(file)
    logs = []
    try:
        for node, name in names:
            prefix = f'node {name}: ' if len(names) > 1 else ''
            logs.append(Log(hosts, node, name, args.follow, prefix))
            if not args.follow:
                copy(logs[-1:])
        if args.follow:
            copy(logs)
        return max(1 if log.process.wait() else 0 for log in logs)
    finally:
        for log in logs:
            log.leave()


def add_verb(verbs):
    verb = verbs.add_parser('logs', help='words of the nodes of a cluster '
                                         'file')
    verb.add_argument('-f', '--follow', action='store_true',
                      help='go on with new words, until the nodes have ended')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('node', metavar='NODE', nargs='?',
                      help='number of a node, or console for what the guest '
                           'has said (default: all nodes)')
    verb.set_defaults(function=main)
