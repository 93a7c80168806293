# SPDX-License-Identifier: GPL-2.0-or-later
"""The tool itself, called as a user calls it."""

import subprocess

from distkvm.common import TOP

TOOL = TOP / 'scripts' / 'distkvm'
TIMEOUT = 240


def tool(*args, timeout=TIMEOUT, **kwargs):
    return subprocess.run([str(TOOL), *args], capture_output=True, text=True,
                          timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL, **kwargs)
