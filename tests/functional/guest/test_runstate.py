# SPDX-License-Identifier: GPL-2.0-or-later
"""Stop, continue, reset, power-off and quit act on the whole cluster."""

import contextlib
import functools
import os
import re
import select
import signal
import subprocess
import time
from pathlib import Path

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU, Problem
from distkvm.console import Console
from distkvm.door.common import until
from distkvm.ptrace import breakpoint_at
from distkvm.qtest import qtest_cluster
from naming import cases, named

TIMEOUT = 240
ENDS = 12
# The moment that a test wants may be missed.
TRIES = 5
END_SECONDS = 4
RESETS = 8
# A guest that may not go on would go on within this.
BRIEF = 0.3
# Events of which the order counts.
ORDERED = 'RESET', 'RESUME', 'SHUTDOWN'
# A machine under load is this much slower.
PATIENCE = 5
HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']


def cluster_of(clusters, name, *args):
    """A running two-node guest: cluster and console."""
    cluster = clusters(Shape(nodes=2, memory='256M'), name)
    cluster.start(1)
    process = cluster.start(0, [*HEADLESS, *args], stdout=subprocess.PIPE)
    return cluster, Console(process)


def idle_cluster(clusters, name):
    return cluster_of(clusters, name, *guests.quick_args('quiet', 'idle'))


def wait_state(cluster, node, wanted, timeout=10):
    end = time.monotonic() + timeout
    while time.monotonic() < end:
        state = cluster.qmp(node).execute('query-status')['status']
        if state == wanted:
            return
        time.sleep(0.05)
    raise Problem(f'node {node} is {state}, not {wanted}')


def one_time(cluster):
    """The clocks of both nodes, if they say the same."""
    clocks = [cluster.info(n)['clock-ns'] for n in (0, 1)]
    return clocks if clocks[0] == clocks[1] else None


@cases('name, node', {'guest: stop and cont on node 1': ('stop-1', 1)},
       {'guest: stop and cont on node 0': ('stop-0', 0)})
def test_stop_and_continue(name, node, clusters):
    """stop and cont on one node act on both; time stands still."""
    other = 1 - node
    cluster, console = idle_cluster(clusters, name)
    console.until('guest-idle', TIMEOUT)
    cluster.qmp(node).execute('stop')
    wait_state(cluster, other, 'paused')
    # A node that stopped a moment before the other learns of its clock by the
    # next frame.
    before = until('all clocks stand at one time', lambda: one_time(cluster),
                   10)
    time.sleep(1)
    after = [cluster.info(n)['clock-ns'] for n in (0, 1)]
    if before != after:
        raise Problem(f'guest time ran on while stopped: {before}, '
                      f'{after}')
    cluster.qmp(node).execute('cont')
    wait_state(cluster, other, 'running')
    wait_state(cluster, node, 'running')
    console.until('guest-idle', 30)
    console.until('guest-idle', 30)
    cluster.qmp(other).execute('quit')
    statuses = cluster.wait(15)
    if statuses != [0, 0]:
        raise Problem(f'nodes ended with {statuses} after quit')


@pytest.mark.full
@cases('name, node', {
    f'guest: reset with -no-reboot on node {node}': (f'reset-{node}', node)
    for node in (0, 1)})
def test_reset(name, node, clusters):
    """system_reset on any node starts the guest anew on all."""
    cluster, console = idle_cluster(clusters, name)
    console.until('guest-init: up', TIMEOUT)
    # -no-reboot is given: a reset must then end the cluster.
    cluster.qmp(node).execute('system_reset')
    console.drain()
    statuses = cluster.wait(15)
    if statuses != [0, 0]:
        raise Problem(f'with -no-reboot nodes ended with {statuses}')


@named('guest: reboot from a follower, reset by QMP')
def test_reboot():
    """The guest's own reboot, from a follower's CPU, and QMP's."""
    with Cluster(Shape(nodes=2, memory='256M'),
                 BUILD / 'log' / 'reboot') as cluster:
        console = cluster.boot(*(
            a for a in guests.quick_args('quiet reboot=s1', 'reboot')
            if a != '-no-reboot'))
        for _ in range(2):
            console.until('cpus online 0-1,', TIMEOUT)
            console.until('guest-reboot: up', TIMEOUT)
        cluster.qmp(1).execute('system_reset')
        console.until('cpus online 0-1,', TIMEOUT)
        cluster.qmp(0).execute('quit')
        console.drain()
        if cluster.wait(15) != [0, 0]:
            raise Problem('nodes did not end well')
        if re.search(r'BUG:|WARNING:|Call Trace', console.text):
            raise Problem("the guest's kernel complains")


@named('guest: -S holds for the cluster')
def test_start_stopped(clusters):
    """-S on node 0 holds for the cluster, until cont."""
    cluster, console = cluster_of(clusters, 'stopped', '-S', '-kernel',
                                  str(guests.tiny_guest()))
    cluster.wait_formed()
    time.sleep(0.5)
    for node in (0, 1):
        if cluster.info(node)['clock-ns'] != 0:
            raise Problem('the guest runs although -S was given')
    cluster.qmp(0).execute('cont')
    # Of a kernel that lets the CPUs of both nodes work.
    console.until('tiny: passed', TIMEOUT)


@named('guest: clocks 400 ppm apart')
def test_skewed_clocks(note):
    """Crystals that differ by 400 ppm: no vCPU sees time run backwards."""
    with Cluster(Shape(nodes=2, memory='256M'),
                 BUILD / 'log' / 'skew') as cluster:
        cluster.shape.options = ',x-clock-skew-ppm=200'
        cluster.start(1)
        cluster.shape.options = ',x-clock-skew-ppm=-200'
        process = cluster.start(
            0, [*HEADLESS, *guests.quick_args(
                'quiet litmus.n=1000 litmus.code=2000', 'litmus')],
            stdout=subprocess.PIPE)
        console = Console(process, cluster=cluster)
        console.until('guest-litmus: time is right', TIMEOUT)
        offset = cluster.info(1)['clock-offset-ns']
        console.drain()
        note(f'offset at the end {offset / 1000:.0f} us')


def wait_refused(cluster, times, node=0):
    """Until the node has said so often that the guest has to be reset."""
    until(f'node {node} says so', lambda: cluster.log(node).read_text().count(
        'reset it first') == times, 10)


@pytest.mark.full
@named('guest: a guest that has powered off goes on by a reset only')
def test_powered_off():
    """-no-shutdown keeps it; "cont" alone, on any node, changes nothing."""
    with Cluster(Shape(nodes=2, memory='64M'),
                 BUILD / 'log' / 'powered-off') as cluster:
        console = cluster.boot('-no-shutdown', '-kernel',
                               str(guests.tiny_guest()))
        refused = 0
        for node, at_once in ((1, False), (0, True), (1, True)):
            console.until('tiny: passed', TIMEOUT)
            wait_state(cluster, 0, 'shutdown')
            if node == 0:
                with pytest.raises(Problem, match='Resetting'):
                    cluster.qmp(0).execute('cont')
            else:
                refused += 1
                cluster.qmp(1).execute('cont')
                wait_refused(cluster, refused)
            wait_state(cluster, 0, 'shutdown')
            cluster.qmp(node).execute('system_reset')
            if not at_once:
                # The "cont" of before is forgotten.
                wait_state(cluster, 0, 'prelaunch')
                time.sleep(0.5)
                wait_state(cluster, 0, 'prelaunch')
            cluster.qmp(node).execute('cont')
        console.until('tiny: passed', TIMEOUT)
        cluster.qmp(1).execute('quit')
        if cluster.wait(15) != [0, 0]:
            raise Problem('nodes did not end well')


@named('guest: -no-reboot -no-shutdown: a follower\'s reset is forgotten')
def test_reset_ends():
    """It has become the end of the guest: "cont" does not wait for it."""
    with qtest_cluster('reset-ends') as cluster:
        cluster.start(1)
        cluster.start(0, [*HEADLESS, '-no-reboot', '-no-shutdown'])
        wait_state(cluster, 1, 'running', 60)
        cluster.qmp(1).execute('system_reset')
        wait_state(cluster, 0, 'shutdown')
        wait_state(cluster, 1, 'paused')
        cluster.qmp(1).execute('cont')
        wait_refused(cluster, 1)


# Of RunState: internal-error.
INTERNAL_ERROR = 2


@functools.cache
def symbols():
    """Of QEMU; this takes so long that a node must not be suspended meanwhile."""
    return subprocess.run(['nm', QEMU], text=True, check=True,
                          capture_output=True).stdout


def address(process, name):
    """Where a process has a function or variable of QEMU."""
    at = int(re.search(rf'^(\w+) [a-zA-Z] {name}$', symbols(), re.M)[1], 16)
    maps = Path(f'/proc/{process.pid}/maps').read_text()
    base = re.search(rf'^(\w+)-.* 0+ .*{QEMU.name}$', maps, re.M)[1]
    return int(base, 16) + at


def write_state(process, name):
    """KVM's errors need KVM; so what they write is written to QEMU's memory:
    "internal-error" into one of its variables of type RunState."""
    at = address(process, name)
    with open(f'/proc/{process.pid}/mem', 'r+b', buffering=0) as memory:
        memory.seek(at)
        memory.write(INTERNAL_ERROR.to_bytes(4, 'little'))


def fail(cluster, node):
    """As KVM does it: a vCPU asks for the stop, and wakes the main loop."""
    write_state(cluster.process[node], 'vmstop_requested')
    wait_state(cluster, node, 'internal-error')


def running(cluster, *args):
    """The nodes, with options of node 0's."""
    cluster.start(1)
    cluster.start(0, [*HEADLESS, *args])
    for node in (0, 1):
        wait_state(cluster, node, 'running', 60)


def paused(cluster, *args):
    """The same, of which node 1 has said stop."""
    running(cluster, *args)
    cluster.qmp(1).execute('stop')
    for node in (0, 1):
        wait_state(cluster, node, 'paused')


def reset_and_go_on(cluster, wanted=(['RESET', 'RESUME'],) * 2):
    """Node 1's user says so before node 0 hears of it.  Events, by node."""
    seen = [len(cluster.qmp(node).events) for node in (0, 1)]
    cluster.process[0].send_signal(signal.SIGSTOP)
    cluster.qmp(1).execute('system_reset')
    cluster.qmp(1).execute('cont')
    cluster.process[0].send_signal(signal.SIGCONT)
    for node in (0, 1):
        wait_state(cluster, node, 'running')
        said = cluster.qmp(node).events[seen[node]:]
        if [e for e in said if e in ORDERED] != wanted[node]:
            raise Problem(f'node {node} said {said}')


@named('guest: a follower\'s reset and cont, in this order')
def test_reset_and_go_on():
    """Both are in one batch of messages: the guest is reset first."""
    with qtest_cluster('reset-and-go-on') as cluster:
        paused(cluster)
        for _ in range(RESETS):
            reset_and_go_on(cluster)
            cluster.qmp(1).execute('stop')
            wait_state(cluster, 0, 'paused')


@named('guest: -no-reboot -no-shutdown: a follower\'s reset and cont')
def test_end_and_go_on():
    """As on one machine a paused guest is not reset, and goes on: "cont" does
    not wait for a reset that never comes."""
    with qtest_cluster('end-and-go-on') as cluster:
        paused(cluster, '-no-reboot', '-no-shutdown')
        reset_and_go_on(cluster, (['SHUTDOWN', 'RESUME'], ['RESUME']))


def wait_told(cluster, times):
    """Until node 0 has heard so often that an error has stopped node 1."""
    until('node 0 hears of it', lambda: cluster.log(0).read_text().count(
        'node 1 was stopped by an error') == times, 10)


def check_refused(cluster):
    """To "cont" on node 0, which names node 1; both stay stopped."""
    with pytest.raises(Problem, match='node 1 was stopped by an error'):
        cluster.qmp(0).execute('cont')
    wait_state(cluster, 0, 'paused')


@named('guest: a node that KVM has stopped goes on by a reset only')
def test_error():
    """"cont" on node 0 says why, and the reset of any node lets all go on."""
    with qtest_cluster('stopped-by-kvm') as cluster:
        running(cluster)
        for _ in range(2):
            fail(cluster, 1)
            wait_state(cluster, 0, 'paused')
            check_refused(cluster)
            wait_state(cluster, 1, 'internal-error')
            reset_and_go_on(cluster)


@named('guest: "cont" waits for the reset of a node that KVM has stopped')
def test_error_resets():
    """Node 1 is slow: node 0's user has said all of it before node 1 hears of
    the first."""
    with qtest_cluster('kvm-reset') as cluster:
        running(cluster)
        fail(cluster, 1)
        wait_state(cluster, 0, 'paused')
        cluster.process[1].send_signal(signal.SIGSTOP)
        check_refused(cluster)
        cluster.qmp(0).execute('system_reset')
        cluster.qmp(0).execute('cont')
        cluster.process[1].send_signal(signal.SIGCONT)
        for node in (0, 1):
            wait_state(cluster, node, 'running')


@named('guest: an error of KVM is kept if the cluster stops before')
def test_error_after_stop():
    """Node 1's main loop hears of node 0's stop and of the error at once."""
    with qtest_cluster('kvm-stop') as cluster:
        running(cluster)
        symbols()
        for times in range(1, RESETS + 1):
            cluster.process[1].send_signal(signal.SIGSTOP)
            write_state(cluster.process[1], 'vmstop_requested')
            cluster.qmp(0).execute('stop')
            cluster.process[1].send_signal(signal.SIGCONT)
            wait_state(cluster, 1, 'internal-error')
            wait_told(cluster, times)
            check_refused(cluster)
            reset_and_go_on(cluster)


def fail_in_reset(cluster, node):
    """As if KVM did not take a vCPU's state at the end of a reset."""
    process = cluster.process[node]
    at = address(process, 'cpu_synchronize_all_post_reset')
    try:
        with breakpoint_at(process.pid, at) as point:
            cluster.qmp(1 - node).execute('system_reset')
            point.wait()
            write_state(process, 'vmstop_requested')
    except Problem as problem:
        if 'ptrace needs' in str(problem):
            pytest.skip(str(problem))
        raise


def refuses(cluster):
    try:
        cluster.qmp(0).execute('cont')
    except Problem as problem:
        return re.search('stopped by an error|eset.* required', str(problem))
    return None


def reset_all(cluster, node):
    """One that is asked for while another one is under way is that one."""
    qmps = [cluster.qmp(other) for other in (0, 1)]
    until('the other reset is over', lambda: all(
        qmp.execute('query-status') and qmp.events.count('RESET') == 1
        for qmp in qmps), 10)
    time.sleep(BRIEF)
    qmps[node].execute('system_reset')


def go_on(cluster):
    until('"cont" is not refused', lambda: not refuses(cluster), 10)
    for node in (0, 1):
        wait_state(cluster, node, 'running')


def unstarted(cluster):
    """Node 0's user does not want the guest to run yet."""
    cluster.start(1)
    cluster.start(0, [*HEADLESS, '-S'])
    cluster.wait_formed()


@cases('node, begin', {
    f'guest: an error of KVM within a reset of a guest that {has}, node {node}':
    (node, begin) for has, begin in (
        ('runs', running), ('is paused', paused), ('has not run', unstarted))
    for node in (0, 1)})
def test_error_in_reset(node, begin):
    """It is kept, and the next reset lets the guest go on."""
    with qtest_cluster('kvm-in-reset') as cluster:
        begin(cluster)
        fail_in_reset(cluster, node)
        if begin == running:
            wait_state(cluster, node, 'internal-error')
            wait_state(cluster, 1 - node, 'paused')
        # One that comes before the reset has ended is not refused.
        until('"cont" is refused', lambda: refuses(cluster), 10)
        time.sleep(BRIEF)
        for other in (0, 1):
            status = cluster.qmp(other).execute('query-status')['status']
            assert status in ('paused', 'prelaunch', 'internal-error')
        reset_all(cluster, node)
        go_on(cluster)


@named('guest: a reset while memory is dumped')
def test_reset_in_dump(tmp_path):
    """The dump ends, and then the guest goes on."""
    pipe = tmp_path / 'dump'
    os.mkfifo(pipe)
    with qtest_cluster('reset-in-dump') as cluster:
        running(cluster)
        reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
        qmp = cluster.qmp(1)
        qmp.execute('dump-guest-memory', paging=False, detach=True,
                    protocol=f'file:{pipe}')
        wait_state(cluster, 1, 'save-vm')
        qmp.execute('system_reset')
        until('the guest is reset', lambda: qmp.execute('query-status') and
              'RESET' in qmp.events, 10)
        wait_state(cluster, 1, 'save-vm')
        while select.select([reader], [], [], 10)[0] and \
                os.read(reader, 1 << 20):
            pass
        os.close(reader)
        for node in (0, 1):
            wait_state(cluster, node, 'running')


@named('guest: a start that a follower refuses')
def test_start_refused():
    """Node 0 does not know of the error when its user says "cont", and then
    does."""
    with qtest_cluster('start-refused') as cluster:
        paused(cluster)
        write_state(cluster.process[1], 'current_run_state')
        wait_state(cluster, 1, 'internal-error')
        cluster.qmp(0).execute('cont')
        wait_refused(cluster, 1, 1)
        wait_state(cluster, 0, 'paused')
        wait_state(cluster, 1, 'internal-error')
        check_refused(cluster)
        reset_and_go_on(cluster)


@named('guest: -no-reboot -no-shutdown: a node that KVM has stopped stays so')
def test_error_stays():
    """Its reset has become the end of the guest, and none lets it go on."""
    with qtest_cluster('kvm-no-reboot') as cluster:
        running(cluster, '-no-reboot', '-no-shutdown')
        fail(cluster, 1)
        wait_state(cluster, 0, 'paused')
        cluster.qmp(1).execute('system_reset')
        wait_state(cluster, 1, 'prelaunch')
        qmp = cluster.qmp(0)
        until('the reset is an end',
              lambda: qmp.execute('query-status') and 'SHUTDOWN' in qmp.events,
              10)
        cluster.qmp(1).execute('cont')
        wait_refused(cluster, 1)
        check_refused(cluster)
        wait_state(cluster, 1, 'prelaunch')


@pytest.mark.full
@named('guest: -no-shutdown: quit of a follower whose CPU has ended the guest')
def test_quit_after_end(clusters):
    """A triple fault with -no-reboot on node 1: node 0 keeps the guest, and a
    quit on node 1 ends both in good order."""
    cluster = clusters(Shape(nodes=2, memory='256M'), 'quit-after-end')
    cluster.start(1, ['-display', 'none', '-no-reboot'])
    process = cluster.start(0, [
        *HEADLESS, '-no-shutdown', *(
            a for a in guests.quick_args('quiet reboot=t,s1', 'reboot')
            if a != '-no-reboot')], stdout=subprocess.PIPE)
    Console(process).until('guest-reboot: up', TIMEOUT)
    wait_state(cluster, 0, 'shutdown', TIMEOUT)
    cluster.qmp(1).execute('quit')
    if cluster.wait(15) != [0, 0]:
        raise Problem('nodes did not end well')


@named('guest: both nodes are ended at once')
def test_ended_at_once():
    """Both are told to end at the same moment; neither is forgotten."""
    for _ in range(ENDS):
        with qtest_cluster('ended-at-once') as cluster:
            cluster.start(1)
            cluster.start(0, HEADLESS)
            cluster.wait_formed()
            for process in cluster.process:
                process.terminate()
            cluster.wait(END_SECONDS)
            if cluster.alive():
                raise Problem(f'nodes {cluster.alive()} stay')


def yields_to_us(process):
    """From now on the node's main loop has our CPU only when we wait."""
    cpu = {min(os.sched_getaffinity(0))}
    os.sched_setaffinity(0, cpu)
    os.sched_setaffinity(process.pid, cpu)
    os.sched_setscheduler(process.pid, os.SCHED_IDLE, os.sched_param(0))


@pytest.fixture
def our_cpus():
    """Of this thread, as they were before the test."""
    cpus = os.sched_getaffinity(0)
    yield cpus
    os.sched_setaffinity(0, cpus)


def told_to_end(cluster):
    """Node 0 is told to end once it has said that the guest is over; whether it
    had not paused by then."""
    qmp = cluster.qmp(0)
    yields_to_us(cluster.process[0])
    cluster.qmp(1).send('system_reset')
    while 'SHUTDOWN' not in qmp.events:
        qmp.receive()
    now = time.time()
    cluster.process[0].terminate()
    # Lines of node 0's may be unread by now.
    with contextlib.suppress(OSError):
        while (said := qmp.receive()).get('event') != 'STOP':
            pass
        at = said['timestamp']
        return at['seconds'] + at['microseconds'] / 1e6 > now
    return True


@named('guest: -no-shutdown: a signal at once after the end')
def test_ended_by_signal(our_cpus):
    """As libvirt does it: node 0 has said that the guest is over, has not paused
    yet, and is told to end.  That is no loss."""
    for _ in range(TRIES):
        os.sched_setaffinity(0, our_cpus)
        with qtest_cluster('ended-by-signal') as cluster:
            cluster.start(1)
            cluster.start(0, [*HEADLESS, '-no-reboot', '-no-shutdown'])
            wait_state(cluster, 1, 'running', 60)
            before = told_to_end(cluster)
            statuses = cluster.wait(END_SECONDS * PATIENCE)
        if statuses != [0, 0]:
            raise Problem(f'nodes ended with {statuses}')
        if before:
            return
    raise Problem(f'{TRIES} times node 0 had paused before it was told to end')
