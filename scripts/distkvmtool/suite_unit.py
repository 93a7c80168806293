# SPDX-License-Identifier: GPL-2.0-or-later
"""The protocol core's own tests, without QEMU."""

import re
import subprocess
import time

from .common import CORE_BUILD


def run_program(results, program):
    """Each line of its TAP output is a test."""
    started = time.monotonic()
    process = subprocess.run([str(program), '--tap'], capture_output=True,
                             text=True, check=False)
    seen = 0
    for line in process.stdout.splitlines():
        match = re.match(r'(ok|not ok) \d+ (\S+)(.*)', line)
        if match:
            seen += 1
            outcome = 'passed' if match.group(1) == 'ok' else 'failed'
            outcome = 'skipped' if 'SKIP' in match.group(3) else outcome
            results.add(f'unit: {match.group(2)}', outcome)
        elif line.startswith('# ') and 'random seed' not in line and \
                'Start of' not in line and 'End of' not in line:
            print('     ' + line[2:], flush=True)
    if process.returncode or not seen:
        results.add(f'unit: {program.name}', 'failed',
                    process.stderr.strip()[-500:] or
                    f'exit status {process.returncode}',
                    time.monotonic() - started)


def run(results, full):
    del full
    for program in sorted((CORE_BUILD / 'tests' / 'unit').glob('test-*')):
        if program.is_file():
            if results.wants(program.name):
                run_program(results, program)
