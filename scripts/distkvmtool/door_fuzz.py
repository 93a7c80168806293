# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged bytes, under sanitizers: greetings, handshakes, bunches of frames."""

import subprocess

from distkvm import build
from distkvm.common import QEMU_BUILD, Problem

TARGET = 'tests/qtest/distkvm/fuzz-door'
# Seconds in every run; and with --full, with inputs after which it ends.
MODES = (('stream', 20, 3600, 10 ** 8), ('door', 20, 300, 10 ** 8),
         ('tls', 20, 300, 10 ** 8))


def fuzz(mode, seconds, inputs):
    build.build_qemu(TARGET)
    result = subprocess.run([str(QEMU_BUILD / TARGET), mode, str(seconds),
                             str(inputs)], capture_output=True, text=True,
                            check=False)
    if result.returncode:
        raise Problem(result.stdout + result.stderr[-800:])
    return result.stdout.splitlines()[-1]


def run(results, full):
    for mode, short, long, inputs in MODES:
        results.run(f'door: fuzzing, {mode}', fuzz, mode,
                    long if full else short, inputs)
