# SPDX-License-Identifier: GPL-2.0-or-later
"""The protocol core's own tests, without QEMU."""

import re
import subprocess
import tempfile
import time
from pathlib import Path

from distkvm.accesses import record_accesses
from distkvm.common import CORE_BUILD, TOP, Problem


def run_program(results, program, full, suite='unit'):
    """Each line of its TAP output is a test."""
    started = time.monotonic()
    process = subprocess.run([str(program), '--tap',
                              *(['-m', 'slow'] if full else [])],
                             capture_output=True, text=True, check=False)
    seen = 0
    for line in process.stdout.splitlines():
        match = re.match(r'(ok|not ok) \d+ (/[^#]*)(.*)', line)
        if match:
            seen += 1
            outcome = 'passed' if match.group(1) == 'ok' else 'failed'
            outcome = 'skipped' if 'SKIP' in match.group(3) else outcome
            results.add(f'{suite}: {match.group(2).strip()}', outcome)
        elif line.startswith('# ') and 'random seed' not in line and \
                'Start of' not in line and 'End of' not in line:
            print('     ' + line[2:], flush=True)
    if process.returncode or not seen:
        results.add(f'{suite}: {program.name}', 'failed',
                    process.stderr.strip()[-500:] or
                    f'exit status {process.returncode}',
                    time.monotonic() - started)


def same_as(path, program, *args):
    """What the program prints is what the file holds."""
    tool = CORE_BUILD / 'tests' / 'sim' / program
    text = subprocess.run([str(tool), *args], capture_output=True, text=True,
                          check=True).stdout
    if text != (TOP / path).read_text():
        raise Problem(f'{path} is old; read the difference, then renew it: '
                      f"{tool} {' '.join(args)} >{path}")


def last_line(tool, *args):
    """Run a tool of ours; what it says last is what came out."""
    result = subprocess.run([str(CORE_BUILD / 'tests' / tool), *args],
                            capture_output=True, text=True, check=False)
    if result.returncode:
        raise Problem(result.stdout + result.stderr)
    return result.stdout.splitlines()[-1]


def recorded():
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
        return last_line('sim/coh-sim', '--trace', str(accesses))


def run(results, full):
    results.run('unit: the protocol tables in the docs are fresh', same_as,
                'docs/protocol-tables.rst', 'coh-print', 'tables')
    results.run('unit: golden traces', same_as, 'tests/sim/traces.txt',
                'coh-print', 'traces')
    # Seeds, each with a shape, network and workload of its own.
    results.run('unit: simulation', last_line, 'sim/coh-sim', '--vary',
                '--seeds', '10000' if full else '500')
    results.run('unit: recorded accesses, simulated', recorded)
    results.run('unit: fuzzing of frames and events', last_line,
                'unit/fuzz-core', '300' if full else '10')
    for program in sorted((CORE_BUILD / 'tests').glob('*/test-*')):
        if program.is_file():
            if results.wants(program.name):
                run_program(results, program, full)
