# SPDX-License-Identifier: GPL-2.0-or-later
"""A member whose answers to configuration cycles of its PCI function do not
come, or come twice; and interrupts that it sends from before a reset."""

import re
import threading

import pytest

from distkvm.common import Problem
from distkvm.door.common import check_calm, log_of, until
from distkvm.door.forger import (FORGER, SOON, check_expelled,
                                 cluster_with_forger)
from distkvm.door.pci import NO_LINE, SLOT, function
from distkvm.wire import IRQ, PCI_CHANGED, PCI_CONFIG, PCI_MSI
from naming import named

pytestmark = pytest.mark.overlaps

# q35: the last two of 256 buses are the node's, and behind its root port.
ROOT, BEHIND = 254, 255
PRIMARY_BUS, COMMAND = 0x18, 4
ADDRESS, DATA = 0xcf8, 0xcfc
# STATUS and COMMAND, as the answer has them.
ANSWER = 0x00100000
LATE = rf'node {FORGER} \(.*\) has not answered a PCI configuration cycle for'


def monitor(cluster, node, line):
    return cluster.qmp(node).execute('human-monitor-command',
                                     **{'command-line': line})


def config(bus, device, at):
    return 1 << 31 | bus << 16 | device << 11 | at


def begin_cycle(cluster):
    """Node 0 reads the function's STATUS; a thread, and what it will find."""
    for port, value in (
            (ADDRESS, config(ROOT, SLOT, PRIMARY_BUS)),
            (DATA, BEHIND << 16 | BEHIND << 8 | ROOT),
            (ADDRESS, config(BEHIND, 0, COMMAND))):
        monitor(cluster, 0, f'o/w {port:#x} {value:#x}')
    found = []
    thread = threading.Thread(daemon=True, target=lambda: found.append(
        monitor(cluster, 0, f'i/w {DATA:#x}')))
    thread.start()
    return thread, found


def asked(member):
    """Node 0's cycle."""
    return next((f for f in list(member.heard) if f.type == PCI_CONFIG), None)


def end_cycle(thread, found):
    thread.join(SOON)
    if not found or f'{ANSWER:#010x}' not in found[0]:
        raise Problem(f'the cycle has found {found}')


@named('door: a member answers a configuration cycle late, and then twice')
def test_late_and_twice():
    """It is named, once; others go on, and so does the cycle when the answer
    comes.  A second answer is a lie."""
    with cluster_with_forger('cycle', SLOT, cold=[function(1)]) as (cluster,
                                                                    member):
        until('the guest runs', lambda: cluster.qmp(0).execute(
            'query-status')['status'] == 'running', SOON)
        thread, found = begin_cycle(cluster)
        cycle = until('node 0 asks', lambda: asked(member), SOON)
        until('it is named', lambda: re.search(LATE, log_of(cluster, 0)), SOON)
        # A device of node 0 answers a node that is not waited for.
        if f'{config(BEHIND, 0, COMMAND):#x}' not in monitor(
                cluster, 1, f'i/w {ADDRESS:#x}'):
            raise Problem('node 1 is disturbed')
        if found or len(re.findall(LATE, log_of(cluster, 0))) != 1:
            raise Problem(f'it has found {found}: {log_of(cluster, 0)}')
        answer = member.frame(PCI_CHANGED, 0, call=cycle.body['call'],
                              data=ANSWER)
        member.send(0, answer)
        end_cycle(thread, found)
        check_calm(cluster, (0, 1))
        member.send(0, answer)
        check_expelled(cluster, 0, 'an answer nobody asked for')


def pending(cluster):
    """Vectors that wait at CPU 0."""
    line = re.search(r'IRR\s+(.*)', monitor(cluster, 0, 'info lapic 0'))
    return line.group(1).split()


@named('door: a member sends interrupts of before a reset')
def test_stale():
    """They are nothing, and so is a message of a function that may have been
    there; without that excuse it is a lie."""
    with cluster_with_forger('stale', SLOT, cold=[function(1)]) as (cluster,
                                                                    member):
        until('the guest runs', lambda: cluster.qmp(0).execute(
            'query-status')['status'] == 'running', SOON)

        def interrupt(vector, epoch):
            return member.frame(IRQ, 1, cpu=0, vector=vector, epoch=epoch)

        def message(epoch):
            return member.frame(PCI_MSI, 0, generation=2, addr=0xfee00010,
                                data=0x43, devfn=SLOT << 3, epoch=epoch)

        now = 0
        member.send(0, interrupt(0x41, now + 1), message(now + 1),
                    interrupt(0x42, now))
        until('an interrupt of now arrives',
              lambda: str(0x42) in pending(cluster), SOON)
        if str(0x41) in pending(cluster):
            raise Problem('one of before arrives as well')
        check_calm(cluster, (0, 1))
        member.send(0, message(now))
        check_expelled(cluster, 0, NO_LINE)
