# SPDX-License-Identifier: GPL-2.0-or-later
"""Control messages of a member, damaged: no node ends, none hangs, and none is
called lost but the member."""

import random
import time

from distkvm import wire
from distkvm.common import Problem
from distkvm.door.common import log_of
from distkvm.door.forger import FORGER, cluster_with_forger, lost_nodes
from naming import named

# Types, and members that a right one has.
MESSAGES = {
    'ping': ('sent', 'boot'), 'pong': ('sent', 'boot', 'clock'),
    'lost': ('node', 'why'), 'map': ('seq', 'sections'),
    'rom': ('block', 'size', 'offset', 'data'),
    'apic': ('seq', 'cpu', 'base', 'id', 'ldr', 'dfr', 'svr', 'lint0',
             'lint1'),
    'mirrored': ('seq',), 'want-start': (), 'want-stop': (),
    'stopped': ('clock',), 'start': ('clock',), 'stop': (),
    'reset': ('cause',), 'reset-pause': ('cause',), 'reset-do': ('cause',),
    'reset-reached': (), 'reset-resume': ('cause',), 'powerdown': (),
    'leaving': ('cause',), 'hello': ('node', 'facts'), 'address': ('cookie',),
    'ready': (), 'reached': (), 'refuse': ('why', 'retry'), 'end': (),
    'lane': ('node', 'lane', 'cookie'),
}
SECTION = ('owner', 'addr', 'size', 'offset', 'block', 'rom', 'readonly')


def value(chance, depth=2):
    """Anything that JSON can say."""
    kind = chance.randrange(9 if depth else 6)
    if kind == 0:
        return chance.choice((0, 1, -1, 2 ** 31, 2 ** 32, 2 ** 63 - 1,
                              -2 ** 63, 2 ** 64 - 1))
    if kind == 1:
        return chance.randrange(64)
    if kind == 2:
        return chance.choice(('', 'x' * 300, '\u00e4\u001b[2J', 'pc.ram',
                              'AAAA', '%s%n'))
    if kind == 3:
        return chance.choice((True, False, None))
    if kind == 4:
        return chance.random() * 1e300
    if kind == 5:
        return str(chance.randrange(9))
    if kind == 6:
        return [value(chance, depth - 1) for _ in range(chance.randrange(4))]
    if kind == 7:
        return [{name: value(chance, 0) for name in SECTION}]
    return {name: value(chance, depth - 1) for name in ('a', 'type', 'node')}


def damaged(chance):
    kind = chance.choice(list(MESSAGES))
    names = [n for n in MESSAGES[kind] if chance.randrange(5)]
    return {**{n: value(chance) for n in names}, 'type': kind}


@named('door: damaged control messages')
def test_control(full, note):
    """As many clusters as fit: the first message that is none ends one."""
    seconds = 600 if full else 30
    chance = random.Random(1)
    end = time.monotonic() + seconds
    sent = clusters = expelled = 0
    while time.monotonic() < end:
        clusters += 1
        with cluster_with_forger('damage') as (cluster, member):
            said = []
            while len(said) < 200 and not member.is_expelled() and \
                    time.monotonic() < end:
                said.append(damaged(chance))
                member.control[chance.randrange(2)].send(
                    wire.message(**said[-1]))
                time.sleep(0.002)
            sent += len(said)
            time.sleep(0.2)
            expelled += member.is_expelled()
            for node in (0, 1):
                status = cluster.process[node].poll()
                if status is not None:
                    raise Problem(f'node {node} ended with {status} after '
                                  f'{said[-3:]}: {log_of(cluster, node)}')
                # It answers, or this times out.
                cluster.info(node)
                who = {who for who, _ in lost_nodes(cluster, node)}
                # Its word is taken for a loss of another, and said to be its.
                if who - {str(FORGER)} and not any(
                        m['type'] in ('lost', 'leaving') for m in said):
                    raise Problem(f'node {node} names {who} after '
                                  f'{said[-3:]}')
    if not expelled:
        raise Problem(f'{sent} damaged messages, and nobody was expelled')
    note(f'{sent} messages in {clusters} clusters; expelled in {expelled}')
