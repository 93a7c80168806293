# SPDX-License-Identifier: GPL-2.0-or-later
"""Stop one thread of another process, and no other: now, or at an address."""

import contextlib
import ctypes
import errno
import os
import signal
import time
from pathlib import Path

from .common import Problem

SEIZE, INTERRUPT, CONT, DETACH = 0x4206, 0x4207, 7, 17
GETREGS, SETREGS = 12, 13
# struct user_regs_struct, of which this is RIP.
REGS, RIP = ctypes.c_uint64 * 27, 16
INT3 = b'\xcc'
# waitpid()'s, for threads that are nobody's children.
WALL = 0x40000000


def threads(pid, name):
    """Numbers of a process's threads that have this name."""
    found = []
    for task in Path(f'/proc/{pid}/task').iterdir():
        with contextlib.suppress(OSError):
            if (task / 'comm').read_text().strip() == name:
                found.append(int(task.name))
    return sorted(found)


def ptrace(request, thread, data=None):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                            ctypes.c_void_p]
    if libc.ptrace(request, thread, None, data):
        error = ctypes.get_errno()
        raise Problem(
            'ptrace needs to be allowed' if error == errno.EPERM else
            f'ptrace {request} of {thread}: {os.strerror(error)}')


@contextlib.contextmanager
def stopped(thread):
    """A thread that does nothing meanwhile; to be used by one of our threads
    alone, whom the kernel takes for the tracer."""
    ptrace(SEIZE, thread)
    ptrace(INTERRUPT, thread)
    os.waitpid(thread, WALL)
    try:
        yield
    finally:
        with contextlib.suppress(Problem):
            ptrace(DETACH, thread)


def wait_trap(thread, seconds):
    """Until the thread is at an INT3; its signals go to it."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        found, status = os.waitpid(thread, WALL | os.WNOHANG)
        if not found:
            time.sleep(0.001)
        elif os.WIFSTOPPED(status):
            if os.WSTOPSIG(status) == signal.SIGTRAP:
                return
            ptrace(CONT, thread, os.WSTOPSIG(status))
        else:
            break
    raise Problem(f'thread {thread} has not come to its breakpoint')


class Breakpoint:
    """Where one thread stops; any other that comes there ends the process."""

    def __init__(self, thread, address):
        self.thread, self.address = thread, address
        self.stands = False
        self.code = self.swap(INT3)

    def swap(self, code):
        """Put other code there; what was there."""
        with open(f'/proc/{self.thread}/mem', 'r+b', buffering=0) as memory:
            memory.seek(self.address)
            before = memory.read(len(code))
            memory.seek(self.address)
            memory.write(code)
        return before

    def wait(self, seconds=20):
        """Until the thread stands there."""
        wait_trap(self.thread, seconds)
        self.stands = True

    def leave(self):
        """All is as if it had not been there."""
        if not self.stands:
            ptrace(INTERRUPT, self.thread)
            os.waitpid(self.thread, WALL)
        self.swap(self.code)
        regs = REGS()
        ptrace(GETREGS, self.thread, ctypes.addressof(regs))
        # The processor is behind an INT3 that it has executed.
        if regs[RIP] == self.address + len(INT3):
            regs[RIP] = self.address
            ptrace(SETREGS, self.thread, ctypes.addressof(regs))


@contextlib.contextmanager
def breakpoint_at(thread, address):
    """A breakpoint to wait for, once; as stopped()."""
    ptrace(SEIZE, thread)
    try:
        point = Breakpoint(thread, address)
        try:
            yield point
        finally:
            point.leave()
    finally:
        # One that does not stand is left when its tracer ends.
        with contextlib.suppress(Problem):
            ptrace(DETACH, thread)
