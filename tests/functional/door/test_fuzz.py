# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged bytes, under sanitizers: greetings, handshakes, bunches of frames."""

import subprocess

import pytest

from distkvm.common import QEMU_BUILD, Problem
from naming import cases

TARGET = 'tests/qtest/distkvm/fuzz-door'
# Inputs after which it ends.
INPUTS = 10 ** 8


@pytest.mark.first
@pytest.mark.overlaps
@pytest.mark.timeout(7200)
@cases('mode, seconds, full_seconds', {
    'door: fuzzing, stream': ('stream', 20, 3600),
    'door: fuzzing, door': ('door', 20, 300),
    'door: fuzzing, tls': ('tls', 20, 300)})
def test_fuzz(mode, seconds, full_seconds, full, note):
    result = subprocess.run(
        [str(QEMU_BUILD / TARGET), mode,
         str(full_seconds if full else seconds), str(INPUTS)],
        capture_output=True, text=True, check=False)
    if result.returncode:
        raise Problem(result.stdout + result.stderr[-800:])
    note(result.stdout.splitlines()[-1])
