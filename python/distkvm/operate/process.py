# SPDX-License-Identifier: GPL-2.0-or-later
"""Processes that outlive the tool, named so that no other is ever hit.

A process id is given to another process some time after its own has ended, and
all of them after a boot.  The time at which a process started, and the boot,
tell the two apart."""

import contextlib
import os
import signal
from dataclasses import asdict, dataclass
from pathlib import Path

BOOT_ID = Path('/proc/sys/kernel/random/boot_id')
# Fields of /proc/PID/stat after the command in parentheses.
STATE, SESSION, START = 0, 3, 19


@dataclass(frozen=True)
class Process:
    pid: int
    # Clock ticks since the boot.
    start: int
    boot: str

    def alive(self):
        state, start = state_and_start(self.pid)
        return start == self.start and state not in ('Z', 'X') and \
            self.boot == boot_id()

    def of_another_boot(self):
        return bool(self.boot) and self.boot != boot_id()

    def signal(self, number):
        """Send it a signal; False if the process has ended."""
        try:
            fd = os.pidfd_open(self.pid)
        except OSError:
            return False
        try:
            # The descriptor holds on to one process, so this answer stays
            # right.
            if not self.alive():
                return False
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(fd, number)
                return True
            return False
        finally:
            os.close(fd)

    def as_json(self):
        return asdict(self)


def boot_id():
    return BOOT_ID.read_text(encoding='ascii').strip()


def fields(pid):
    """Of /proc/PID/stat, from the state on; None if there is no process."""
    try:
        text = Path(f'/proc/{pid}/stat').read_text(errors='replace')
    except OSError:
        return None
    return text.rpartition(')')[2].split()


def state_and_start(pid):
    """State and start of a process; None where there is none."""
    found = fields(pid)
    return (found[STATE], int(found[START])) if found else (None, None)


def session(pid):
    """The process that began the session of a process."""
    found = fields(pid)
    return int(found[SESSION]) if found else None


def identify(pid):
    """The process that has this id now, or None."""
    start = state_and_start(pid)[1]
    return None if start is None else Process(pid, start, boot_id())
