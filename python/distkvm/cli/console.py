# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm console: the serial console of a cluster file's guest."""

import contextlib
import os
import select
import subprocess
import sys
import termios
import tty

from .. import cluster_file
from ..cluster_command import has_console
from ..cluster_file import FileErrors
from ..common import say
from ..operate.outlet import Outlet
from ..operate.remote import Hosts

# Ctrl-]
LEAVE = b'\x1d'
READ_BYTES = 1 << 16
END_SECONDS = 10


@contextlib.contextmanager
def raw(fd):
    """A terminal that hands each key to us; other files as they are."""
    if not os.isatty(fd):
        yield
        return
    before = termios.tcgetattr(fd)
    tty.setraw(fd)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class Copy:
    """Keys to the guest, and its words to us."""

    def __init__(self, process, source, target):
        self.process, self.source, self.target = process, source, target
        self.keys = Outlet(process.stdin.fileno())
        # A file waits for the guest; a terminal has LEAVE to be found.
        self.patient = not os.isatty(source)

    def until_end(self):
        """Until LEAVE, or the guest's end; whether it was the guest's end."""
        output, open_ = self.process.stdout.fileno(), True
        while True:
            wanted = open_ and not (self.patient and self.keys.full)
            ready, writable, _ = select.select(
                [output, *([self.source] if wanted else [])],
                [self.keys.fd] if self.keys.waiting else [], [])
            if output in ready:
                data = os.read(output, READ_BYTES)
                if not data:
                    return True
                os.write(self.target, data)
            try:
                if writable:
                    self.keys.flush()
                if self.source in ready:
                    data = os.read(self.source, READ_BYTES)
                    open_ = bool(data)
                    words, leave, _ = data.partition(LEAVE)
                    if leave:
                        self.keys.put(words)
                        return False
                    # Of a paste that no guest takes, the rest is lost.
                    if not self.keys.full:
                        self.keys.put(words)
            except BrokenPipeError:
                return True


def end(process):
    """The other end leaves when it hears no more of us."""
    with contextlib.suppress(BrokenPipeError):
        process.stdin.close()
    try:
        return process.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        return process.wait()


def main(args):
    file = cluster_file.load(args.file)
    if not has_console(file.guest):
        raise FileErrors([file.error(
            ('guest', 0, 'arguments'), 'give the guest another serial '
            'console', 'use that, or leave -serial and -nographic out')])
    hosts = Hosts(file)
    if sys.stdin.isatty():
        say('^] leaves')
    # Ctrl-C of a terminal is the guest's: a session of its own for ssh.
    with hosts.of(file.nodes[0]).stream(
            ['console', hosts.name], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, start_new_session=True) as process:
        try:
            with raw(sys.stdin.fileno()):
                ended = Copy(process, sys.stdin.fileno(),
                             sys.stdout.fileno()).until_end()
        finally:
            status = end(process)
    if ended and status > 0:
        return 1
    say('the console has ended' if ended else 'left the console')
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'console', help="the serial console of a cluster file's guest",
        epilog='Ctrl-] leaves.  "distkvm logs FILE console" shows everything '
               'that the guest has said.')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.set_defaults(function=main)
