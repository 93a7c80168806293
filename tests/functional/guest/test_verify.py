# SPDX-License-Identifier: GPL-2.0-or-later
"""A server's programs check their own results, in a guest over several nodes."""

import os
import re
import signal
import threading
import time

import pytest

from distkvm.common import BUILD, Problem
from distkvm.work import verify
from naming import cases, named

# Of each check that runs with --full; DISTKVM_VERIFY_SECONDS=30 is a short one.
SECONDS = int(os.environ.get('DISTKVM_VERIFY_SECONDS', '600'))
SHORT_SECONDS = 6
# Until the act of a test whose check would go on for SECONDS.
BEFORE_SECONDS = 12
LOGS = BUILD / 'log'


@cases('check, nodes', {}, {
    f'guest: {check} verifies for ten minutes over {nodes} nodes':
        (check, nodes) for check in verify.CHECKS for nodes in (2, 3)})
@pytest.mark.timeout(3 * SECONDS + 1800)
def test_long(check, nodes, note):
    """In a system that boots in seconds: a slow host takes as long to start all
    units of systemd as the check runs."""
    with verify.Unpacked(LOGS / f'verify-{check}-{nodes}', nodes) as guest:
        values = guest.verify(check, SECONDS)
        guest.finish()
    note(f'{verify.shown(check, values)}, for {SECONDS} s')


@named('guest: stress-ng, fio and pgbench verify for seconds')
def test_short(note):
    """The same checks, in one boot."""
    with verify.Unpacked(LOGS / 'verify-short', 2) as guest:
        for check in verify.CHECKS:
            note(verify.shown(check, guest.verify(check, SHORT_SECONDS)))
        guest.finish()


@pytest.mark.full
@named('guest: what verifies finds planted damage')
def test_damage():
    """A byte of a file, a file as the pass before has left it, and one account's
    money."""
    with verify.Unpacked(LOGS / 'verify-damage', 2) as guest:
        for check, mistake, words in (
                ('fio', 'damage', 'verify failed at file'),
                ('fio', 'old', 'verify: bad header'),
                ('pgbench', 'damage', 'balances and transactions')):
            with pytest.raises(Problem) as failure:
                guest.verify(check, 1, mistake)
            if words not in str(failure.value):
                raise Problem(f'{check} failed otherwise: {failure.value}')


def kill(guest):
    guest.nodes.process[1].kill()


def suspend(guest):
    guest.nodes.process[1].send_signal(signal.SIGSTOP)


def hang(guest):
    """Nothing is lost, but the guest executes nothing any more."""
    guest.nodes.qmp(0).execute('stop')


@cases('act, words', {}, {
    'guest: a check ends when a node is killed':
        (kill, r'node 1 .*is lost|node 1 has ended with status -9'),
    'guest: a check ends when a node is suspended':
        (suspend, r'node 0 says: node 1 .*is lost'),
    'guest: a check ends when the guest hangs':
        (hang, 'CPU 0 has executed nothing for .*, CPU 1 has')})
def test_noticed(act, words, note):
    """Long before the check would have ended."""
    with verify.Unpacked(LOGS / f'verify-{act.__name__}', 2) as guest:
        acted = []

        def later():
            time.sleep(BEFORE_SECONDS)
            act(guest)
            acted.append(time.monotonic())

        thread = threading.Thread(target=later)
        thread.start()
        try:
            with pytest.raises(Problem) as failure:
                guest.verify('stress-ng', SECONDS)
        finally:
            thread.join()
        after = time.monotonic() - acted[0]
    if not re.search(words, str(failure.value)):
        raise Problem(f'it ended otherwise: {failure.value}')
    note(f'after {after:.1f} s: {failure.value}')
