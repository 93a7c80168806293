# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors that only QEMU knows: of machines, CPUs, and its options.

It starts without a disk, a network or a guest that runs, and is told to quit.
The words with which it refuses are an error of the file; see facts.py for
reasons."""

import json
import re
import subprocess

from ..cluster import SANDBOX

SECONDS = 30
QUIT = ''.join(json.dumps({'execute': name}) + '\n'
               for name in ('qmp_capabilities', 'quit'))
BARE = ['-accel', 'tcg', '-nodefaults', '-display', 'none', '-S', '-qmp',
        'stdio']
# Words ahead of an error that are no part of it.
PROGRAM = re.compile(r'^\S*qemu-system-\w+: ')
# A line that names the place of an error in QEMU; the next one has the error.
ABORTED = 'Unexpected error in '


class Untried(Exception):
    """A QEMU has not ended in time, which is no error of its options."""


def says(qemu, args):
    """The error with which a QEMU ends, or None; raises Untried."""
    try:
        done = subprocess.run([qemu, *args], input=QUIT, check=False,
                              text=True, capture_output=True, timeout=SECONDS,
                              errors='replace')
    except subprocess.TimeoutExpired as late:
        raise Untried(f'{qemu} was tried for {SECONDS} s and did not '
                      'end') from late
    except OSError:
        # The version that it was asked for has said whether it runs at all.
        return None
    if not done.returncode:
        return None
    lines = [line for line in done.stderr.splitlines()
             if 'warning: ' not in line and not line.startswith(ABORTED)] or \
        [f'status {done.returncode}']
    return PROGRAM.sub('', lines[0])


def trial(request):
    """A key of the file and QEMU's error of it, or None; for the key None it is
    why the rest was not tried.

    `request`: the path `qemu`; pairs of a key and its option, in `options`; and
    node 0's `arguments`."""
    try:
        return refused(request)
    except Untried as late:
        return None, str(late)


def refused(request):
    """The same; raises Untried."""
    qemu = request['qemu']
    # Of a QEMU that is told to show its version first, all options must be
    # right, and none is done.
    wrong = says(qemu, ['-version', *request['arguments']])
    if wrong:
        return 'arguments', wrong
    options = [('qemu', SANDBOX), *request['options']]
    if says(qemu, BARE + [word for _, each in options for word in each]):
        tried = list(BARE)
        for key, each in options:
            tried += each
            wrong = says(qemu, tried)
            if wrong:
                return key, wrong
    return None
