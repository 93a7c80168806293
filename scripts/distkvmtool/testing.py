# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs tests that are no pytest yet."""

import threading
import time
import traceback

from distkvm.common import Problem


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


class Results:
    """What came out so far; every line goes out at once."""

    def __init__(self, only=None, record=None):
        self.only = only
        self.record = record
        self.counts = {'passed': 0, 'failed': 0, 'skipped': 0}

    def wants(self, name):
        return not self.only or self.only in name

    def passed_earlier(self, name):
        return self.record and name in self.record.read_text().splitlines()

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
            with open(self.record, 'a', encoding='utf-8') as record:
                record.write(name + '\n')
        self.add(name, outcome, detail, time.monotonic() - started)
