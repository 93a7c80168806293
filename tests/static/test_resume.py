# SPDX-License-Identifier: GPL-2.0-or-later
"""A full run that goes on where it was; one that has a limit of time, and one that
is ended."""

import shutil
import signal
import subprocess
import time
from types import SimpleNamespace

import pytest

from distkvm.cli import test as verb
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


def in_c(monkeypatch, tmp_path, **args):
    """A run of a suite with three cases in two programs in C."""
    monkeypatch.setitem(verb.IN_C, 'unit', (tmp_path, ()))
    monkeypatch.setattr(verb, 'programs', lambda *_: {
        'one': ['a', 'b'], 'two': ['c']}.items())
    return Run(SimpleNamespace(**{'only': None, 'full': False, **args}), ['unit'],
               time.time() - 1)


@cases('only, left', {
    'static: cases in C for which there is no time are counted': (None, 3),
    'static: cases in C that were not asked for are not counted': ('b', 1)})
def test_counted_in_c(monkeypatch, tmp_path, capsys, only, left):
    run = in_c(monkeypatch, tmp_path, only=only)
    run.programs('unit')
    assert run.untimely == run.counts['skipped'] == left
    assert capsys.readouterr().out.count(NO_TIME) == left


@named('static: programs in C that passed earlier need no time')
def test_earlier_in_c(monkeypatch, tmp_path):
    run = in_c(monkeypatch, tmp_path)
    run.record = tmp_path / 'passed'
    run.record.write_text('unit: all programs in C\n')
    report = tmp_path / 'meson-logs' / 'distkvm-unit.junit.xml'
    report.parent.mkdir()
    report.write_text('<t><testcase name="a"/></t>')
    run.programs('unit')
    assert run.counts == {'passed': 1} and not run.untimely


@cases('left, wanted', {
    'static: the last lines of a run that had time': (0, ''),
    'static: the last lines of a run that had none':
        (8, 'NOT ALL WAS TRIED: for 8 tests --minutes gave no time\n')})
def test_last_lines(monkeypatch, capsys, left, wanted):
    """Its exit status is 0, so the line must say it."""
    def all_of(run):
        run.counts.update(passed=3, skipped=9)
        run.untimely = left

    monkeypatch.setattr(verb, 'prepare', lambda _: None)
    monkeypatch.setattr(Run, 'all', all_of)
    assert verb.main(SimpleNamespace(suites=['static'], minutes=1., only=None,
                                     full=False)) == 0
    assert capsys.readouterr().out == \
        f'{wanted}3 passed, 0 failed, 9 skipped\n'


MESON = '''#!/bin/sh
trap 'touch HERE/ended; exit 1' TERM
touch HERE/began
for i in $(seq 300); do sleep 0.1; done
'''


@named('static: programs in C end with the run')
def test_stopped_in_c(monkeypatch, tmp_path):
    """meson ends its tests, which have sessions of their own, by this signal."""
    class Awaited(subprocess.Popen):
        """The run ends while it waits for this process."""

        def wait(self, timeout=None):
            if timeout:
                return super().wait(timeout)
            while not (tmp_path / 'began').exists():
                time.sleep(0.05)
            raise KeyboardInterrupt

    meson = tmp_path / 'meson'
    meson.write_text(MESON.replace('HERE', str(tmp_path)))
    meson.chmod(0o755)
    run = in_c(monkeypatch, tmp_path)
    run.until = None
    monkeypatch.setattr(verb.build, 'meson_of', lambda _: meson)
    monkeypatch.setattr(verb.subprocess, 'Popen', Awaited)
    with pytest.raises(KeyboardInterrupt):
        run.programs('unit')
    assert (tmp_path / 'ended').exists()


@cases('args', {
    'static: tests of a background job clean up when they are ended': []}, {
    # Workers have 5 s to end by themselves.
    'static: workers of a background job clean up when it is ended': ['-n1']})
def test_stopped(tmp_path, args):
    """A shell lets its background jobs ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        # pylint: disable-next=consider-using-with
        process = subprocess.Popen(command(tmp_path, {'a': LONG}, *args),
                                   cwd=tmp_path, stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
    finally:
        signal.signal(signal.SIGINT, before)
    while process.poll() is None and not (tmp_path / 'began').exists():
        time.sleep(0.05)
    Run.stop(process)
    assert process.wait() not in (0, -signal.SIGKILL)
    assert (tmp_path / 'ended').exists()
