# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm test: programs in C by meson, all else by pytest; one sum."""

import contextlib
import itertools
import json
import os
import re
import subprocess
import time
from collections import Counter

from .. import build, junit
from ..common import (BUILD, CORE_BUILD, EMULATOR, QEMU_BUILD, TOP, Problem,
                      quiet, say)

SUITES = ['static', 'unit', 'qtest', 'memory', 'door', 'guest', 'kvm']
# Suites that need no QEMU.
LIGHT = {'unit'}
LOGS = BUILD / 'log' / 'test'

# Of a suite in C: a build directory, and meson's suites or tests in it.
IN_C = {
    'unit': (CORE_BUILD, ()),
    'qtest': (QEMU_BUILD, ('qtest-x86_64/distkvm-test',
                           'qtest-x86_64/x2apic-test',
                           'qtest-x86_64/nvme-doorbell-test')),
    'memory': (QEMU_BUILD, ('distkvm-memory',)),
}
# Files and folders of the tests in Python, by suite.
IN_PYTHON = {
    # All files, so that none is forgotten, but for that of another suite.
    'static': ' '.join(sorted(
        f'tests/static/{path.name}' for path in
        (TOP / 'tests' / 'static').glob('test_*.py')
        if path.name != 'test_core.py')),
    'unit': 'tests/static/test_core.py',
    'memory': 'tests/functional/memory',
    'door': 'tests/functional/door',
    'guest': 'tests/functional/guest',
    'kvm': 'tests/functional/kvm',
}
# Suites with tests that run beside each other, and how many at a time: those
# of kvm take one CPU each, the others mostly wait.
OVERLAP = {'static': 3, 'door': 3, 'guest': 3, 'kvm': os.cpu_count()}

# Targets of QEMU's build that a suite needs besides QEMU.
OURS = 'tests/qtest/distkvm/'
COUNT = f'{OURS}distkvm-count.so'
TARGETS = {
    'qtest': ['tests/qtest/distkvm-test', 'tests/qtest/x2apic-test',
              'tests/qtest/nvme-doorbell-test', f'{OURS}distkvm-sg.so'],
    'memory': [str(EMULATOR.relative_to(QEMU_BUILD)), COUNT,
               f'{OURS}distkvm-spurious.so', f'{OURS}fuzz-hello',
               *(f'{OURS}test-{name}' for name in
                 ('agree', 'clock', 'early-loss', 'failure', 'hung', 'join',
                  'may-wait', 'message', 'msi-fence', 'refuse-devices', 'rpc',
                  'service', 'split-lock', 'ucx', 'ucx-env', 'vdma'))],
    'door': [str(EMULATOR.relative_to(QEMU_BUILD)), f'{OURS}fuzz-door',
             f'{OURS}distkvm-no-memory.so', f'{OURS}distkvm-suspended.so'],
    'guest': [COUNT, f'{OURS}distkvm-bad-disk.so',
              f'{OURS}distkvm-old-kvm.so'],
    'kvm': [f'{OURS}distkvm-slow-clock.so'],
}
# A machine under load is this much slower than what limits of time are for.
PATIENCE = 5
MARKS = {'passed': 'ok  ', 'failed': 'FAIL', 'skipped': 'SKIP'}


def prepare(suites):
    # A user without root has what the set-up installed; tests that need more
    # are skipped, and say so.
    build.install_packages(() if os.geteuid() else build.TEST_PACKAGES)
    if set(suites) - LIGHT:
        build.build_all('qemu-system-x86_64', 'qemu-img', 'qemu-nbd', *{
            target for suite in suites for target in TARGETS.get(suite, ())})
    else:
        build.build_core()


def tree_id():
    """Git's id of the files as they are now."""
    commit = quiet(['git', '-C', TOP, 'stash', 'create']).strip() or 'HEAD'
    return quiet(['git', '-C', TOP, 'rev-parse', f'{commit}^{{tree}}']).strip()


def record_of_full_runs():
    """The file with the names of tests that have passed in full runs of this
    tree; one of another tree begins anew."""
    path = BUILD / 'full-passed'
    first = f'tree {tree_id()}'
    if not path.exists() or path.read_text().splitlines()[:1] != [first]:
        path.write_text(first + '\n')
    return path


def programs(directory, wanted):
    """Tests that meson knows, all or those of suites or names, and the
    names of their cases."""
    listed = json.loads(quiet([build.meson_of(directory), 'introspect',
                               '--tests', directory]))
    cases = {}
    for test in listed:
        if wanted and not any(name.rpartition(':')[2] in wanted for name in
                              (test['name'], *test['suite'])):
            continue
        found = [test['name']]
        if test['protocol'] == 'tap':
            said = subprocess.run(
                [*test['cmd'], '-l'], check=False, capture_output=True,
                text=True, cwd=test['workdir'] or directory,
                env={**os.environ, **test['env']})
            # One that cannot list them is run, and fails by its own name.
            if not said.returncode:
                found = [junit.TARGET.sub('', path) for path in
                         re.findall('^/.*$', said.stdout, re.M)]
        cases.setdefault(test['name'], []).extend(found)
    return cases.items()


class Run:
    """One run of suites, and the counts of its outcomes."""

    def __init__(self, args, suites, until):
        self.suites = suites
        self.only = args.only
        self.until = until
        self.record = record_of_full_runs() if args.full else None
        self.counts = Counter()
        self.untimely = 0
        LOGS.mkdir(parents=True, exist_ok=True)

    def add(self, name, outcome, detail=''):
        self.counts[outcome] += 1
        print(f"{MARKS[outcome]} {name}{': ' + detail if detail else ''}",
              flush=True)

    # -------------------------------------------------------------- meson

    def wants(self, name):
        return not self.only or self.only in name

    def programs(self, suite):
        """Run a suite's programs in C; each case of theirs is a test."""
        directory, wanted = IN_C[suite]
        chosen = {name: [f'{suite}: {case}' for case in cases
                         if self.wants(f'{suite}: {case}')]
                  for name, cases in programs(directory, wanted)}
        tests = [name for name, cases in chosen.items() if cases]
        if not tests:
            return
        mark = f'{suite}: all programs in C'
        stem, setup = f'distkvm-{suite}', ()
        report = directory / 'meson-logs' / f'{stem}.junit.xml'
        if directory == CORE_BUILD:
            setup = ('--setup', 'full' if self.record else 'quick')
            report = report.with_name(f'{stem}-{setup[1]}.junit.xml')
        earlier = report.exists() and self.record and \
            mark in self.record.read_text().splitlines()
        status = 0
        if not earlier and self.until and time.time() > self.until:
            for case in itertools.chain.from_iterable(chosen.values()):
                self.add(case, 'skipped', junit.NO_TIME)
                self.untimely += 1
            return
        if not earlier:
            report.unlink(missing_ok=True)
            # pylint: disable-next=consider-using-with
            status = self.wait(subprocess.Popen(
                [str(build.meson_of(directory)), 'test', '-C', str(directory),
                 '--no-rebuild', '--print-errorlogs', '--logbase', stem,
                 '--timeout-multiplier', str(PATIENCE), *setup, *tests],
                stdin=subprocess.DEVNULL))
        found = junit.meson_cases(report)
        if status and all(case.outcome != 'failed' for case in found):
            self.add(f'{suite}: its programs in C', 'failed',
                     f'meson ended with {status}; see {report.parent}')
        for case in found:
            name = f'{suite}: {case.name}'
            if self.wants(name):
                self.add(name, case.outcome, 'earlier, with the same tree'
                         if earlier else case.detail)
        if self.record and not status and not earlier and not self.only:
            with open(self.record, 'a', encoding='utf-8') as record:
                record.write(mark + '\n')

    # ------------------------------------------------------------- pytest

    def start(self, name, paths, *args):
        """pytest in a process of its own, which prints a line per test."""
        report = LOGS / f'{name}.xml'
        report.unlink(missing_ok=True)
        command = ['/usr/bin/python3', '-m', 'pytest', '-qq',
                   '--no-header', '--no-summary', f'--junitxml={report}',
                   '--tb=short', *args]
        if self.only:
            command.append(f'--only={self.only}')
        if self.until:
            command.append(f'--until={self.until}')
        if self.record:
            command += ['--full', f'--passed={self.record}']
        command += [str(TOP / path) for path in paths.split()]
        return report, subprocess.Popen(command, cwd=TOP,
                                        stdin=subprocess.DEVNULL)

    def end(self, started):
        """Wait for it, and count the results in its report."""
        report, process = started
        status = self.wait(process)
        found = junit.cases(report)
        self.counts.update(case.outcome for case in found)
        self.untimely += sum(junit.NO_TIME in case.detail for case in found)
        # 5: no test was asked for.
        if status not in (0, 5) and all(c.outcome != 'failed' for c in found):
            self.add(f'{report.stem}: pytest', 'failed',
                     f'it ended with {status}')

    def wait(self, process):
        """The exit status of a process, which ends with this one."""
        try:
            return process.wait()
        except BaseException:
            self.stop(process)
            raise

    @staticmethod
    def stop(process):
        """Its tests end, and their nodes.  SIGINT would not do: a shell's
        background job, and so all that it starts, ignores that."""
        if process.poll() is None:
            process.terminate()
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()

    def tests(self, suite):
        path = IN_PYTHON[suite]
        if suite in OVERLAP:
            self.end(self.start(f'{suite}-overlapping', path, '-m', 'overlaps',
                                '-n', str(OVERLAP[suite])))
        self.end(self.start(suite, path, '-m', 'not overlaps and not beside'))

    # ---------------------------------------------------------------- all

    def left(self):
        """Ahead of the last line: a run that passes may have tried little."""
        return f'NOT ALL WAS TRIED: for {self.untimely} tests --minutes gave ' \
            'no time\n' if self.untimely else ''

    def all(self):
        beside = [self.start(f'{suite}-beside', IN_PYTHON[suite], '-m',
                             'beside') for suite in self.suites
                  if suite == 'kvm']
        try:
            for suite in self.suites:
                say(f'suite {suite}')
                if suite in IN_C:
                    self.programs(suite)
                if suite in IN_PYTHON:
                    self.tests(suite)
            for started in beside:
                self.end(started)
        finally:
            for _, process in beside:
                self.stop(process)


def main(args):
    unknown = set(args.suites) - set(SUITES)
    if unknown:
        raise Problem(f"no suite '{' '.join(sorted(unknown))}'; there are "
                      f"{' '.join(SUITES)}")
    suites = args.suites or SUITES
    until = None if args.minutes is None else \
        time.time() + args.minutes * 60
    prepare(suites)
    run = Run(args, suites, until)
    run.all()
    passed, failed, skipped = (run.counts[outcome] for outcome in MARKS)
    print(f'{run.left()}{passed} passed, {failed} failed, {skipped} skipped',
          flush=True)
    return 0 if passed and not failed else 1


def add_verb(verbs):
    verb = verbs.add_parser('test', help='run the test suites')
    verb.add_argument('--full', action='store_true',
                      help='everything, not only what every change must pass;'
                           ' started again, it goes on where it was')
    verb.add_argument('--only', metavar='TEXT',
                      help='only tests whose name contains TEXT')
    verb.add_argument('--minutes', type=float, metavar='N',
                      help='after N minutes begin no more tests: those that are'
                           ' left are skipped, and say so')
    verb.add_argument('suites', nargs='*', metavar='SUITE',
                      help=f"of {' '.join(SUITES)} (default: all)")
    verb.set_defaults(function=main)
