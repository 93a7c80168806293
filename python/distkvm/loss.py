# SPDX-License-Identifier: GPL-2.0-or-later
"""Nodes that are left after a loss."""

import time

from .common import Problem

# The others name the lost node within this.
NAMED_WITHIN = 5.0


def wait_named(cluster, survivor, lost, started):
    """The survivor names the lost node, stops, and answers QMP."""
    while True:
        log = cluster.log(survivor).read_text(errors='replace')
        if f'node {lost} (' in log and 'is lost' in log:
            break
        if time.monotonic() - started > NAMED_WITHIN:
            raise Problem(f'node {survivor} did not name node {lost} within '
                          f'{NAMED_WITHIN} s')
        time.sleep(0.05)
    named = time.monotonic() - started
    info = cluster.info(survivor)
    if not info['failed']:
        raise Problem(f'node {survivor} does not know that it failed')
    end = time.monotonic() + 5
    while True:
        status = cluster.qmp(survivor).execute('query-status')['status']
        if status == 'internal-error':
            return named
        if time.monotonic() > end:
            raise Problem(f'node {survivor} is {status} after the loss')
        time.sleep(0.05)


def quit_survivor(cluster, survivor):
    try:
        cluster.qmp(survivor).execute('quit')
    except OSError:
        pass
    end = time.monotonic() + 10
    while cluster.process[survivor].poll() is None:
        if time.monotonic() > end:
            raise Problem(f'node {survivor} does not end when told to')
        time.sleep(0.05)
    if cluster.process[survivor].returncode < 0:
        raise Problem(f'node {survivor} died with '
                      f'{cluster.process[survivor].returncode}')
