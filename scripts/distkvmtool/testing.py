# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm test: run suites, a line per test, a count at the end."""

import importlib
import json
import sys
import threading
import time
import traceback

from distkvm import build
from distkvm.common import (BUILD, EMULATOR, QEMU_BUILD, TOP, Problem, quiet,
                            say)

SUITES = ['static', 'unit', 'qtest', 'memory', 'door', 'guest', 'kvm']
# Suites that need no QEMU.
LIGHT = {'static', 'unit'}


class Skip(Exception):
    """A test that cannot run here; the text says what it needs."""


class Beside:
    """A test that runs while others do; its result is asked for later."""

    def __init__(self, function, *args):
        self.outcome = None
        self.error = None
        # Whoever is interrupted does not wait for it.
        self.thread = threading.Thread(target=self.run, daemon=True,
                                       args=(function, *args))
        self.thread.start()

    def run(self, function, *args):
        try:
            self.outcome = function(*args)
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def result(self):
        self.thread.join()
        if self.error:
            raise self.error
        return self.outcome


class Record:
    """What has passed of a full run, so that it can be resumed."""

    def __init__(self):
        self.path = BUILD / 'full-passed.json'
        self.tree = quiet(['git', '-C', TOP, 'stash', 'create']).strip() or \
            quiet(['git', '-C', TOP, 'rev-parse', 'HEAD']).strip()
        self.tree = quiet(['git', '-C', TOP, 'rev-parse',
                           f'{self.tree}^{{tree}}']).strip()
        self.passed = set()
        if self.path.exists():
            known = json.loads(self.path.read_text())
            if known['tree'] == self.tree:
                self.passed = set(known['passed'])

    def add(self, name):
        self.passed.add(name)
        self.path.write_text(json.dumps({'tree': self.tree,
                                         'passed': sorted(self.passed)}))


class Results:
    """What came out so far; every line goes out at once."""

    def __init__(self, only=None, record=None):
        self.only = only
        self.record = record
        self.counts = {'passed': 0, 'failed': 0, 'skipped': 0}

    def wants(self, name):
        return not self.only or self.only in name

    def passed_earlier(self, name):
        return self.record and name in self.record.passed

    def add(self, name, outcome, detail='', seconds=None):
        self.counts[outcome] += 1
        mark = {'passed': 'ok  ', 'failed': 'FAIL', 'skipped': 'SKIP'}[outcome]
        took = f' ({seconds:.1f} s)' if seconds is not None else ''
        print(f"{mark} {name}{took}{': ' + detail if detail else ''}",
              flush=True)

    def run(self, name, function, *args):
        """Run one test; a Problem or an assertion fails it."""
        if not self.wants(name):
            return
        if self.passed_earlier(name):
            self.add(name, 'passed', 'earlier, with the same tree')
            return
        started = time.monotonic()
        outcome, detail = 'passed', ''
        try:
            detail = function(*args) or ''
        except Skip as skip:
            outcome, detail = 'skipped', str(skip)
        except Problem as problem:
            outcome, detail = 'failed', str(problem)
        except Exception as error:  # pylint: disable=broad-except
            # One test that breaks must not hide what the others say.
            outcome = 'failed'
            detail = (f'{type(error).__name__}: {error}\n'
                      f'{traceback.format_exc(limit=-3)}')
        if self.record and outcome == 'passed':
            self.record.add(name)
        self.add(name, outcome, detail, time.monotonic() - started)


def prepare(suites):
    build.install_packages()
    build.build_core()
    if set(suites) - LIGHT or 'static' in suites:
        targets = ['qemu-system-x86_64', 'qemu-img', 'qemu-nbd']
        if 'qtest' in suites:
            targets += ['tests/qtest/distkvm-test', 'tests/qtest/x2apic-test']
        if {'memory', 'door'} & set(suites):
            targets.append(str(EMULATOR.relative_to(QEMU_BUILD)))
        build.build_qemu(*targets)


def main(args):
    unknown = set(args.suites) - set(SUITES)
    if unknown:
        raise Problem(f"no suite '{' '.join(sorted(unknown))}'; there are "
                      f"{' '.join(SUITES)}")
    suites = args.suites or SUITES
    prepare(suites)
    results = Results(args.only, Record() if args.full else None)
    modules = {suite: importlib.import_module(f'.suite_{suite}', __package__)
               for suite in suites}
    for module in modules.values():
        # What takes long and needs one CPU goes on beside the others.
        if hasattr(module, 'begin'):
            module.begin(results)
    for suite, module in modules.items():
        say(f'suite {suite}')
        try:
            module.run(results, args.full)
        except Problem as problem:
            results.add(f'{suite}: the suite itself', 'failed', str(problem))
    counts = results.counts
    print(f"{counts['passed']} passed, {counts['failed']} failed, "
          f"{counts['skipped']} skipped", flush=True)
    sys.stdout.flush()
    return 0 if counts['passed'] and not counts['failed'] else 1


def add_verb(verbs):
    verb = verbs.add_parser('test', help='run the test suites')
    verb.add_argument('--full', action='store_true',
                      help='everything, not only what every change must pass;'
                           ' started again, it goes on where it was')
    verb.add_argument('--only', metavar='TEXT',
                      help='only tests whose name contains TEXT')
    verb.add_argument('suites', nargs='*', metavar='SUITE',
                      help=f"of {' '.join(SUITES)} (default: all)")
    verb.set_defaults(function=main)
