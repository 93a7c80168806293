# SPDX-License-Identifier: GPL-2.0-or-later
"""A full run that goes on where it was; one that has a limit of time, and one that
is ended."""

import shutil
import signal
import subprocess
import time
from types import SimpleNamespace

from distkvm.cli.test import Run
from distkvm.common import Problem, TOP
from distkvm.junit import NO_TIME
from naming import cases, named

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


LONG = '''
import time
import pytest
from naming import named

@pytest.fixture
def node():
    open('began', 'x').close()
    yield
    open('ended', 'x').close()

@named('long')
def test_long(node):
    time.sleep(60)
'''


def command(path, modules, *args):
    """What runs a suite with these modules, by letter."""
    for name in ('conftest.py', 'naming.py', 'pytest.ini'):
        shutil.copy(TOP / 'tests' / name, path)
    for letter, text in modules.items():
        (path / f'test_{letter}.py').write_text(text)
    return ['/usr/bin/python3', '-m', 'pytest', '-qq', *args,
            f'--override-ini=pythonpath={TOP}/python .',
            *(f'test_{letter}.py' for letter in modules)]


def suite(path, letters, *args):
    """A run of a suite with such modules."""
    return subprocess.run(
        command(path, {letter: MODULE.format(letter) for letter in letters},
                *args), cwd=path, capture_output=True, text=True, check=False)


@named('static: tests that passed earlier stand between others')
def test_resume(tmp_path):
    passed = tmp_path / 'passed'
    passed.write_text('a second\nb first\nb second\n')
    run = suite(tmp_path, 'abc', '--passed=passed')
    if run.returncode or run.stdout.count('ok  ') != 6:
        raise Problem(run.stdout + run.stderr)
    told = (tmp_path / 'told').read_text().splitlines()
    if told != ['a first', 'c first', 'c second']:
        raise Problem(f'these ran: {told}')
    if sorted(passed.read_text().splitlines()) != [
            f'{letter} {which}' for letter in 'abc'
            for which in ('first', 'second')]:
        raise Problem(passed.read_text())


@cases('seconds, mark', {
    'static: a test for which there is no time is skipped': (-1, 'SKIP'),
    'static: a test for which there is time runs': (600, 'ok  ')})
def test_until(tmp_path, seconds, mark):
    run = suite(tmp_path, 'a', f'--until={time.time() + seconds}')
    if run.returncode or run.stdout.count(f'{mark} a ') != 2:
        raise Problem(run.stdout + run.stderr)
    if (NO_TIME in run.stdout) != (seconds < 0):
        raise Problem(run.stdout)


@cases('seconds, left', {
    'static: tests for which there is no time are counted': (-1, 1),
    'static: tests for which there is time are no such': (600, 0)})
def test_counted(seconds, left):
    run = Run(SimpleNamespace(only='static: tests that passed earlier',
                              full=False), ['static'], time.time() + seconds)
    run.end(run.start('counted', 'tests/static/test_resume.py'))
    assert run.untimely == left and sum(run.counts.values()) == 1


@named('static: tests of a background job clean up when they are ended')
def test_stopped(tmp_path):
    """A shell lets its background jobs ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # pylint: disable-next=consider-using-with
        process = subprocess.Popen(command(tmp_path, {'a': LONG}),
                                   cwd=tmp_path, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGINT, before)
    while process.poll() is None and not (tmp_path / 'began').exists():
        time.sleep(0.05)
    Run.stop((None, process))
    assert process.wait() not in (0, -signal.SIGKILL)
    assert (tmp_path / 'ended').exists()
