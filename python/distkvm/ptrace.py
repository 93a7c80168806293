# SPDX-License-Identifier: GPL-2.0-or-later
"""Stop one thread of another process, and no other."""

import contextlib
import ctypes
import os
from pathlib import Path

from .common import Problem

SEIZE, INTERRUPT, DETACH = 0x4206, 0x4207, 17
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


def ptrace(request, thread):
    libc = ctypes.CDLL(None, use_errno=True)
    libc.ptrace.restype = ctypes.c_long
    libc.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p,
                            ctypes.c_void_p]
    if libc.ptrace(request, thread, None, None):
        raise Problem('ptrace needs to be allowed: '
                      f'{os.strerror(ctypes.get_errno())}')


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
