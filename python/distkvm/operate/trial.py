# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors that only QEMU knows: of machines, CPUs, and its options.

It starts without a disk, a network or a guest that runs, and is told to quit.
The words with which it refuses are an error of the file; see facts.py for
reasons."""

import json
import re
import subprocess
import time

from ..cluster import SANDBOX

# All trials of one purpose end within these, or within the most that a host has
# beside its other answers (remote.ANSWER_SECONDS).  QEMU makes a thread for each
# vCPU: 256 of them took 12 s of CPU time.
SECONDS, VCPU_SECONDS, SECONDS_MAX = 30, 0.15, 75
QUIT = ''.join(json.dumps({'execute': name}) + '\n'
               for name in ('qmp_capabilities', 'quit'))
BARE = ['-accel', 'tcg', '-nodefaults', '-display', 'none', '-S', '-qmp',
        'stdio']
# Words ahead of an error that are no part of it.
PROGRAM = re.compile(r'^\S*qemu-system-\w+: ')
# A line that names the place of an error in QEMU; the next one has the error.
ABORTED = 'Unexpected error in '


class Untried(Exception):
    """A QEMU that has not said whether its options are right, and a remedy."""

    def __init__(self, reason, remedy):
        self.reason, self.remedy = reason, remedy
        super().__init__(reason)


class Limit:
    """The time that trials have together, for a machine of these vCPUs."""

    def __init__(self, vcpus=0):
        self.seconds = min(SECONDS + round(vcpus * VCPU_SECONDS), SECONDS_MAX)
        self.end = time.monotonic() + self.seconds

    def left(self):
        return self.end - time.monotonic()


def says(qemu, args, limit):
    """The error with which a QEMU ends, or None; raises Untried."""
    late = Untried(f'{qemu} was tried for {limit.seconds} s and did not end',
                   'run check again when that host has less to do')
    left = limit.left()
    if left <= 0:
        raise late
    try:
        done = subprocess.run([qemu, *args], input=QUIT, check=False,
                              text=True, capture_output=True, timeout=left,
                              errors='replace')
    except subprocess.TimeoutExpired:
        raise late from None
    except OSError as error:
        # It has said its version before.
        raise Untried(f'{qemu} could not be started once more '
                      f'({error.strerror})', 'see that the host has memory, and '
                      'run check again') from None
    if not done.returncode:
        return None
    lines = [line for line in done.stderr.splitlines()
             if 'warning: ' not in line and not line.startswith(ABORTED)] or \
        [f'status {done.returncode}']
    return PROGRAM.sub('', lines[0])


def trial(request):
    """A key of the file and QEMU's error of it, or None; for the key None it is
    a pair: why the rest was not tried, and a remedy.

    `request`: the path `qemu`; pairs of a key and its option, in `options`;
    node 0's `arguments`; and how many `vcpus` there are."""
    try:
        return refused(request, Limit(request.get('vcpus', 0)))
    except Untried as untried:
        return None, (untried.reason, untried.remedy)


def refused(request, limit):
    """The same; raises Untried."""
    qemu = request['qemu']
    # Of a QEMU that is told to show its version first, all options must be
    # right, and none is done.
    wrong = says(qemu, ['-version', *request['arguments']], limit)
    if wrong:
        return 'arguments', wrong
    options = [('qemu', SANDBOX), *request['options']]
    if says(qemu, BARE + [word for _, each in options for word in each], limit):
        tried = list(BARE)
        for key, each in options:
            tried += each
            wrong = says(qemu, tried, limit)
            if wrong:
                return key, wrong
    return None
