# SPDX-License-Identifier: GPL-2.0-or-later
"""Two guests on the same hosts, some of their nodes on one CPU of a host."""

import os
import re
import time
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, Problem
from distkvm.door.common import until
from distkvm.guests.checks import TIMEOUT, tiny_says
from distkvm.hosts import Bridged
from distkvm.work import unpacked, verify
from naming import named

pytestmark = pytest.mark.root('namespaces')

LOGS = BUILD / 'log'
HOSTS = 3
# Of each guest: the host of each node, vCPUs, and a port.  On the first host's
# CPU are vCPUs of both guests, two of them of one; so are vCPUs of both on the
# second's.
FIRST = (0, 0, 1, 2), '2/0/1/0', 7700
SECOND = (0, 1, 1, 2), '1/1/0/0', 7800
# The node of the first guest that dies; it has a vCPU.
DIES = 2
# Of both checks; DISTKVM_VERIFY_SECONDS=30 is a short one.
SECONDS = int(os.environ.get('DISTKVM_VERIFY_SECONDS', '600'))
AFTER_SECONDS = 60
BEFORE_SECONDS = 12
LOST = re.compile(r'node \d+ \(.*?\) is lost')
LOSS_SECONDS = 20


def shape_of(guest, hosts):
    """Options of a Shape for a guest, of which each address is a host's."""
    where, vcpus, port = guest
    return {'net': 'psk', 'vcpus': vcpus,
            'smp': str(sum(map(int, vcpus.split('/')))),
            'addresses': [f'{hosts.addresses[host]}:{port + node}'
                          for node, host in enumerate(where)]}


def prefix_of(guest, hosts):
    """Each host has a CPU of this one, as far as there are so many."""
    cpus = sorted(os.sched_getaffinity(0))
    return lambda node: hosts.prefix(
        guest[0][node], cpus[guest[0][node] % len(cpus)])


def cluster(name, guest, hosts):
    return Cluster(Shape(nodes=len(guest[0]), memory='64M',
                         **shape_of(guest, hosts)), LOGS / name,
                   prefix_of(guest, hosts))


def check_loss(nodes):
    """Each node of the guest whose node has died names that one."""
    end = time.monotonic() + LOSS_SECONDS
    for node in set(range(len(FIRST[0]))) - {DIES}:
        while (info := nodes.info(node)).get('lost-node') != DIES:
            if time.monotonic() > end:
                raise Problem(f'node {node} knows nothing of node {DIES}: '
                              f'{info["state"]}')
            time.sleep(0.1)


def check_undisturbed(nodes):
    for node in range(nodes.shape.nodes):
        found = LOST.search(nodes.log(node).read_text(errors='replace'))
        if found:
            raise Problem(f'of the other guest node {node} says: '
                          f'{found.group(0)}')


def beside(*functions):
    """Results of functions that run at the same time; the first exception at
    once, since the others end with their guests."""
    pool = ThreadPoolExecutor(len(functions))
    try:
        jobs = [pool.submit(function) for function in functions]
        wait(jobs, return_when=FIRST_EXCEPTION)
        for job in jobs:
            if job.done():
                job.result()
        return [job.result() for job in jobs]
    finally:
        # After Ctrl-C, too.
        pool.shutdown(wait=False)


@pytest.mark.full
@named('guest: two guests share three hosts, and one is killed')
def test_short():
    """Both compute right at the same time; one of them is killed in the middle
    of the other one's second life."""
    # The end of a guest is no end of its nodes.
    args = ['-no-shutdown', '-kernel', str(guests.tiny_guest())]
    with Bridged(HOSTS) as hosts, \
            cluster('neighbours-first', FIRST, hosts) as first, \
            cluster('neighbours-second', SECOND, hosts) as second:
        consoles = [each.boot(*args) for each in (first, second)]
        beside(*(lambda c=c: tiny_says(c, 'passed', TIMEOUT)
                 for c in consoles))
        # The kernel's last word is ahead of its power-off.
        until('the other guest has powered off', lambda: second.qmp(0).execute(
            'query-status')['status'] == 'shutdown', LOSS_SECONDS)
        second.qmp(0).execute('system_reset')
        second.qmp(0).execute('cont')
        consoles[1].until('tiny: counters are right', TIMEOUT)
        first.process[DIES].kill()
        tiny_says(consoles[1], 'passed', TIMEOUT)
        check_loss(first)
        check_undisturbed(second)
        second.qmp(0).execute('quit')
        # None stands for a node that is still there.
        if second.wait(LOSS_SECONDS) != [0] * second.shape.nodes:
            raise Problem('nodes of the other guest did not end well')


class Guest(verify.Unpacked):
    """Programs that verify, in one of the guests."""

    def __init__(self, name, guest, hosts):
        super().__init__(LOGS / name, len(guest[0]),
                         prefix=prefix_of(guest, hosts),
                         **shape_of(guest, hosts))


@pytest.mark.full
@pytest.mark.timeout(5 * SECONDS + 1800)
@named('guest: two guests share three hosts, and verify for ten minutes')
def test_long(note):
    """Different programs, then one guest loses a node while the other one
    verifies."""
    # One of them makes it.
    unpacked.disk()
    with Bridged(HOSTS) as hosts:
        first = Guest('neighbours-stress', FIRST, hosts)
        second = Guest('neighbours-data', SECOND, hosts)
        try:
            beside(first.boot, second.boot)
            values = beside(lambda: first.verify('stress-ng', SECONDS),
                            lambda: second.verify('pgbench', SECONDS))
            for check, found in zip(('stress-ng', 'pgbench'), values):
                note(f'{verify.shown(check, found)}, for {SECONDS} s')
            values = beside(lambda: dies(first),
                            lambda: second.verify('fio', AFTER_SECONDS))
            note(f'{verify.shown("fio", values[1])}, while node {DIES} of the '
                 'other guest died')
            check_undisturbed(second.nodes)
            second.finish()
        finally:
            first.end()
            second.end()


def dies(guest):
    """The guest verifies, a node of it is killed, the others say so."""
    def kill():
        time.sleep(BEFORE_SECONDS)
        guest.nodes.process[DIES].kill()

    def work():
        with pytest.raises(Problem, match=f'node {DIES} .*(is lost|has ended)'):
            guest.verify('stress-ng', SECONDS)

    beside(kill, work)
    check_loss(guest.nodes)
