# SPDX-License-Identifier: GPL-2.0-or-later
"""Nobody reads what a node says, or its disk is full: the cluster goes on."""

import fcntl
import os
import subprocess
import time

import pytest

from distkvm import wire
from distkvm.common import Problem
from distkvm.door.common import (HEADLESS, PATIENCE, check_calm, knock,
                                 qtest_cluster)
from naming import named

pytestmark = pytest.mark.overlaps

PIPE_BYTES = 4096
DEAD_AFTER_MS = 4000
# Longer than a node may be silent.
WATCHED_SECONDS = 3 * DEAD_AFTER_MS / 1000
# Refused, each with a line of the log; more of them than a pipe holds.
LONG_HELLO = wire.greeting('insecure', 1) + wire.message(
    type='hello', magic='distkvm', node=1,
    facts={'protocol version': '9' * 12000})


def disturbed(cluster):
    """Refusals without end, for longer than dead-after-ms; all go on."""
    end = time.monotonic() + WATCHED_SECONDS
    while time.monotonic() < end:
        for node in (0, 1):
            # The last node lets nobody dial, and says so.
            for _, heard in knock(cluster, node, *[LONG_HELLO] * 8):
                if heard is None:
                    raise Problem(f'node {node} does not refuse a stranger')
        check_calm(cluster, (0, 1))
        time.sleep(0.05)
    silence = max(n.get('silence-ms', 0) for node in (0, 1)
                  for n in cluster.info(node)['nodes'])
    if silence > DEAD_AFTER_MS:
        raise Problem(f'one was silent for {silence} ms')


@named('door: nobody reads what nodes say')
def test_deaf_pipe():
    """stderr of both nodes is a small pipe that nobody reads; full, it blocks
    whoever writes to it."""
    with qtest_cluster('deaf-pipe', net='insecure') as cluster:
        ends = []
        try:
            for node in (0, 1):
                read, write = os.pipe()
                fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
                ends += [read, write]
                cluster.process[node] = subprocess.Popen(
                    cluster.command(node, HEADLESS if not node else ()),
                    stdin=subprocess.DEVNULL, stdout=write, stderr=write)
            cluster.wait_formed(PATIENCE)
            disturbed(cluster)
        finally:
            for end in ends:
                os.close(end)


@pytest.mark.root('a small file system')
@named('door: a log on a full disk')
def test_full_disk():
    """Both nodes write to a file system on which nothing is free."""
    fill = ('mount -t tmpfs -o size=64k none "$0" && '
            'dd if=/dev/zero of="$0/rest" bs=4k 2>/dev/null; '
            'exec "$@" >>"$0/log" 2>&1')

    def prefix(_):
        return ['unshare', '--mount', 'sh', '-c', fill, str(place)]

    with qtest_cluster('full-disk', net='insecure',
                       prefix=prefix) as cluster:
        place = cluster.run_dir / 'small'
        place.mkdir()
        for node in (0, 1):
            cluster.start(node, () if node else HEADLESS)
        cluster.wait_formed(PATIENCE)
        pid = cluster.process[0].pid
        with open(f'/proc/{pid}/mounts', encoding='utf-8') as mounts:
            if f' {place} tmpfs ' not in mounts.read():
                raise Problem('the nodes do not write to a small file system')
        disturbed(cluster)
