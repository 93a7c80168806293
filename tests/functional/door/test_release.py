# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian's releases from nothing: the README's commands in a fresh root file
system, of root and of a user who cannot become root."""

import re
import time

import pytest

from distkvm.common import Problem
from naming import cases
from release import BUILD_SECONDS, TREE, USER, USER_ID, tail

pytestmark = [pytest.mark.full, pytest.mark.timeout(2 * BUILD_SECONDS),
              pytest.mark.root('debootstrap, and namespaces')]

RIGHT = 'one guest ran over all nodes, and its results are right'
# Warnings about files of this project, and not of QEMU.
OURS = re.compile(r'^\S*(?:distkvm|cluster)\S*:\d+:\d+: warning: .*', re.M)
# The tests that depend on the compiler, the libraries, Python, and libvirt.
TESTS = ('static unit qtest memory', '--only libvirt: guest')


def each(name):
    return {f'door: release: Debian {release}: {name}': release
            for release in ('12', '13')}


@cases('release', each('root, from nothing'))
def test_root(release, roots, note):
    started = time.monotonic()
    root, said, compiled = roots.built(release)
    if RIGHT not in said:
        raise Problem(f'the demo does not say "{RIGHT}": {said[-2000:]}')
    warned = OURS.findall(compiled)
    if warned:
        raise Problem('\n'.join(warned))
    note(f'{time.monotonic() - started:.0f} s; gcc '
         f"{root.must('gcc -dumpfullversion').stdout.strip()}")


@cases('release, tests', {
    f'door: release: Debian {release}: tests: {tests}': (release, tests)
    for release in ('12', '13') for tests in TESTS})
def test_tests(release, tests, roots, note):
    root, _, _ = roots.built(release)
    said = root.run(f'cd /root/{TREE} && scripts/distkvm test {tests}',
                    seconds=BUILD_SECONDS)
    if said.returncode:
        failed = re.findall(r'^FAIL .*(?:\n(?!ok  |SKIP).*)*', said.stdout, re.M)
        raise Problem('\n'.join(failed) or tail(said))
    note(said.stdout.splitlines()[-1])


@cases('release', each('a user, from nothing'))
def test_user(release, roots, note):
    """Root types the commands that the user is told."""
    root = roots.with_tree(release)
    root.add_user()
    root.put_tree(f'home/{USER}', USER_ID)
    demo = f'cd /home/{USER}/{TREE} && scripts/distkvm demo'
    told = root.run(demo, USER)
    commands = re.findall(r'^  sudo (.*)', told.stderr, re.M)
    if told.returncode != 1 or not commands or 'Traceback' in told.stderr:
        raise Problem(f'a user without packages is told: {tail(told)}')
    for command in commands:
        root.must(command, seconds=BUILD_SECONDS)
    started = time.monotonic()
    said = root.must(demo, USER, BUILD_SECONDS)
    assert RIGHT in said.stderr
    note(f'{time.monotonic() - started:.0f} s after {len(commands)} commands '
         'of root')
