# SPDX-License-Identifier: GPL-2.0-or-later
"""Frames and messages that a member forges: it is expelled, by name and with
what it did, and nobody else is blamed."""

import re
import signal
import struct
import threading
import time

import pytest

from distkvm import wire
from distkvm.common import Problem
from distkvm.door.common import log_of, until, wait_said
from distkvm.door.forger import (ACK, DATA_M, DATA_S, DONE, FORGER, FWD_GETM,
                                 FWD_GETS, GETM, GETO, GETS, GETV, GRANT,
                                 INV, SECOND, SHARE, SOON, VALUE, ZERO,
                                 check_expelled,
                                 cluster_with_forger, lost_nodes)
from distkvm.wire import (COH, EOI, FLUSH, IO, IO_REPLY, IRQ, PAGE, PCI_CHANGED,
                          PCI_CONFIG, PCI_LINE, PCI_MSI, PCI_RESET, PIC,
                          PIC_ACK, PIC_VECTOR, PING, TOKEN)
from naming import cases, named

pytestmark = pytest.mark.overlaps

# Of the same message.
MANY = 50
SETTLED_SECONDS = 1.5
DATA = bytes(PAGE)
# QEMU's monitor reads so many bytes at a time.
READ_BYTES = 1024
# One word is written.
OP = struct.pack('<BBHIQQ', 2, 8, 0, 0, 1, 0)
# Eight bytes are put.
PUT_BYTES = struct.pack('<BBHIQQ', 7, 0, 4088, 8, 0, 0)


def frame(why, kind, sub=0, /, **fields):
    """A case: one frame."""
    return why, lambda member, to: member.send(
        to, member.frame(kind, sub, **fields))


def raw(why, data):
    """A case: bytes that are no frames."""
    return why, lambda member, to: member.send_raw(to, data)


def control(why, /, **fields):
    """A case: a message on the control connection."""
    return why, lambda member, to: member.control[to].send(
        wire.message(**fields))


def future(member, to):
    member.send(to, member.frame(PING, wire.PING_ASK,
                                 clock=member.clock + 55 * SECOND))


def access(why, addr, size=8, cpu=FORGER):
    """A case: a well-formed write to a device, in the name of a CPU."""
    why, forge = frame(why, IO, wire.IO_WRITE, addr=addr, size=size, cpu=cpu)

    def later(member, to):
        # For a second it might be from before there was a map.
        time.sleep(SETTLED_SECONDS)
        forge(member, to)

    return why, later


def fill_again(member, to):
    """A page that is this member's already is to be filled."""
    member.send(to, *(member.frame(COH, sub, page=3)
                      for sub in (GETO, DONE, GETO)))


# Words that the message has for it.
WRONG_LENGTH = 'a frame of a wrong length'
UNKNOWN_KIND = 'a frame of an unknown kind'
NOT_ITS = "another node's to send"
UNREADABLE = 'cannot be read'
GARBAGE = 'garbage'
MALFORMED_ACCESS = 'a malformed device access'
HOME_ONLY = "only the page's home may say this"
NOT_ASKED = 'an answer comes only to a node that asked'
NOT_PUT = 'cannot be put together'
NOT_ITS_CPU = 'an interrupt for another node'
TOO_LATE = 'a message after its time'
NOT_ASKED_FOR = 'it answers an operation that nobody asked for'
TO_RAM = 'it sent a device access to RAM'
# Deeds of the forger, to node 0, and words that the message must have.
FORGED = {
    "another's number": frame('it sent a frame as node 1', PING, 1, sender=1),
    "the receiver's number": frame('it sent a frame as node 0', PING, 1,
                                   sender=0),
    'an answer nobody asked for': frame(
        'it sent an answer nobody asked for', IO_REPLY, 0, call=12345),
    "an operation's answer nobody asked for": frame(
        NOT_ASKED_FOR, COH, VALUE,
        page=SHARE + 10, version=12345, payload=OP),
    'a device access to RAM': access(TO_RAM, 2 << 20),
    'a device access to RAM below 1 MiB': access(TO_RAM, 0x10000),
    'a device access to the local APIC': access(TO_RAM, 0xfee00000, 4),
    'a device access that reaches RAM at its end': access(
        TO_RAM, (64 << 20) - 4),
    "a device access of another node's CPU": access(
        MALFORMED_ACCESS, 0xfed00000, 4, 1),
    'a device access of no size': access(UNREADABLE, 0xfed00000, 0),
    'a device access of too large a size': access(UNREADABLE, 0xfed00000, 9),
    'a device access to no space': frame(
        UNREADABLE, IO, wire.IO_READ, addr=0xfed00000, size=4, space=2),
    'a clock in the future': ('its clock is absurd', future),
    'a clock at the end of time': frame('its clock is absurd', PING, 1,
                                        clock=(1 << 63) - 1),
    'a clock before all time': frame('its clock is absurd', PING, 1,
                                     clock=-(1 << 63)),
    'no such type': frame(UNREADABLE, 200),
    'no such ping': frame(UNKNOWN_KIND, PING, 9),
    'a ping of another length': frame(WRONG_LENGTH, PING, 1, payload=bytes(5)),
    'an access too long': frame(WRONG_LENGTH, IO, wire.IO_WRITE,
                                addr=0xfed00000, size=8, payload=bytes(1)),
    'an access of no bytes': frame(
        UNREADABLE, IO, wire.IO_WRITE, addr=0xfed00000, size=8, cut=38),
    'an access that is cut off': frame(
        UNREADABLE, IO, wire.IO_WRITE, addr=0xfed00000, size=8, cut=1),
    'an access of no kind': frame(UNKNOWN_KIND, IO, 0xf0, addr=0xfed00000,
                                  size=4),
    'an answer too long': frame(WRONG_LENGTH, IO_REPLY, 0, call=1,
                                payload=bytes(99)),
    'a token granted': frame(NOT_ITS, TOKEN, 2),
    'a token released that it had not': frame(
        "a split-lock token out of turn", TOKEN, 3),
    'no such token': frame(UNKNOWN_KIND, TOKEN, 9),
    'an interrupt of no kind': frame(UNKNOWN_KIND, IRQ, 99),
    'an interrupt for no CPU': frame(NOT_ITS_CPU, IRQ, 1, cpu=999,
                                     vector=0x30),
    'an interrupt for a CPU of its own': frame(
        NOT_ITS_CPU, IRQ, 1, cpu=2, vector=0x30),
    'an interrupt of half a level': frame(UNREADABLE, IRQ, 1, vector=0x30,
                                          level=2),
    'the 8259, which it has not': frame(NOT_ITS, PIC, 0, level=1, seq=0x30),
    "the 8259's vector, which it has not": frame(NOT_ITS, PIC_VECTOR, 0,
                                                 call=1, vector=0x30),
    'an acknowledge of no kind': frame(UNKNOWN_KIND, PIC_ACK, 1, call=1),
    'an interrupt with a payload': frame(
        WRONG_LENGTH, IRQ, 1, vector=0x30, payload=bytes(8)),
    'an end of interrupt with a payload': frame(
        WRONG_LENGTH, EOI, 0, vector=0x30, payload=bytes(8)),
    'interrupts served that nobody asked about': frame(
        'an answer about interrupts that nobody asked for', FLUSH,
        wire.FLUSH_SERVED, count=1),
    'no such flush': frame(UNKNOWN_KIND, FLUSH, 3, count=1),
    'a PCI cycle of a follower': frame(NOT_ITS, PCI_CONFIG, wire.IO_READ,
                                       call=1, devfn=8, size=4),
    'a PCI cycle of five bytes': frame(UNREADABLE, PCI_CONFIG, wire.IO_READ,
                                       call=1, devfn=8, size=5),
    'a PCI answer nobody asked for': frame(
        'it sent an answer nobody asked for', PCI_CHANGED, 0, call=5),
    'a line of a PCI function that it has not': frame(
        'an interrupt of a PCI function that it has not', PCI_LINE, 0,
        generation=1, devfn=8, level=1),
    'a line of no generation': frame(
        'an interrupt of a PCI function that it has not', PCI_LINE, 0,
        devfn=8, level=1),
    'half a level of a PCI function': frame(UNREADABLE, PCI_LINE, 0, devfn=8,
                                            level=2),
    'a message of a PCI function that it has not': frame(
        'an interrupt of a PCI function that it has not', PCI_MSI, 0,
        generation=1, devfn=8, addr=0xfee00010),
    'a message of a PCI function into RAM': frame(
        'a malformed message of a PCI function', PCI_MSI, 0, generation=1,
        devfn=8, addr=0x1000),
    'a PCI reset of a follower': frame(NOT_ITS, PCI_RESET, 0, devfn=8),
    'a PCI function that is none': control(
        'a PCI function that cannot be', type='pci-function', data='AAAA'),
    'a part of a ROM of no PCI function': control(
        'a part of a ROM that no PCI function of it has', type='pci-rom',
        devfn=8, offset=0, data='AAAA'),
    'the last PCI function twice': control(
        'it told of its PCI functions twice', type='pci-end', slots=0,
        hotplug=0),
    'a request to remove a PCI device that it has not': control(
        'a request to remove a PCI device that cannot be', type='pci-unplug',
        slot=1, generation=1, pulled=False),
    'a request to remove a PCI device of no slot': control(
        'a request to remove a PCI device that cannot be', type='pci-unplug',
        slot=255, generation=1, pulled=False),
    'a device that was pulled out, and never there': control(
        'a request to remove a PCI device that cannot be', type='pci-unplug',
        slot=1, generation=1, pulled=True),
    'news of a PCI slot': control(NOT_ITS, type='pci-slot', slot=1,
                                  generation=1, news='ejected'),
    'a page that nobody asked for': frame(NOT_ASKED, COH, DATA_M, page=3,
                                          payload=DATA),
    'half a page': frame(NOT_PUT, COH, DATA_S, page=3, payload=bytes(100)),
    'a page beyond the end': frame(
        'a page that does not exist', COH, GETS, page=1 << 40),
    'a request to whom is not its home': frame(
        "not the page's home", COH, GETS, page=SHARE + 10),
    'a page to be filled of whom is not its home': frame(
        "not the page's home", COH, GETO, page=SHARE + 10),
    'a page to be filled with bytes': frame(NOT_PUT, COH, GETO, page=3,
                                            payload=DATA),
    'a page to be filled that it has': (
        'a holder asks for what it holds', fill_again),
    'a list of pages to be filled': frame(
        'a list of pages that cannot be read', COH, GETO, page=3, more=1,
        payload=bytes(16)),
    'a request with a payload that is no list': frame(
        NOT_PUT, COH, GETS, page=3, payload=bytes(7)),
    'a list longer than it says': frame(
        UNREADABLE, COH, GETM, page=3, more=200, payload=bytes(16 * 200)),
    'a list longer than its payload': frame(
        'a list of pages that cannot be read', COH, GETM, page=3, more=20,
        payload=bytes(16)),
    'a list longer than may be': frame(
        UNREADABLE, COH, GETM, page=3, more=128, payload=bytes(16 * 128)),
    'a forwarded request for nobody': frame(
        HOME_ONLY, COH, FWD_GETM, page=SHARE + 10, requester=77),
    'a home that is none': frame(
        HOME_ONLY, COH, FWD_GETS, page=3, requester=1),
    'an invalidation from no home': frame(
        HOME_ONLY, COH, INV, page=3, requester=1),
    'done, what was not begun': frame(
        'nobody was granted the page', COH, DONE, page=3),
    'a grant from nowhere': frame(HOME_ONLY, COH, GRANT, page=3),
    'acknowledged, what nobody asked': frame(NOT_ASKED, COH, ACK, page=3),
    'an operation of no kind': frame(NOT_PUT, COH, GETV, page=3,
                                     payload=b'\xff' + OP[1:]),
    'an operation over the end of a page': frame(
        NOT_PUT, COH, GETV, page=3, payload=OP[:2] + b'\xff\x0f' + OP[4:]),
    'a put without its bytes': frame(
        NOT_PUT, COH, GETV, page=3, payload=PUT_BYTES + bytes(7)),
    'a put of bytes over the end of a page': frame(
        NOT_PUT, COH, GETV, page=3,
        payload=PUT_BYTES[:4] + b'\x09' + PUT_BYTES[5:] + bytes(9)),
    'an operation of a word with bytes': frame(
        NOT_PUT, COH, GETV, page=3, payload=OP + bytes(8)),
    'half an operation': frame(NOT_PUT, COH, GETV, page=3, payload=OP[:11]),
    'no such message of coherence': frame(UNKNOWN_KIND, COH, 99, page=3),
    'an event that is no message': frame(UNKNOWN_KIND, COH, 1, page=3),
    'a bunch of no bytes': raw(GARBAGE, struct.pack('<I', 0)),
    'a bunch too long': raw(GARBAGE, struct.pack('<I', 1 << 30) + bytes(64)),
    'a bunch of garbage': raw(
        UNREADABLE, struct.pack('<I', 64) + b'\xff' * 64),
    'a bunch that ends within a frame': raw(
        UNREADABLE, struct.pack('<I', 20) + bytes(20)),
    'a control message of no type': control(GARBAGE, nothing=1),
    'a control message of an unknown type': control(
        'a message of an unknown type', type='open-sesame'),
    'a second hello': control(TOO_LATE, type='hello', node=2, facts={}),
    'a second address': control(TOO_LATE, type='address', cookie='00' * 16),
    'a map from a follower': control(NOT_ITS, type='map', space='memory',
                                    removed=[], added=[]),
    'a start from a follower': control(NOT_ITS, type='start'),
    'reset-do from a follower': control(NOT_ITS, type='reset-do'),
    'lost, a node that is none': control(
        'a node lost that is none', type='lost', node=99, why='x'),
    'a ping of text': control('a malformed message', type='ping', sent='x',
                              boot=0),
    'a pong without a clock': control('a malformed message', type='pong',
                                      sent=0, boot=0),
    'a field that a message has not': control(
        'a malformed message', type='want-stop', clock=1),
    'a change acknowledged by half': control(
        'a malformed message', type='mirrored', seq=0.5),
    'a change acknowledged by a negative number': control(
        'a malformed message', type='mirrored', seq=-1),
    'an end of work, which machines do not say': control(
        'a message of an unknown type', type='end'),
    'a change acknowledged that was not made': control(
        'a change that was not made', type='mirrored', seq=1 << 40),
    'a phase of a reset that nobody began': control(
        'a phase of a reset', type='reset-reached'),
    "another node's local APIC": control(
        "another node's local APIC", type='apic', seq=1, cpu=0, base=0, id=0,
        ldr=0, dfr=0, svr=0, lint0=0, lint1=0),
    'a stop in the future': control(
        'its clock is absurd', type='stopped', clock=1 << 62,
        **{'needs-reset': False}),
    'a control message too long': (GARBAGE, lambda m, to: m.control[to].send(
        struct.pack('>I', 0x7fffffff))),
    'control in garbage': (GARBAGE, lambda m, to: m.control[to].send(
        b'\xff' * 64)),
}
# The same to node 1, which is no boot node.
TO_NODE_1 = ('another\'s number', 'an answer nobody asked for',
             'a device access to RAM', "a device access of another node's CPU",
             'interrupts served that nobody asked about',
             'a clock in the future', 'half a page', 'a token granted',
             'the 8259, which it has not', 'an interrupt of no kind',
             'an interrupt of half a level', 'a bunch of garbage')


def to_node_0():
    for name, (why, say) in FORGED.items():
        yield f'door: a member forges {name}', (name, why, say, 0)


def to_node_1():
    for name in TO_NODE_1:
        yield (f'door: a member forges {name}, to node 1',
               (f'{name} to 1', *FORGED[name], 1))


@cases('name, why, say, to', {**dict(to_node_0()), **dict(to_node_1())})
def test_forge(name, why, say, to):
    with cluster_with_forger(re.sub(r'\W+', '-', name)) as (cluster, member):
        until('the guest runs', lambda: cluster.qmp(0).execute(
            'query-status')['status'] == 'running', SOON)
        say(member, to)
        check_expelled(cluster, to, why)


@named('door: a member that is no QEMU')
def test_joins():
    """What all these cases build on: this program is a member, as long as it
    says nothing wrong."""
    with cluster_with_forger('not') as (cluster, member):
        for node in (0, 1):
            info = cluster.info(node)
            if info['failed'] or info['nodes'][FORGER]['state'] != 'joined':
                raise Problem(f'node {node}: {info["nodes"]}')
        for node in (0, 1):
            found = info_transport(cluster, node)
            if found != 'stream':
                raise Problem(f'node {node} is joined by {found}')
        if member.is_expelled():
            raise Problem('it was expelled for nothing')


FAILED = {'type': 'stopped', 'clock': 0, 'needs-reset': True}


@named('door: a member stops a guest that has not run')
def test_stops_early():
    """Else node 0 would start nothing before a reset, whichever node joins in
    its place."""
    with cluster_with_forger('early-stop', holds_end=True) as (cluster, member):
        member.early = [FAILED]
        member.tell_end()
        until('it is expelled', lambda: 'a guest that has not run' in
              log_of(cluster, 0), SOON)


@named('door: a member says on and on that an error has stopped it')
def test_stops_often():
    """Node 0's log says it once."""
    with cluster_with_forger('often-stopped') as (cluster, member):
        until('the guest runs', lambda: cluster.qmp(0).execute(
            'query-status')['status'] == 'running', SOON)
        for _ in range(MANY):
            member.control[0].send(wire.message(**FAILED))
        until('node 0 has stopped', lambda: cluster.qmp(0).execute(
            'query-status')['status'] == 'paused', SOON)
        # Behind all of them.
        member.control[0].send(wire.message(type='want-start'))
        until('node 0 has heard all', lambda: 'cannot let a guest go on' in
              log_of(cluster, 0), SOON)
        said = log_of(cluster, 0).count('was stopped by an error')
        if said != 1:
            raise Problem(f'it is said {said} times')


@named('door: a lane opened again')
def test_lane_again():
    """A second connection for a lane is refused, whatever it shows; the first
    is not disturbed by it."""
    with cluster_with_forger('lane') as (cluster, member):
        cookie = member.control[0].wait_for('', 'address')['cookie']
        for lane, shown in ((0, cookie), (1, cookie), (-1, cookie),
                            (0, 'A' * 22 + '=='), (0, '')):
            try:
                member.open_lane(0, lane, shown)
            except Problem as problem:
                if 'refuse' not in str(problem):
                    raise
            else:
                raise Problem(f'lane {lane} was opened again')
        for node in (0, 1):
            if lost_nodes(cluster, node) or cluster.info(node)['failed']:
                raise Problem(f'node {node}: {lost_nodes(cluster, node)}')


def info_transport(cluster, node):
    return cluster.info(node)['nodes'][FORGER].get('transport')


def reads(cluster, page):
    """A thread in which node 0's monitor reads bytes of a page."""
    thread = threading.Thread(target=cluster.qmp(0).execute, args=(
        'pmemsave',), kwargs={
            'val': page * PAGE, 'size': READ_BYTES,
            'filename': str(cluster.run_dir / f'page-{page}')}, daemon=True)
    thread.start()
    return thread


def answer_of(member, page, number):
    """The bytes that a monitor reads, all of them wrong."""
    op = struct.pack('<BBHIQQ', 6, 0, 0, READ_BYTES, 0, 0)
    return member.frame(COH, VALUE, page=page, version=number,
                        payload=op + b'\xee' * READ_BYTES)


def asked(member, page, message):
    """The version in the message that asks the member for a page."""
    return until(f'it is asked for page {page}', lambda: [
        (f.body['version'],) for f in list(member.heard) if f.type == COH and
        f.sub == message and f.body['page'] == page], SOON)[0][0]


@named('door: a member that answers no operation')
def test_no_answer():
    """The page comes instead.  One late answer is no crime."""
    with cluster_with_forger('no-answer') as (cluster, member):
        until('the guest runs', lambda: cluster.qmp(0).execute(
            'query-status')['status'] == 'running', SOON)
        own = 2 * SHARE
        reader = reads(cluster, own)
        number = asked(member, own, GETV)
        asked(member, own, GETS)
        member.send(0, member.frame(COH, ZERO, page=own))
        reader.join(SOON)
        found = (cluster.run_dir / f'page-{own}').read_bytes()
        if reader.is_alive() or found != bytes(READ_BYTES):
            raise Problem(f'the monitor has read {found[:8]}...')
        member.send(0, answer_of(member, own, number))
        # Frames come in the order in which they are sent.
        reader = reads(cluster, own + 1)
        member.send(0, answer_of(member, own + 1,
                                 asked(member, own + 1, GETV)))
        reader.join(SOON)
        if reader.is_alive() or lost_nodes(cluster, 0):
            raise Problem(f'a late answer is refused: {log_of(cluster, 0)}')
        member.send(0, answer_of(member, own, number))
        check_expelled(cluster, 0, NOT_ASKED_FOR)


@named('door: a member answers for a node that was asked')
def test_answers_for_another():
    """It knows the number of an operation that it was asked for itself, and
    answers the next one, which is for a page of node 1."""
    with cluster_with_forger('for-another') as (cluster, member):
        until('the guest runs', lambda: cluster.qmp(0).execute(
            'query-status')['status'] == 'running', SOON)
        cluster.qmp(0).execute('trace-event-set-state',
                               name='distkvm_coh_step', enable=True)
        own = 2 * SHARE
        reader = reads(cluster, own)
        number = asked(member, own, GETV)
        member.send(0, answer_of(member, own, number))
        reader.join(SOON)
        if reader.is_alive() or lost_nodes(cluster, 0):
            raise Problem(f'an honest answer is refused: {log_of(cluster, 0)}')
        node_1 = cluster.process[1]
        node_1.send_signal(signal.SIGSTOP)
        try:
            reader = reads(cluster, SHARE)
            until('node 1 is asked', lambda: f'page 0x{SHARE:x} OPERATE'
                  in log_of(cluster, 0), SOON)
            member.send(0, answer_of(member, SHARE, number + 1))
            until('node 0 names the forger', lambda: lost_nodes(cluster, 0) or
                  not reader.is_alive(), SOON)
        finally:
            node_1.send_signal(signal.SIGCONT)
        reader.join(SOON)
        check_expelled(cluster, 0, NOT_ASKED_FOR)


@named('door: a member that answers no ping')
def test_silent():
    """A member that answers no ping is lost, and it is said by which lane."""
    with cluster_with_forger('silent') as (cluster, member):
        member.deaf = True
        for node in (0, 1):
            wait_said(cluster, node, f'node {FORGER} (')
        check_expelled(cluster, 0,
                       r'lane 0 \(stream\) has not answered for \d+ ms')
