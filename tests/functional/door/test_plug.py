# SPDX-License-Identifier: GPL-2.0-or-later
"""A member that plugs PCI devices while the guest runs, and lies about them."""

import re
import time

import pytest

from distkvm.common import Problem
from distkvm.door.common import check_calm, log_of, until, wait_said
from distkvm.door.forger import (FORGER, SOON, check_expelled,
                                 cluster_with_forger, lost_nodes)
from distkvm.door.pci import (NO_LINE, ROM_BYTES, SLOT, function, hear, heard,
                              line, rom, say, unplug)
from naming import cases, named

pytestmark = pytest.mark.overlaps

TAKES_NOT = 'a PCI function that its slot does not take'
NOT_SO = 'a PCI function that cannot be'
NOT_ITS = 'a request to remove a PCI device that cannot be'
# It has plugged one function, and been told that the guest has it.
LIES = {
    'the function again': ('a PCI function twice', function(1)),
    'a next one for a slot that is in use': (TAKES_NOT, function(2, 1)),
    'a function behind function 0': (TAKES_NOT, function(1, 1)),
    'a slot that it has not': (NOT_SO, function(1, slot=SLOT + 1)),
    'a device of no generation': (NOT_SO, function(0)),
    'a function behind half a ROM': (NOT_SO, function(2, 1, ROM_BYTES),
                                     function(2, 2)),
    'a device to remove that was never there': (NOT_ITS, unplug(2)),
    'a device that was pulled out, and was never there': (
        NOT_ITS, unplug(2, True)),
    'an interrupt of the next device': (NO_LINE, line(2)),
    'an interrupt of no line': (NO_LINE, line(1)),
}


@cases('name, why, said', {
    f'door: a member plugs, and forges {name}': (name, why, said)
    for name, (why, *said) in LIES.items()})
def test_lie(name, why, said):
    with cluster_with_forger('plug-' + re.sub(r'\W+', '-', name),
                             SLOT) as (cluster, member):
        say(member, function(1))
        hear(member, 'accepted')
        say(member, *said)
        check_expelled(cluster, 0, why)


@named('door: a member plugs a first device as a second')
def test_generation():
    with cluster_with_forger('plug-generation', SLOT) as (cluster, member):
        say(member, function(2))
        check_expelled(cluster, 0, TAKES_NOT)


@named('door: a member removes a device before the guest has it')
def test_half():
    with cluster_with_forger('plug-half', SLOT) as (cluster, member):
        say(member, function(1, 1), unplug(1))
        check_expelled(cluster, 0, NOT_ITS)


# ------------------------------------------------- before node 0 is ready

HALF = ROM_BYTES // 2
# Node 0 takes up what came behind the sender's last device of the start, and
# before that of another node.
EARLY = {
    'a device': [function(1)],
    'a device of two functions': [function(1, 1), function(1, more=True)],
    'a device with a ROM': [function(1, rom_bytes=ROM_BYTES), rom(0, HALF),
                            rom(HALF, HALF)],
    'half a ROM': [function(1, rom_bytes=ROM_BYTES), rom(0, HALF)],
}


@cases('name, early', {
    f'door: a member plugs {name} before all have told of theirs':
    (name, early) for name, early in EARLY.items()})
def test_early(name, early):
    with cluster_with_forger('plug-early-' + re.sub(r'\W+', '-', name),
                             SLOT, early) as (cluster, member):
        if name == 'half a ROM':
            # The other half comes late.
            until('the guest runs', lambda: cluster.qmp(0).execute(
                'query-status')['status'] == 'running', SOON)
            if heard(member):
                raise Problem(f'half a device has {heard(member)}')
            say(member, rom(HALF, HALF))
        hear(member, 'accepted')
        if heard(member) != [(SLOT, 1, 'accepted')]:
            raise Problem(f'not once: {heard(member)}')
        check_calm(cluster, (0, 1))


EARLY_LIES = {
    'a first device as a second': (TAKES_NOT, function(2)),
    'a function behind function 0': (TAKES_NOT, function(1), function(1, 1)),
    'two generations at once': (TAKES_NOT, function(1, 1), function(2)),
}


@cases('name, why, early', {
    f'door: a member plugs early, and forges {name}': (name, why, early)
    for name, (why, *early) in EARLY_LIES.items()})
def test_early_lie(name, why, early):
    with cluster_with_forger('plug-early-' + re.sub(r'\W+', '-', name),
                             SLOT, early) as (cluster, member):
        check_expelled(cluster, 0, why)
        if heard(member) not in ([], [(SLOT, 1, 'accepted')]):
            raise Problem(f'it has heard {heard(member)}')


def shown_of(cluster, node):
    """Bridges and stand-ins of a node's devices, as node 0 has them."""
    qmp = cluster.qmp(0)
    found = qmp.execute('qom-list', path='/machine/peripheral')
    return [*(p['name'] for p in found if p['name'].startswith(f'node{node}')),
            *(f for f in qmp.execute('query-distkvm-pci')
              if f.get('owner') == node)]


@named('door: a node is lost before all have told of their devices')
def test_lost_before_end():
    """It has told of a device, which never comes up on node 0."""
    with cluster_with_forger('plug-lost', SLOT, holds_end=True, devices=(
            '-device', 'edu,id=e'), extra=('-trace', 'distkvm_control')) as (
                cluster, member):
        wait_said(cluster, 0, 'distkvm_control node 0 from 1 pci-function',
                  'distkvm_control node 0 from 1 pci-end')
        cluster.process[1].kill()
        until('node 1 is lost', lambda: lost_nodes(cluster, 0), SOON)
        member.tell_end()
        await_heard(cluster, member)
        if shown_of(cluster, 1):
            raise Problem(f'node 0 shows {shown_of(cluster, 1)}')


# ------------------------------------------------ behind a rejection

def hold_map(cluster, member):
    """The map has changed, and this program does not acknowledge that."""
    member.unacknowledged = []
    for port, value in zip((0xcf8, 0xcfc), PAM0):
        cluster.qmp(0).execute('human-monitor-command',
                               **{'command-line': f'o/w {port} {value}'})
    until('the map changes', lambda: member.unacknowledged, SOON)


STAND_IN = f'node{FORGER}.slot{SLOT:02x}.1'
# Of q35's host bridge: RAM in place of the BIOS, at 0xf0000.
PAM0 = 0x80000090, 0x30


def reject(cluster, member):
    """Function 1 is there, function 0 is not, and node 0's user removes it,
    while a change of the map is not acknowledged."""
    qmp = cluster.qmp(0)
    say(member, function(1, 1))
    until('there is a stand-in', lambda: STAND_IN in [
        p['name'] for p in qmp.execute('qom-list',
                                       path='/machine/peripheral')], SOON)
    hold_map(cluster, member)
    qmp.execute('device_del', id=STAND_IN)
    hear(member, 'rejected')


@named('door: a member tells more of a device that is rejected meanwhile')
def test_crossed():
    """An honest one may: its words and node 0's have crossed.  The slot is
    free when no map has the device, and takes the next one."""
    with cluster_with_forger('plug-crossed', SLOT) as (cluster, member):
        reject(cluster, member)
        more = (function(1), function(1, 2), line(1), unplug(1),
                unplug(1, True))
        say(member, *more)
        await_heard(cluster, member)
        if len(heard(member)) != 1:
            raise Problem(f'the map is not acknowledged, but {heard(member)}')
        member.acknowledge()
        hear(member, 'released')
        say(member, *more, function(2))
        hear(member, 'accepted', 2)
        if [news for _, _, news in heard(member)] != [
                'rejected', 'released', 'accepted']:
            raise Problem(f'it has heard {heard(member)}')
        check_calm(cluster, (0, 1))


def await_heard(cluster, member):
    """Node 0 has taken up all that was said."""
    # It answers behind that.
    say(member, {'type': 'ping', 'sent': 1, 'boot': 0})
    until('node 0 has heard it', lambda: any(
        m.get('type') == 'pong' for m in list(member.control[0].kept)), SOON)
    # Its main loop has taken up what its thread has heard.
    for _ in range(2):
        cluster.info(0)


@named('door: a member says again and again that a device was pulled out')
def test_pulled_twice():
    """An honest one may say it once the guest has let go; later it means the
    last device, and never the next one."""
    with cluster_with_forger('plug-pulled', SLOT) as (cluster, member):
        say(member, function(1))
        hear(member, 'accepted')
        hold_map(cluster, member)
        pulled = unplug(1, True)
        say(member, pulled, pulled)
        hear(member, 'ejected')
        say(member, pulled)
        await_heard(cluster, member)
        if [news for _, _, news in heard(member)] != ['accepted', 'ejected']:
            raise Problem(f'it has heard {heard(member)}')
        member.acknowledge()
        hear(member, 'released')
        say(member, pulled, function(2), pulled)
        hear(member, 'accepted', 2)
        check_expelled(cluster, 0, NOT_ITS)


AFTER_LIES = {
    'the next device, which the slot does not take yet': (
        False, TAKES_NOT, function(2)),
    'the next but one': (True, TAKES_NOT, function(3)),
    'a line of the next device': (True, NO_LINE, line(2)),
    'a request to remove the next device': (True, NOT_ITS, unplug(2)),
}


@cases('name, is_released, why, said', {
    f'door: a member is rejected, and forges {name}': (name, *case)
    for name, case in AFTER_LIES.items()})
def test_lie_after(name, is_released, why, said):
    with cluster_with_forger('plug-after-' + re.sub(r'\W+', '-', name),
                             SLOT) as (cluster, member):
        reject(cluster, member)
        if is_released:
            member.acknowledge()
            hear(member, 'released')
        say(member, said)
        check_expelled(cluster, 0, why)


CLOSED_LIES = {
    'a function behind the next device': (TAKES_NOT, function(2),
                                          function(2, 1)),
    'the next but one': (TAKES_NOT, function(2, 1), function(3)),
}
CLOSED_LIES_FULL = {
    'the next device twice': (NOT_SO, function(2), function(2)),
    'a line of the next device': (NO_LINE, function(2), line(2)),
    'a request to remove the next device': (NOT_ITS, function(2), unplug(2)),
}


def closed(lies):
    return {f'door: a member pulls a device out, and forges {name}':
            (name, *case) for name, case in lies.items()}


@cases('name, why, waits, said', closed(CLOSED_LIES), closed(CLOSED_LIES_FULL))
def test_lie_closed(name, why, waits, said):
    """The guest has not let go of its device yet, so the next one waits."""
    with cluster_with_forger('plug-closed-' + re.sub(r'\W+', '-', name), SLOT,
                             cold=[function(1)]) as (cluster, member):
        hear(member, 'accepted')
        say(member, unplug(1, True))
        hear(member, 'released')
        say(member, waits)
        await_heard(cluster, member)
        if (SLOT, 2, 'accepted') in heard(member):
            raise Problem(f'the guest has two devices: {heard(member)}')
        check_calm(cluster, (0, 1))
        say(member, said)
        check_expelled(cluster, 0, why)


# ------------------------------------------------ rejections without end

ROUNDS = 60
# More than this in a second are counted, and not written.
WRITTEN_PER_S = 3


def rejections(cluster):
    """In node 0's log: lines, and how many more they stand for."""
    text = log_of(cluster, 0)
    return (len(re.findall('cannot be shown to the guest', text)),
            sum(int(n) for n in re.findall(
                r'(\d+) more PCI devices were rejected', text)))


@named('door: a member plugs a device that cannot be, again and again')
def test_flood(note):
    """Each round is answered, and the log does not grow with them."""
    with cluster_with_forger('plug-flood', SLOT + 1) as (cluster, member):
        say(member, function(1, name='twin'))
        hear(member, 'accepted')
        started = time.monotonic()
        for generation in range(1, ROUNDS):
            say(member, function(generation, slot=SLOT + 1, name='twin'))
            hear(member, 'rejected', generation, SLOT + 1)
            hear(member, 'released', generation, SLOT + 1)
        # By then one more may be written, with the count of the others.
        time.sleep(1.1)
        say(member, function(ROUNDS, slot=SLOT + 1, name='twin'))
        seconds = time.monotonic() - started
        until('all are told or counted',
              lambda: sum(rejections(cluster)) >= ROUNDS, SOON)
        lines, counted = rejections(cluster)
        if lines + counted != ROUNDS or \
                lines > (seconds + 1) * WRITTEN_PER_S:
            raise Problem(f'{ROUNDS} rejections in {seconds:.1f} s: {lines} '
                          f'lines, and {counted} counted')
        check_calm(cluster, (0, 1))
        note(f'{ROUNDS} rejections, {lines} lines')
