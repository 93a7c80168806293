# SPDX-License-Identifier: GPL-2.0-or-later
"""Choice and display of all tests in Python, which scripts/distkvm test
runs."""

import os
import signal
import time
from pathlib import Path

import pytest

from distkvm import network
from distkvm.common import BUILD, GUEST, Problem
from distkvm.junit import NO_TIME

MARKS = {'passed': 'ok  ', 'failed': 'FAIL', 'skipped': 'SKIP'}
# Ports are chosen from a share of their own by each worker of xdist.
WORKERS_MAX = 8


def pytest_addoption(parser):
    group = parser.getgroup('distkvm')
    group.addoption('--full', action='store_true',
                    help='everything, not only what every change must pass')
    group.addoption('--only', metavar='TEXT',
                    help='only tests whose name contains TEXT')
    group.addoption('--passed', metavar='FILE', type=Path,
                    help='names of tests that have passed and need not run '
                         'again; those that pass are added')
    group.addoption('--until', metavar='TIME', type=float,
                    help='a time of the clock, in seconds since the epoch, from '
                         'which on no test begins')


def pytest_configure(config):
    # End like on Ctrl-C, so that every node is ended too.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    if os.environ.get('PYTEST_XDIST_WORKER'):
        # execnet sends this to a worker that is to end, and kills it 10 s later.
        # In a background job of a shell it would be ignored.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    # The system's python3 goes first: tests call the tool hundreds of times, and a
    # version manager's takes ten times as long to start.
    os.environ['PATH'] = os.pathsep.join(['/usr/bin', os.environ['PATH']])
    # It compiles its modules once, and not at each start, whatever the environment
    # says of that; the tree stays clean.
    os.environ.pop('PYTHONDONTWRITEBYTECODE', None)
    os.environ['PYTHONPYCACHEPREFIX'] = str(BUILD / 'pycache')
    # A clean checkout has no such folder, and any test may be its first user.
    GUEST.mkdir(parents=True, exist_ok=True)
    worker = os.environ.get('PYTEST_XDIST_WORKER')
    if worker:
        count = len(network.PORTS) // WORKERS_MAX
        first = int(worker[2:]) % WORKERS_MAX * count
        network.PORTS = network.PORTS[first:first + count]
    else:
        config.pluginmanager.register(Lines(config), 'distkvm-lines')


# ----------------------------------------------------------------- choosing

def name_of(item):
    if not hasattr(item, 'callspec'):
        raise pytest.UsageError(f'{item.nodeid} has no name: see naming.py')
    return item.callspec.id


def pytest_collection_modifyitems(config, items):
    names = [name_of(item) for item in items]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise pytest.UsageError(f'names of several tests: {sorted(twice)}')
    only = config.getoption('--only') or ''
    full = config.getoption('--full')
    chosen = [item for item in items if only in name_of(item) and
              (full or not item.get_closest_marker('full'))]
    config.hook.pytest_deselected(
        items=[item for item in items if item not in chosen])
    items[:] = sorted(chosen,
                      key=lambda item: not item.get_closest_marker('first'))


def passed_earlier(config):
    path = config.getoption('--passed')
    return path.read_text().splitlines() if path and path.exists() else []


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_protocol(item):
    """A test that has passed with the same tree passes again, at once: it goes
    through all phases, or the next test would find fixtures of others."""
    if name_of(item) in passed_earlier(item.config):
        item.setup = item.runtest = lambda: None
        item.user_properties.append(('note', 'earlier, with the same tree'))


def pytest_runtest_setup(item):
    until = item.config.getoption('--until')
    if until and time.time() > until and \
            name_of(item) not in passed_earlier(item.config):
        pytest.skip(NO_TIME)
    root = item.get_closest_marker('root')
    if root and os.geteuid():
        pytest.skip(f'needs root, for {root.args[0]}')
    vmi = item.callspec.params.get('vmi', '')
    if (item.get_closest_marker('kvm') or 'kvm' in vmi) and \
            not os.access('/dev/kvm', os.R_OK | os.W_OK):
        pytest.skip('needs a /dev/kvm that this user may open')


# ------------------------------------------------------------------ showing

@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(call):
    """Of a Problem its words are shown, and no traceback."""
    report = (yield).get_result()
    if call.excinfo and call.excinfo.errisinstance(Problem):
        report.longrepr = str(call.excinfo.value)


class Lines:
    """A line for each test as it ends."""

    def __init__(self, config):
        self.config = config
        # Reports of tests that have not ended, by test.
        self.reports = {}

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionstart(self):
        """No word of xdist's own: a lost worker is a failed test, too."""
        manager = self.config.pluginmanager
        if manager.has_plugin('dsession'):
            manager.get_plugin('dsession').terminal = None
            manager.unregister(name='terminaldistreporter')

    @pytest.hookimpl(tryfirst=True)
    def pytest_report_teststatus(self, report):
        """No dots of pytest's own."""
        return report.outcome, '', ''

    def pytest_collectreport(self, report):
        if report.failed:
            print(f'FAIL {report.nodeid}: {report.longreprtext}', flush=True)

    def pytest_runtest_logreport(self, report):
        reports = self.reports.setdefault(report.nodeid, [])
        reports.append(report)
        # Of a worker that has died with its test, the last is of no phase.
        if report.when not in ('setup', 'call'):
            self.show(self.reports.pop(report.nodeid))

    def show(self, reports):
        name = reports[0].nodeid.partition('[')[2][:-1]
        worst = next((r for r in reports if not r.passed), reports[-1])
        seconds = sum(r.duration for r in reports)
        detail = '\n'.join(dict.fromkeys(
            text for kind, text in reports[-1].user_properties
            if kind == 'note'))
        if worst.skipped:
            detail = worst.longrepr[2].removeprefix('Skipped: ')
        elif worst.failed:
            detail = '\n'.join([worst.longreprtext, *(
                text for _, text in worst.sections)]).rstrip()
        elif self.config.getoption('--passed') and \
                name not in passed_earlier(self.config):
            with open(self.config.getoption('--passed'), 'a',
                      encoding='utf-8') as passed:
                passed.write(name + '\n')
        print(f"{MARKS[worst.outcome]} {name} ({seconds:.1f} s)"
              f"{': ' + detail if detail else ''}", flush=True)


# ----------------------------------------------------------------- fixtures

@pytest.fixture(autouse=True)
def test_name(request):
    """The test's own name."""
    return name_of(request.node)


@pytest.fixture
def full(request):
    """Whether all is wanted, and time does not matter."""
    return request.config.getoption('--full')


@pytest.fixture
def note(request):
    """Call it with a result that is shown if the test passes."""
    def add(text):
        request.node.user_properties.append(('note', text))
    return add
