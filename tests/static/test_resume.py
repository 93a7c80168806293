# SPDX-License-Identifier: GPL-2.0-or-later
"""A full run that goes on where it was."""

import shutil
import subprocess

from distkvm.common import Problem, TOP
from naming import named

MODULE = '''
import pytest
from naming import named

@pytest.fixture(scope='module')
def told():
    with open('told', 'a', encoding='utf-8') as told:
        yield told

@named('{0} first')
def test_first(told):
    told.write('{0} first\\n')

@named('{0} second')
def test_second(told):
    told.write('{0} second\\n')
'''


@named('static: tests that passed earlier stand between others')
def test_resume(tmp_path):
    for name in ('conftest.py', 'naming.py', 'pytest.ini'):
        shutil.copy(TOP / 'tests' / name, tmp_path)
    for letter in 'abc':
        (tmp_path / f'test_{letter}.py').write_text(MODULE.format(letter))
    passed = tmp_path / 'passed'
    passed.write_text('a second\nb first\nb second\n')
    run = subprocess.run(
        ['/usr/bin/python3', '-m', 'pytest', '-qq', '--passed=passed',
         f'--override-ini=pythonpath={TOP}/python .', *'test_a.py test_b.py '
         'test_c.py'.split()],
        cwd=tmp_path, capture_output=True, text=True, check=False)
    if run.returncode or run.stdout.count('ok  ') != 6:
        raise Problem(run.stdout + run.stderr)
    told = (tmp_path / 'told').read_text().splitlines()
    if told != ['a first', 'c first', 'c second']:
        raise Problem(f'these ran: {told}')
    if sorted(passed.read_text().splitlines()) != [
            f'{letter} {which}' for letter in 'abc'
            for which in ('first', 'second')]:
        raise Problem(passed.read_text())
