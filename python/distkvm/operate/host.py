# SPDX-License-Identifier: GPL-2.0-or-later
"""The part of the tool that runs on each host of a cluster.

answer() takes a request and gives an answer, both as JSON has them; the tool
on another host sends it by ssh.  relay() and follow() are streams."""

import contextlib
import os
import select
import signal
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from ..cluster import Qmp, last_words
from ..common import Problem
from ..cpu_describe import describe
from ..keys import put_files
from . import facts, images, reach, trial
from .outlet import Outlet
from .state import State, hold

# Of requests and answers between hosts.  Another one whenever a tool of before
# would take one of them wrongly.
FORMAT = 4
# For an answer of a node that may be stopped, or stuck.
QMP_SECONDS = 5
THREADS = 16
READ_BYTES = 1 << 16
FOLLOW_SECONDS = 0.2
LEAVE_SECONDS = 2
# Bytes of the guest's last words that a new reader of its console gets.
RECENT_BYTES = 2000
SIGNALS = {'term': signal.SIGTERM, 'kill': signal.SIGKILL}


def ask(state, node, commands, arguments=None):
    """Answers of a node's QMP; a Problem says why there are none."""
    try:
        with contextlib.closing(Qmp(state.qmp(node), QMP_SECONDS)) as qmp:
            return [qmp.execute(command, **(arguments or {}))
                    for command in commands]
    except (OSError, ValueError) as error:
        raise Problem(f'QMP does not answer ({error})') from None


# --------------------------------------------------------------- answers

def start(state, request):
    run = request['run']
    with state.locked():
        state.admit(run, [n['id'] for n in request['nodes']])
        for node in request['nodes']:
            state.start(node['id'], node['command'], request.get('cwd'), run)
    return {}


def proofs_of(request, qemus):
    """`qemus`: by path the version of each QEMU, and why it does not run."""
    if not request:
        return None
    # Of one that does not run that is an error already.
    request = {**request, 'loader': {
        path: qemu for path, qemu in request.get('loader', {}).items()
        if not qemus[qemu][1]}}
    # It loads ssl, which takes its time, and which no other answer needs.
    # pylint: disable-next=import-outside-toplevel
    from . import proofs
    return proofs.proofs(request)


def facts_of(state, request):
    # First and last of all, however long the rest takes: between.clocks() knows
    # the clock by these.
    began = time.time()
    tried = request['trial']
    found = {'images': images.images(request['images'], request.get('cwd')),
             'doubts': images.doubts(request['images']),
             **facts.facts(state, request)}
    found['proofs'] = proofs_of(request['proofs'], found['qemu'])
    # One that is not there is an error already.
    right = tried and not found['qemu'][tried['qemu']][1]
    found['trial'] = trial.trial(tried) if right else None
    return {**found, 'time': (began, time.time())}


def runs(state, _):
    """Numbers of the nodes that run, by the run that started them."""
    found = {state.run(n): [] for n in state.started()}
    for node in state.running():
        found[state.run(node)].append(node)
    return {'runs': found}


def node_status(state, node):
    """All that this host knows of a node of its own."""
    process, run = state.process(node), state.run(node)
    if not process:
        return {'state': 'absent'}
    if process.of_another_boot():
        # Its status may have been written before.
        return {'state': 'ended', 'pid': process.pid, 'words': [],
                'exit': state.exit_status(node), 'run': run, 'booted': True}
    if not process.alive():
        status = state.settled_status(node)
        words = []
        if status:
            with contextlib.suppress(OSError):
                words = last_words(state.log(node))
        return {'state': 'ended', 'pid': process.pid, 'exit': status,
                'words': words, 'run': run}
    found = {'state': 'running', 'pid': process.pid, 'run': run}
    if not state.qmp(node).exists():
        # It starts, or will say in a moment why it cannot.
        return {**found, 'problem': 'it has no QMP yet'}
    try:
        status, found['info'] = ask(state, node,
                                    ['query-status', 'query-distkvm'])
        # Of the counters: an answer may take its time.
        found['seconds'] = time.monotonic()
        found['status'] = status['status']
    except Problem as problem:
        # It may have ended meanwhile.
        if not process.alive():
            return node_status(state, node)
        found['problem'] = str(problem)
    return found


def status_of(state, request):
    with ThreadPoolExecutor(THREADS) as pool:
        each = pool.map(lambda n: node_status(state, n), request['nodes'])
        return {'nodes': dict(zip(map(str, request['nodes']), each))}


def query(state, node, commands):
    """Answers of a node to some of its queries, by their names.  One that it
    does not answer is missing."""
    found = {}
    if state.alive(node):
        for name in commands:
            with contextlib.suppress(Problem):
                found[name] = ask(state, node, [name])[0]
    return found


def queries(state, request):
    """The same of several nodes.  Only queries: they change nothing."""
    commands = [c for c in request['commands'] if c.startswith('query-')]
    with ThreadPoolExecutor(THREADS) as pool:
        each = pool.map(lambda n: query(state, n, commands), request['nodes'])
        return {'nodes': dict(zip(map(str, request['nodes']), each))}


def command(state, request):
    """A QMP command for a node, whose answer nobody needs; `why` it was not
    taken."""
    if not state.alive(request['node']):
        return {'done': False, 'why': 'it does not run'}
    try:
        ask(state, request['node'], [request['command']],
            request.get('arguments', {}))
        return {'done': True}
    except Problem as problem:
        return {'done': False, 'why': str(problem)}


def quit_node(state, node):
    with contextlib.suppress(Problem):
        ask(state, node, ['quit'])


def end(state, request):
    """Tell nodes of some runs to quit, or send them a signal; the ids of those
    that ran.  Other runs are left alone."""
    if not request['runs']:
        return {'running': []}
    # A start of theirs that is under way comes to its end before, and one that
    # comes later refuses.
    state.cancel(request['runs'])
    with state.locked():
        running = state.running(request['runs'])
        if request['how'] == 'quit':
            with ThreadPoolExecutor(THREADS) as pool:
                list(pool.map(lambda n: quit_node(state, n), running))
            return {'running': running}
        for node in running:
            # A stopped process takes no other signal than SIGKILL.
            state.signal(node, signal.SIGCONT)
            state.signal(node, SIGNALS[request['how']])
    return {'running': running}


def forget(state, request):
    if state.started():
        with state.locked():
            state.forget_runs(request['runs'])
    return {}


def cpu(_, request):
    """What CPUs this host can give, to nodes that run TCG and others."""
    return {'cpus': {each: describe(each) for each in request['which']}}


def keys(_, request):
    try:
        return put_files(request['directory'], request['step'],
                         request['files'])
    except Problem as problem:
        return {'problem': str(problem), 'key': 'keys'}


ANSWERS = {'facts': facts_of, 'dial': reach.dial, 'start': start,
           'status': status_of, 'queries': queries, 'command': command,
           'runs': runs, 'end': end, 'forget': forget, 'cpu': cpu, 'keys': keys}


def answer(request):
    """The answer to a request; {'problem': text} if there is none, which may
    have the `key` of the file that is to blame, if not the host."""
    try:
        state = State(request['cluster'])
        state.examine()
        return ANSWERS[request['verb']](state, request)
    except (Problem, OSError) as problem:
        return {'problem': str(problem)}


# --------------------------------------------------------------- streams

def follow(state, name, forever, source=0, out=sys.stdout.buffer):
    """A log to standard output, and with `forever` all that is added to it
    until its node has ended, or standard input has."""
    node = 0 if name == 'console' else int(name)
    path = state.console_log if name == 'console' else \
        state.log(node)
    try:
        file = open(path, 'rb')     # pylint: disable=consider-using-with
    except FileNotFoundError:
        raise Problem(f'{path} is not there: distkvm up starts the nodes, and '
                      'their logs') from None
    except OSError as error:
        raise Problem(f'{path}: {error.strerror}') from None
    with file:
        while True:
            alive = forever and state.alive(node)
            while data := file.read(READ_BYTES):
                out.write(data)
            out.flush()
            if not alive:
                return
            # The wrapper of the node has begun it anew.
            if os.fstat(file.fileno()).st_size < file.tell():
                file.seek(0)
            if select.select([source], [], [], FOLLOW_SECONDS)[0] and \
                    not os.read(source, READ_BYTES):
                return


def recent(state):
    """The last words of the guest, from the beginning of a line."""
    try:
        with open(state.console_log, 'rb') as file:
            size = file.seek(0, os.SEEK_END)
            file.seek(max(0, size - RECENT_BYTES))
            data = file.read()
    except OSError:
        return b''
    return data if size <= RECENT_BYTES else data.partition(b'\n')[2]


def occupied(state):
    """Whether another reader is at the console."""
    devices = ask(state, 0, ['query-chardev'])[0]
    return any(d['label'] == 'console' and
               not d['filename'].startswith('disconnected:')
               for d in devices)


def await_free(state):
    """QEMU may notice a moment later that a reader has left."""
    end = time.monotonic() + LEAVE_SECONDS
    while occupied(state):
        if time.monotonic() > end:
            raise Problem('another program is at the console, and only one '
                          f'can be: "ss -xp src {state.console}" shows it')
        time.sleep(FOLLOW_SECONDS)


def relay(state, source=0, target=1):
    """Bytes between two descriptors and the guest's console, until the source
    or the guest has ended."""
    if not state.alive(0):
        raise Problem('node 0 does not run: start the cluster with distkvm '
                      'up')
    with hold(state.path / 'reader', 0, (
            'another reader{} is at the console, and only one can be: end '
            'that process')):
        await_free(state)
        before = recent(state)
        with socket.socket(socket.AF_UNIX) as console:
            try:
                console.connect(str(state.console))
            except OSError as error:
                raise Problem(f'{state.console}: {error.strerror}') from None
            os.write(target, before)
            # A node that ends with keys unread resets the connection.
            with contextlib.suppress(ConnectionError):
                pump(console, source, target)


def pump(console, source, target):
    """Keys to the console, which may take none, and its words to the target,
    until one of them ends."""
    keys = Outlet(console.fileno())
    while True:
        poll = select.poll()
        # The end of the source is seen (POLLHUP), also while the guest is
        # stopped and takes no key.
        poll.register(source, 0 if keys.full else select.POLLIN)
        poll.register(console, select.POLLIN |
                      (select.POLLOUT if keys.waiting else 0))
        for fd, events in poll.poll():
            if fd == source:
                data = b'' if keys.full else os.read(source, READ_BYTES)
                if not data:
                    return
                keys.put(data)
            elif events & ~select.POLLOUT:
                data = console.recv(READ_BYTES)
                if not data:
                    return
                os.write(target, data)
            else:
                keys.flush()
