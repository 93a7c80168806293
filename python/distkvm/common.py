# SPDX-License-Identifier: GPL-2.0-or-later
"""Paths, messages and processes that all verbs use."""

import os
import subprocess
import sys
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
BUILD = TOP / 'build'
QEMU_TREE = BUILD / 'qemu'
QEMU_BUILD = BUILD / 'qemu-build'
QEMU = QEMU_BUILD / 'qemu-system-x86_64'
QEMU_IMG = QEMU_BUILD / 'qemu-img'
# A client of coherent memory that is not QEMU.
EMULATOR = QEMU_BUILD / 'tests' / 'qtest' / 'distkvm' / 'distkvm-emulator'
CORE_BUILD = BUILD / 'core'
GUEST = BUILD / 'guest'


class Problem(Exception):
    """Something the user should read, without a traceback."""


def say(text):
    """The tool's own messages go to standard error."""
    print(f'distkvm: {text}', file=sys.stderr, flush=True)


def call(args, **kwargs):
    """Run a command; a failure becomes a Problem that shows its output."""
    args = [str(a) for a in args]
    result = subprocess.run(args, check=False, **kwargs)
    if result.returncode:
        shown = ''
        for stream in (result.stdout, result.stderr):
            if stream:
                text = stream if isinstance(stream, str) else stream.decode()
                shown += '\n' + text[-4000:]
        raise Problem(f"'{' '.join(args)}' failed with exit status "
                      f'{result.returncode}{shown}')
    return result


def quiet(args, **kwargs):
    return call(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                text=True, **kwargs).stdout


def parse_size(text):
    """Bytes of a size as QEMU writes it; a bare number is MiB."""
    units = {'K': 1 << 10, 'M': 1 << 20, 'G': 1 << 30, 'T': 1 << 40}
    text = text.strip().upper()
    try:
        if text and text[-1] in units:
            return int(float(text[:-1]) * units[text[-1]])
        return int(text) << 20
    except ValueError:
        raise Problem(f"'{text}' is not a size; write 512M or 2G") from None


def keep_to(pid, cpu):
    """All threads of a process on one CPU, as far as there are so many."""
    cpus = sorted(os.sched_getaffinity(0))
    for thread in os.listdir(f'/proc/{pid}/task'):
        os.sched_setaffinity(int(thread), [cpus[cpu % len(cpus)]])
