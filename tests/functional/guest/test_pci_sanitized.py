# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices of another node come and go, and nobody uses what was freed."""

import os
import subprocess

import pytest

from distkvm import sanitized
from distkvm.common import QEMU_BUILD, Problem
from naming import cases

TEST = QEMU_BUILD / 'tests' / 'qtest' / 'distkvm-test'
ROUNDS = '200'


@pytest.mark.timeout(3600)
@cases('path', {}, {
    'pci: devices come and go 200 times, under ASan':
        '/x86_64/distkvm/hotplug/rounds',
    'pci: tests of devices that come and go, under ASan':
        '/x86_64/distkvm/hotplug',
    'pci: tests of devices of other nodes, under ASan':
        '/x86_64/distkvm/pci'})
def test_sanitized(path, note):
    """Node 2 looks at the device meanwhile, and so do the monitors."""
    count = sanitized.build()
    rounds = {'DISTKVM_ROUNDS': ROUNDS} if path.endswith('rounds') else {}
    result = subprocess.run(
        [str(TEST), '--tap', '-p', path], cwd=QEMU_BUILD, check=False,
        capture_output=True, text=True, env=dict(
            os.environ, QTEST_QEMU_BINARY=str(sanitized.PROGRAM),
            QTEST_QEMU_IMG=str(QEMU_BUILD / 'qemu-img'),
            ASAN_OPTIONS=sanitized.OPTIONS, **rounds))
    passed = result.stdout.count('\nok ')
    if result.returncode or not passed or 'AddressSanitizer' in result.stderr:
        raise Problem(f'{result.stdout[-300:]} {result.stderr[-3000:]}')
    note(f'{passed} tests, {count} sources watched')
