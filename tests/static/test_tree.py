# SPDX-License-Identifier: GPL-2.0-or-later
"""What a reader could check by hand: budgets, layers, style, docs."""

import os
import re
import subprocess
from concurrent.futures import ThreadPoolExecutor

import pytest

from distkvm.common import QEMU_TREE, TOP, Problem, call
from naming import named

pytestmark = pytest.mark.overlaps

# checkpatch knows the kernel's idea of these better than QEMU's.
CHECKPATCH_IGNORE = re.compile(
    r'line over 80|added, moved or deleted file|architecture specific')


@named('static: budget, layers, lengths, patches')
def test_qemu_tree_check():
    call([TOP / 'scripts' / 'qemu-tree', '--tree', QEMU_TREE, 'check'],
         stdout=subprocess.PIPE, text=True)


def c_sources():
    for directory in ('accel', 'hw', 'include', 'tests'):
        for path in sorted((TOP / directory).rglob('*')):
            if path.name.endswith(('.c', '.h', '.c.inc')):
                yield path.relative_to(TOP)


def complaints(path):
    """One file a call: checkpatch believes in the types of earlier ones."""
    script = QEMU_TREE / 'scripts' / 'checkpatch.pl'
    result = subprocess.run(
        ['perl', str(script), '--no-tree', '--terse', '-f', path],
        capture_output=True, text=True, cwd=TOP, check=False)
    # 1: there are complaints, maybe only some that are ignored.
    if result.stderr or result.returncode not in (0, 1):
        raise Problem(f'{script} failed: {result.stderr[-400:]}')
    return [line for line in result.stdout.splitlines()
            if ('ERROR:' in line or 'WARNING:' in line) and
            not CHECKPATCH_IGNORE.search(line)]


@pytest.mark.first
@named('static: checkpatch')
def test_checkpatch():
    """QEMU's own style checker, on every file of ours."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        problems = [line for lines in pool.map(complaints, c_sources())
                    for line in lines]
    if problems:
        raise Problem('\n'.join(problems[:20]))


@named('static: README names real tests')
def test_documented_tests():
    """Every test that the README's table names exists."""
    text = (TOP / 'README.rst').read_text()
    code = ''.join(p.read_text() for p in (TOP / 'tests').rglob('*')
                   if p.suffix in ('.py', '.c') or p.name == 'meson.build')
    missing = [name for name in re.findall(r'``test: ([^`]+)``', text)
               if name.split(' ', 1)[-1] not in code]
    if missing:
        raise Problem(f'the README names tests that do not exist: {missing}')


@named('static: docs name real files')
def test_links():
    """Files that the documentation refers to exist."""
    missing = []
    for path in [TOP / 'README.rst', *sorted((TOP / 'docs').rglob('*.rst'))]:
        for name in re.findall(
                r'``((?:accel|docs|hw|scripts|python|tests|include|qemu-patches)/'
                r'[\w./-]+)``', path.read_text()):
            if not (TOP / name).exists():
                missing.append(f'{path.relative_to(TOP)}: {name}')
    if missing:
        raise Problem('\n'.join(missing))


@named('static: wire format documented')
def test_wire_table():
    """docs/wire-format.rst says what the newest version of frames changed.

    Their fields are printed from the code: the unit suite compares them."""
    code = (TOP / 'accel/distkvm/wire/wire.h').read_text()
    version = re.search(r'#define WIRE_VERSION (\d+)', code).group(1)
    text = (TOP / 'docs/wire-format.rst').read_text()
    if not re.search(rf'^\* Version {version}: ', text, re.M):
        raise Problem(f'docs/wire-format.rst does not say what version '
                      f'{version} changed')


@named('static: control messages in the docs are fresh')
def test_message_chapter():
    """The chapter on control messages is what their schema says."""
    call([TOP / 'scripts' / 'message-docs', '--check'])
