# SPDX-License-Identifier: GPL-2.0-or-later
"""The tutorial's commands print what the tutorial shows; its guest's console at
a terminal of another host."""

import os
import termios
import time

import pytest

from distkvm import guests
from distkvm.common import TOP
from naming import named
from operating import SECONDS, read_until
from tutorial import follow, shell

TUTORIAL = TOP / 'docs' / 'tutorial.rst'
CONSOLE = 'scripts/distkvm console ~/tutorial/first.toml'
HAS_LEFT = 'pgrep -f "distkvm host console" >/dev/null || echo gone'
LEAVE = b'\x1d'
pytestmark = [pytest.mark.timeout(600),
              pytest.mark.root('namespaces, and sshd in them')]


@pytest.fixture
def inside():
    # The demo, which the reader has run, has fetched it.
    guests.kernel_args()
    with shell() as found:
        yield found


@named('guest: tutorial: three hosts on one machine')
def test_tutorial(inside, note):
    note(f'{follow(TUTORIAL, inside)} commands')


def types(terminal, keys, wanted):
    os.write(terminal, keys)
    return read_until(terminal, wanted)


def echoes(terminal):
    flags = termios.tcgetattr(terminal)[3]
    return bool(flags & termios.ECHO and flags & termios.ICANON)


@pytest.mark.full
@named('guest: tutorial: the console at a terminal, by sshd')
def test_console(inside):
    """All keys but ^] are the guest's, those of ssh and of signals, too."""
    follow(TUTORIAL, inside, until='-e CPUs')
    with inside.at_terminal('hostA', CONSOLE) as (process, terminal):
        # The last words of before; keys before them are nobody's.
        read_until(terminal, b'vdb: a disk of hostC')
        types(terminal, b'\recho $((6 * 7))\r', b'42')
        assert not echoes(terminal)
        # The guest's terminal is a serial port, which has no size.
        termios.tcsetwinsize(terminal, (50, 132))
        types(terminal, b'stty size\r', b'stty: standard input')
        # Keys with which ssh leaves, and those of signals.
        types(terminal, b'echo $((5 * 7)); cat -v\r', b'35\r\n')
        types(terminal, b'\r~.\r', b'~.\r\n\r\n~.')
        types(terminal, b'\x16\x03\x16\x1a\x16\x1c\r', b'\n^C^Z^\\')
        types(terminal, b'\x04echo $((7 * 8))\r', b'56')
        types(terminal, LEAVE, b'left the console')
        assert process.wait(SECONDS) == 0 and echoes(terminal)
    with inside.at_terminal('hostA', CONSOLE) as (process, terminal):
        read_until(terminal, b'56')
        # ssh notices that the other host is gone.
        inside.run('ip link set to-A down')
        assert process.wait(SECONDS) == 1 and echoes(terminal)
        inside.run('ip link set to-A up')
    # The other host hears of it a moment later.
    end = time.monotonic() + SECONDS
    while not inside.run(HAS_LEFT)[0].strip():
        assert time.monotonic() < end, 'the reader stays'
        time.sleep(0.5)
    with inside.at_terminal('hostA', CONSOLE) as (process, terminal):
        read_until(terminal, b'56')
        types(terminal, b'\rpoweroff -f\r', b'the console has ended')
        assert process.wait(SECONDS) == 0 and echoes(terminal)
