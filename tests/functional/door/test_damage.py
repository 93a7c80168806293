# SPDX-License-Identifier: GPL-2.0-or-later
"""Control messages of a member, damaged: no node ends, none hangs, and none is
called lost but the member."""

import random
import re
import time

import pytest

from distkvm import wire
from distkvm.common import TOP, Problem
from distkvm.door.common import log_of
from distkvm.door.forger import FORGER, cluster_with_forger, lost_nodes
from naming import named

# Types, and the fields that a right one has, with an example of each.
MESSAGES = {
    'ping': {'sent': 0, 'boot': 0}, 'pong': {'sent': 0, 'boot': 0, 'clock': 0},
    'lost': {'node': 0, 'why': ''}, 'map': {'seq': 0, 'space': 'memory',
                                           'removed': [], 'added': []},
    'rom': {'block': '', 'size': 0, 'offset': 0, 'data': ''},
    'apic': {'seq': 0, 'cpu': 0, 'base': 0, 'id': 0, 'ldr': 0, 'dfr': 0,
             'svr': 0, 'lint0': 0, 'lint1': 0},
    'pci-function': {'data': 'AAAA'},
    'pci-rom': {'devfn': 8, 'offset': 0, 'data': 'AAAA'},
    'pci-end': {'slots': 0, 'hotplug': 0},
    'pci-unplug': {'slot': 1, 'generation': 1, 'pulled': False},
    'pci-slot': {'slot': 1, 'generation': 1, 'news': 'accepted', 'why': ''},
    'mirrored': {'seq': 0}, 'want-start': {}, 'want-stop': {},
    'stopped': {'clock': 0, 'needs-reset': False}, 'start': {'clock': 0},
    'stop': {},
    'reset': {'cause': 0}, 'reset-pause': {'cause': 0},
    'reset-do': {'cause': 0}, 'reset-reached': {},
    'reset-resume': {'cause': 0}, 'powerdown': {}, 'shutdown': {'cause': 0},
    'leaving': {'cause': 0},
    'hello': {'node': 0, 'facts': {}}, 'address': {'cookie': ''}, 'ready': {},
    'reached': {}, 'refuse': {'why': '', 'retry': False}, 'end': {},
    'lane': {'node': 0, 'lane': 0, 'cookie': ''}, 'lane-taken': {},
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


def value_like(chance, example):
    """Any value of the kind that the receiver takes."""
    while type(found := value(chance)) is not type(example):
        pass
    return found


def damaged(chance):
    """Half of them are well-formed, so that they are looked at further."""
    kind = chance.choice(list(MESSAGES))
    fields = MESSAGES[kind].items()
    if chance.randrange(2):
        return {**{n: value_like(chance, e) for n, e in fields}, 'type': kind}
    return {**{n: value(chance) for n, _ in fields if chance.randrange(5)},
            'type': kind}


def receiver(chance, said):
    """Node 0 grants a right shutdown to any follower, and ends: so that goes to
    node 1, for which it is against the rules."""
    right = said['type'] == 'shutdown' and type(said.get('cause')) is int
    return 1 if right else chance.randrange(2)


@named('door: all types of control messages are damaged')
def test_types():
    """Those of the schema, so that a new one is damaged, too."""
    schema = (TOP / 'accel/distkvm/qapi/distkvm-messages.json').read_text()
    data = re.search(r"'enum': 'MemberMessageType'.*?'data': \[(.*?)\]",
                     schema, re.S).group(1)
    types = set(re.findall("'(.*?)'", data))
    if types != set(MESSAGES):
        raise Problem(f'only here or there: {types ^ set(MESSAGES)}')


@pytest.mark.first
@pytest.mark.overlaps
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
                member.control[receiver(chance, said[-1])].send(
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
