# SPDX-License-Identifier: GPL-2.0-or-later
"""A node whose first life is not given up yet comes again."""

import pytest

from distkvm import wire
from distkvm.common import Problem
from distkvm.door.common import (PATIENCE, log_of, proved, qtest_cluster,
                                 real_hello, start_waiting, wait_said)
from naming import named

pytestmark = pytest.mark.overlaps


@named('door: a node comes again')
def test_restarted():
    """It is told to come again, and is let in when the first one is given up:
    a connection whose other end has died without a word."""
    with qtest_cluster('again', 3, net='insecure', smp='3') as cluster:
        hello = real_hello(cluster, 1)
        start_waiting(cluster)
        with proved(cluster.net, 1, 0) as dead:
            dead.sendall(wire.message(**hello))
            said = wire.read_message(dead)
            if said['type'] != 'hello':
                raise Problem(f'node 0 says {said}')
            cluster.start(1)
            wait_said(cluster, 0, 'the id 1 is taken by the node at')
            cluster.start(2)
            cluster.wait_formed(PATIENCE)
        said = log_of(cluster, 1)
        if 'cannot join' in said or said.count('it tries again') != 1:
            raise Problem(said)
