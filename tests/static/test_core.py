# SPDX-License-Identifier: GPL-2.0-or-later
"""Output of the protocol core's tools, without QEMU."""

import subprocess
import tempfile
from pathlib import Path

from distkvm.accesses import record_accesses
from distkvm.common import CORE_BUILD, TOP, Problem
from naming import cases, named

TOOLS = CORE_BUILD / 'tests' / 'sim'


def output(program, *args):
    result = subprocess.run([str(TOOLS / program), *args],
                            capture_output=True, text=True, check=False)
    if result.returncode:
        raise Problem(result.stdout + result.stderr)
    return result.stdout


@cases('path, command', {
    'unit: the protocol tables in the docs are fresh':
        ('docs/protocol-tables.rst', ('coh-print', 'tables')),
    'unit: the frames in the docs are fresh':
        ('docs/wire-frames.rst', ('wire-print',)),
    'unit: golden traces': ('tests/sim/traces.txt', ('coh-print', 'traces')),
})
def test_same_as(path, command):
    """The file holds the output of the command."""
    if output(*command) != (TOP / path).read_text():
        raise Problem(f'{path} is old; read the difference, then renew it: '
                      f"{TOOLS}/{' '.join(command)} >{path}")


@named('unit: recorded accesses, simulated')
def test_recorded(note):
    """Faults that nodes traced, as accesses of the simulator."""
    faults = [['page 0x1f write 1 tid 7', 'page 0x20 write 0 tid 7'],
              ['page 0x1f write 0 tid 8']]
    with tempfile.TemporaryDirectory() as name:
        logs = [Path(name) / f'node-{n}.log' for n in range(len(faults))]
        for log, lines in zip(logs, faults):
            log.write_text(''.join(f'812@1700000000.5:distkvm_fault {line}\n'
                                   for line in lines))
        accesses = Path(name) / 'accesses'
        record_accesses(logs, accesses)
        if accesses.read_text() != '0 31 w\n0 32 r\n1 31 r\n':
            raise Problem(accesses.read_text())
        output('lane-sim', '--trace', str(accesses))
        note(output('coh-sim', '--trace', str(accesses)).splitlines()[-1])
