# SPDX-License-Identifier: GPL-2.0-or-later
"""A page that node 0 fills: its home is a member that may forge."""

import contextlib
import socket

import pytest

from distkvm.common import Problem
from distkvm.door.common import log_of, until
from distkvm.door.forger import (ACK, DATA_M, DONE, FORGER, FWD_GETM, GETO,
                                 GETV, GRANT, INV, REFUSE, SHARE, SOON,
                                 check_expelled, cluster_with_forger,
                                 lost_nodes)
from distkvm.wire import COH, PAGE
from naming import cases, named

pytestmark = pytest.mark.overlaps

OWN = 2 * SHARE
BYTES = b'\xa5' * PAGE
NOT_HOLDER = 'the home asks only nodes it records as holders'


@contextlib.contextmanager
def device(cluster):
    """What node 0's devices do, by a command in words."""
    path = cluster.run_dir / 'device'
    qmp = cluster.qmp(0)
    qmp.execute('chardev-add', id='device', backend={
        'type': 'socket', 'data': {
            'addr': {'type': 'unix', 'data': {'path': str(path)}},
            'server': True, 'wait': False}})
    qmp.execute('object-add', **{'qom-type': 'qtest', 'id': 'device',
                                 'chardev': 'device', 'log': '/dev/null'})
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(SOON)
        connection.connect(str(path))
        yield connection.makefile('rw')


def say(connection, command):
    connection.write(command + '\n')
    connection.flush()


def asked(member, message):
    """The version in the message that asks the member for its page."""
    return until('it is asked for its page', lambda: [
        (f.body['version'],) for f in list(member.heard) if f.type == COH and
        f.sub == message and f.body['page'] == OWN], SOON)[0][0]


def tell(member, message, **fields):
    member.send(0, member.frame(COH, message, page=OWN, **fields))


def begin(member, connection):
    """Node 0's device has written the page, and no node owns it."""
    say(connection, f'write {OWN * PAGE:#x} {PAGE:#x} 0x{BYTES.hex()}')
    tell(member, REFUSE, version=asked(member, GETV))
    asked(member, GETO)


@named('door: a member gives a page that is filled, and takes it')
def test_fill():
    """Acknowledged before it is granted, which may be.  Then its home takes
    the page from its owner, for a node that fills it."""
    with cluster_with_forger('fill') as (cluster, member), \
            device(cluster) as connection:
        begin(member, connection)
        tell(member, ACK)
        tell(member, GRANT, acks=1)
        asked(member, DONE)
        if connection.readline().strip() != 'OK':
            raise Problem('the write has failed')
        say(connection, f'read {OWN * PAGE:#x} {PAGE:#x}')
        found = connection.readline().split()
        if found[1:] != [f'0x{BYTES.hex()}']:
            raise Problem(f'the page has other bytes: {found}')
        tell(member, INV, requester=FORGER)
        asked(member, ACK)
        if lost_nodes(cluster, 0):
            raise Problem(f'a member is lost: {log_of(cluster, 0)}')


@cases('name, message, fields, why', {
    'door: a member gives a page that is filled its bytes': (
        'bytes', DATA_M, {'payload': bytes(PAGE), 'version': 1},
        'this node asked for the page without its bytes'),
    'door: a member takes a page before it is filled': (
        'early', INV, {'requester': FORGER}, NOT_HOLDER),
    'door: a member has a page sent before it is filled': (
        'sent', FWD_GETM, {'requester': 1}, NOT_HOLDER)})
def test_forged(name, message, fields, why):
    with cluster_with_forger(f'fill-{name}') as (cluster, member), \
            device(cluster) as connection:
        begin(member, connection)
        tell(member, message, **fields)
        check_expelled(cluster, 0, why)
