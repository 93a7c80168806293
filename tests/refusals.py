# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMUs that are to end by themselves, with one clear line."""

import re
import subprocess

from distkvm.common import QEMU, Problem
from distkvm.qtest import HEADLESS, PATIENCE

# Nobody is there; a node that fits would wait.
PEERS = 'peers=127.0.0.1:1/127.0.0.1:2,insecure=on'


def qemu(*args, timeout=PATIENCE):
    """Run QEMU until it ends by itself: exit status and messages."""
    process = subprocess.run(
        [str(QEMU), *HEADLESS, *args], capture_output=True,
        text=True, timeout=timeout, check=False, stdin=subprocess.DEVNULL)
    return process.returncode, process.stderr


def refused(wanted, *args):
    """QEMU ends with status 1 and says what is wrong, and no more."""
    status, text = qemu(*args)
    if status != 1:
        raise Problem(f'exit status {status}: {text[-300:]}')
    if not re.search(wanted, text):
        raise Problem(f"it does not say '{wanted}': {text[-300:]}")
    lines = [l for l in text.splitlines() if 'distkvm' in l]
    if len(lines) > 1:
        raise Problem(f'more than one line: {lines}')


def accel(options='node=0', machine='q35', smp='2'):
    return ['-machine', machine, '-smp', smp, '-m', '64M', '-accel',
            f'distkvm,{PEERS},{options}']


ACCEL = accel()
