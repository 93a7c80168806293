# SPDX-License-Identifier: GPL-2.0-or-later
"""qtests: nodes that execute no guest code, and QEMU's bugs mended here."""

import os
import re
import subprocess

from distkvm.common import QEMU, QEMU_BUILD

# Programs of tests/qtest and the group of their tests.
PROGRAMS = [('distkvm-test', 'distkvm'), ('x2apic-test', 'x2apic')]


def run(results, full):
    del full
    environment = dict(os.environ, QTEST_QEMU_BINARY=str(QEMU),
                       QTEST_QEMU_IMG=str(QEMU_BUILD / 'qemu-img'),
                       MALLOC_PERTURB_='165')
    for name, group in PROGRAMS:
        program = QEMU_BUILD / 'tests' / 'qtest' / name
        listed = subprocess.run([str(program), '-l'], capture_output=True,
                                text=True, env=environment, check=True).stdout
        for test in re.findall(rf'^(/\S+/{group}/\S+)$', listed, re.M):
            results.run(f"qtest: {test.split('/', 2)[2]}", run_one, program,
                        test, environment)


def run_one(program, test, environment):
    process = subprocess.run([str(program), '--tap', '-k', '-p', test],
                             capture_output=True, text=True, check=False,
                             env=environment, cwd=QEMU_BUILD, timeout=120)
    passed = re.search(r'^ok \d+ (?!.*SKIP)', process.stdout, re.M)
    assert not process.returncode and passed, \
        (process.stderr + process.stdout)[-600:]
