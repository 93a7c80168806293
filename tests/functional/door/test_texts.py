# SPDX-License-Identifier: GPL-2.0-or-later
"""Words of a peer are shown up to a bound, and repeated to others so; the
longest that is shown, and a longer one."""

import re

import pytest

from distkvm import wire
from distkvm.common import Problem
from distkvm.door.common import (HEADLESS, PATIENCE, log_of, qtest_cluster,
                                 wait_said)
from distkvm.door.forger import check_expelled, cluster_with_forger
from naming import cases

pytestmark = pytest.mark.overlaps

# Bytes that are shown: accel/distkvm/wire/text.h.
PEER_MAX = 200
# Shown as it is, longer in JSON.
LETTER = '"'
# A message of this many letters is as long as the rules allow, in JSON.
LONG = 7000
LENGTHS = {'the longest': PEER_MAX, 'one longer': PEER_MAX + 1,
           'a message full of it': LONG}


def check_bounded(text, before, length, bound=PEER_MAX):
    """The text has the letters after these words, up to the bound."""
    found = re.search(f'{re.escape(before)}({LETTER}*)', text)
    if not found or len(found.group(1)) != min(length, bound):
        raise Problem(f'of {length} letters after {before!r} these are shown: '
                      f'{found and len(found.group(1))}; {text[-3000:]}')


@cases('length', {f'door: why a node is lost, {name}': length
                  for name, length in LENGTHS.items()})
def test_lost(length):
    """A member says why a node is lost; node 0 says so, and tells others."""
    with cluster_with_forger(f'text-lost-{length}') as (cluster, member):
        member.control[0].send(wire.message(type='lost', node=1,
                                            why=LETTER * length))
        wait_said(cluster, 0, 'is lost: node 2 says: ')
        check_bounded(log_of(cluster, 0), 'is lost: node 2 says: ', length)
        told = member.control[0].wait_for('node 0', 'lost')
        check_bounded(told['why'], 'node 2 says: ', length)


@cases('length', {f'door: a member made up by a peer, {name}': length
                  for name, length in LENGTHS.items()})
def test_malformed(length):
    """A message has a member that is none; the error names it."""
    words = "Parameter '"
    length -= len(words)
    with cluster_with_forger(f'text-malformed-{length}') as (cluster, member):
        member.control[0].send(wire.message(type='lost', node=1, why='',
                                            **{LETTER * length: 1}))
        check_expelled(cluster, 0, 'malformed')
        check_bounded(log_of(cluster, 0), words, length,
                      PEER_MAX - len(words))


@cases('length', {f'door: why a node is refused, {name}': length
                  for name, length in LENGTHS.items()})
def test_refused(length):
    """Node 0 is this program, and refuses node 1."""
    with qtest_cluster(f'text-refused-{length}', net='insecure') as cluster, \
            wire.listening(cluster.net, 0) as listener:
        cluster.start(1, HEADLESS)
        listener.settimeout(PATIENCE)
        stream, _ = listener.accept()
        with stream:
            stream.settimeout(PATIENCE)
            wire.dialed_hello(stream, cluster.net.kind)
            stream.sendall(wire.message(type='refuse', why=LETTER * length,
                                        retry=False))
            if cluster.process[1].wait(PATIENCE) != 1:
                raise Problem(f'it ended with {cluster.process[1].returncode}')
        check_bounded(log_of(cluster, 1), 'node 0 refuses it: ', length)
