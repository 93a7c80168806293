# SPDX-License-Identifier: GPL-2.0-or-later
"""Damaged bytes, under sanitizers: greetings, handshakes, bunches of frames,
control messages."""

import re
import subprocess

import pytest

from distkvm.common import QEMU_BUILD, Problem
from naming import cases

TARGET = 'tests/qtest/distkvm/fuzz-door'
# Inputs after which it ends.
INPUTS = 10 ** 8
# With --full this mode must get there; docs/testing.rst has the others.
GETS_THERE = 'stream'


@pytest.mark.first
@pytest.mark.overlaps
@pytest.mark.timeout(7200)
@cases('mode, seconds, full_seconds', {
    'door: fuzzing, stream': ('stream', 15, 7000),
    'door: fuzzing, message': ('message', 15, 3600),
    'door: fuzzing, door': ('door', 15, 300),
    'door: fuzzing, tls': ('tls', 15, 300)})
def test_fuzz(mode, seconds, full_seconds, full, note):
    result = subprocess.run(
        [str(QEMU_BUILD / TARGET), mode,
         str(full_seconds if full else seconds), str(INPUTS)],
        capture_output=True, text=True, check=False)
    if result.returncode:
        raise Problem(result.stdout + result.stderr[-800:])
    said = result.stdout.splitlines()[-1]
    inputs = int(re.search(r'(\d+) inputs', said).group(1))
    if full and mode == GETS_THERE and inputs < INPUTS:
        raise Problem(f'not {INPUTS} inputs within {full_seconds} s: {said}')
    note(said)
