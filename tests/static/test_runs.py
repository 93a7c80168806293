# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs of a cluster file: none ends nodes of another, none leaves nodes behind."""

import contextlib
import errno
import io
import os
import re
import signal
import socket
import subprocess
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from commands import TOOL
from distkvm import cluster
from distkvm.common import Problem
from distkvm.operate import lifecycle, state as state_module
from distkvm.operate.host import answer, follow
from distkvm.operate.remote import Here, Hosts
from distkvm.operate.state import State
from naming import cases, named
from operating import SECONDS, alive, await_end, place, two_hosts

pytestmark = pytest.mark.overlaps


@pytest.fixture
def state(monkeypatch):
    """A directory of a cluster's state, whose nodes end with the test."""
    with tempfile.TemporaryDirectory(prefix='dk-') as home:
        monkeypatch.setenv('XDG_STATE_HOME', home)
        found = State('c')
        yield found
        # A wrapper that lived on would write the node's exit status.
        wrappers = [found.wrapper(node) for node in found.started()]
        for wrapper in wrappers:
            found.signal_group(wrapper, signal.SIGKILL)
        await_end([wrapper.pid for wrapper in wrappers])


def start(run, node=0, seconds='1000'):
    return answer({'cluster': 'c', 'verb': 'start', 'run': run, 'nodes': [
        {'id': node, 'command': ['sleep', seconds]}]})


@named('static: operate: a run ends no other run')
def test_runs(state):
    """A second start changes nothing, also if it comes to its host first."""
    assert start('one', 1) == {}
    said = answer({'cluster': 'c', 'verb': 'start', 'run': 'two', 'nodes': [
        {'id': n, 'command': ['sleep', '1000']} for n in (0, 1)]})
    assert 'node 1 runs already' in said['problem']
    assert state.running() == [1]
    for how in ('quit', 'term', 'kill'):
        assert answer({'cluster': 'c', 'verb': 'end', 'how': how,
                       'runs': ['two']}) == {'running': []}
    answer({'cluster': 'c', 'verb': 'forget', 'runs': ['two']})
    assert state.running() == [1] and state.run(1) == 'one'
    # A start of a run that was ended comes too late.
    assert 'given up' in start('two', 0)['problem']
    answer({'cluster': 'c', 'verb': 'end', 'how': 'kill', 'runs': ['one']})
    await_end([state.process(1).pid])
    answer({'cluster': 'c', 'verb': 'forget', 'runs': ['one']})
    assert not state.started()


@named('static: operate: an end waits for a start under way')
def test_end_waits(state, monkeypatch):
    # The start was admitted before.
    monkeypatch.setattr(state, 'admit', lambda *_: None)
    with ThreadPoolExecutor() as pool:
        with state.locked():
            job = pool.submit(answer, {'cluster': 'c', 'verb': 'end',
                                       'how': 'kill', 'runs': ['one']})
            end = time.monotonic() + SECONDS
            while not (state.path / 'cancelled').exists():
                assert time.monotonic() < end
            state.start(0, ['sleep', '1000'], None, 'one')
        assert job.result() == {'running': [0]}
    await_end([state.process(0).pid])


@named('static: operate: a tool that is stopped stops others for a while')
def test_lock(state, monkeypatch):
    """They say which process it is, and do nothing."""
    monkeypatch.setattr(state_module, 'LOCK_SECONDS', 0.1)
    with state.locked():
        for request in ({'verb': 'start', 'run': 'one', 'nodes': []},
                        {'verb': 'end', 'how': 'quit', 'runs': ['one']}):
            said = answer({'cluster': 'c', **request})['problem']
            assert f'another distkvm (process {os.getpid()} of ' in said
    assert start('two') == {}


@named('static: operate: logs have an end')
def test_bounded(state, monkeypatch):
    """What a node and its guest write takes no more than twice the limit, and
    a look; readers see all that is still there."""
    monkeypatch.setattr(state_module, 'LOG_BYTES', 5000)
    monkeypatch.setattr(state_module, 'LOG_SECONDS', 0.05)
    state.make()
    console = state.console_log
    console.write_text('the run before')
    os.mkfifo(state.path / 'go')
    write = 'head -c 9000 /dev/zero; head -c 9000 /dev/zero >>"$0"; '
    said = answer({'cluster': 'c', 'verb': 'start', 'run': 'one', 'nodes': [
        {'id': 0, 'command': ['sh', '-c', f'{write} read -r line <"$1"; '
                              'echo anew; echo anew >>"$0"; exec sleep 1000',
                              str(console), str(state.path / 'go')]}]})
    assert said == {}
    for log in (console, state.log(0)):
        old = Path(f'{log}.old')
        await_true(lambda log=log, old=old: old.exists() and
                   old.stat().st_size > 5000 > log.stat().st_size)
    (state.path / 'go').write_text('go\n')
    await_true(lambda: console.read_text().endswith('anew\n'))
    assert cluster.last_words(state.log(0))[-1].endswith('anew')


def await_true(condition):
    end = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


@named('static: operate: a log that begins anew is followed')
def test_follow_anew(state):
    assert start('one') == {}
    log, words, (ours, theirs) = state.log(0), io.BytesIO(), os.pipe()
    with ThreadPoolExecutor() as pool:
        job = pool.submit(follow, state, '0', True, ours, words)
        try:
            await_true(lambda: b'sleep' in words.getvalue())
            log.write_text('new\n')
            await_true(lambda: b'new' in words.getvalue())
        finally:
            os.close(theirs)
        job.result(SECONDS)
    os.close(ours)


def sleepers(state):
    """Processes that name the directory in their environment."""
    return [p for p in Path('/proc').glob('[0-9]*')
            if own_environment(p, state)]


def own_environment(path, state):
    with contextlib.suppress(OSError):
        return str(state.path.parent.parent.parent).encode() in \
            (path / 'environ').read_bytes() and \
            int(path.name) != os.getpid() and alive(int(path.name))
    return False


@cases('written', {'static: operate: no record: no node': 0,
                   'static: operate: half a record: no node': 1})
def test_disk_full(state, monkeypatch, written):
    """A record that cannot be written leaves no process."""
    count = iter(range(9))
    write = State.write

    def full(self, node, record):
        if next(count) == written:
            raise OSError(errno.ENOSPC, 'No space left on device')
        write(self, node, record)

    monkeypatch.setattr(State, 'write', full)
    assert 'No space' in start('one')['problem']
    assert not state.started()
    await_end([int(p.name) for p in sleepers(state)])


@named('static: operate: a start whose tool is killed')
def test_tool_killed(state, monkeypatch):
    """Half a record is enough to end a node."""
    write = State.write
    monkeypatch.setattr(State, 'write', lambda self, node, record: write(
        self, node, {k: record[k] for k in ('run', 'wrapper')}))
    assert start('one') == {}
    pid = state.process(0).pid
    assert alive(pid)
    await_true(lambda: Path(f'/proc/{pid}/comm').read_text() == 'sleep\n')
    # Without node-0.pid the wrapper stands for it.
    for keep in (True, False):
        if not keep:
            assert start('two') == {}
            pid = state.process(0).pid
            state.file(0, 'pid').unlink()
        answer({'cluster': 'c', 'verb': 'end', 'how': 'kill',
                'runs': ['one' if keep else 'two']})
        await_end([pid, state.wrapper(0).pid])


@contextlib.contextmanager
def by_default(number):
    """Processes that are started do not ignore a signal as we may do, under
    nohup."""
    before = signal.signal(number, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(number, before)


@cases('number', {f'static: operate: up ends by {s.name}': s for s in (
    signal.SIGINT, signal.SIGTERM, signal.SIGHUP)})
def test_interrupted(number):
    """While nodes join each other: all that was started ends."""
    with place(FAKE_SLOW='1') as found:
        two_hosts(found)
        # pylint: disable=consider-using-with
        with by_default(number):
            process = subprocess.Popen(
                [str(TOOL), 'up', str(found.file)], env=found.env, text=True,
                stderr=subprocess.PIPE, start_new_session=True)
        with process:
            end = time.monotonic() + SECONDS
            while not list((found.path / 'shared').glob('started-*')) and \
                    time.monotonic() < end:
                time.sleep(0.01)
            # A terminal's Ctrl-C comes to all processes of the tool.
            os.killpg(process.pid, number)
            said = process.communicate(timeout=SECONDS)[1]
        assert process.returncode == 130, said
        assert 'ending the nodes that were started' in said
        assert {r['state'] for r in found.status(3)} == {'absent'}
        await_end([int(p.read_text() or 0) for p in
                   (found.path / 'shared').glob('started-*')])


@named('static: operate: up with nohup outlives its terminal')
def test_nohup():
    with place(FAKE_SLOW='1') as found:
        # pylint: disable=consider-using-with
        with by_default(signal.SIGINT):
            process = subprocess.Popen(
                ['nohup', str(TOOL), 'up', str(found.file)], env=found.env,
                stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)
        with process:
            await_true(lambda: list((found.path / 'shared').glob('started-*')))
            signals = re.search(r'SigIgn:\s*([0-9a-f]+)', Path(
                f'/proc/{process.pid}/status').read_text()).group(1)
            assert int(signals, 16) >> (signal.SIGHUP - 1) & 1
            process.send_signal(signal.SIGINT)
            process.wait(SECONDS)


@named('static: operate: up without its terminal')
def test_deaf():
    """Nodes end, though nobody reads words any more."""
    with place(FAKE_FAIL='1') as found:
        ours, theirs = os.pipe()
        os.close(ours)
        with subprocess.Popen([str(TOOL), 'up', str(found.file)],
                              env=found.env, stderr=theirs) as process:
            os.close(theirs)
            assert process.wait(SECONDS)
        started = list((found.path / 'shared').glob('started-*'))
        assert len(started) == 2
        await_end([int(p.read_text()) for p in started])


@named('static: operate: down waits for a QMP that is busy')
def test_busy():
    with place() as found:
        found.tool('up')
        directory, = found.states()
        with socket.socket(socket.AF_UNIX) as other:
            other.connect(str(directory / 'qmp-0'))
            with subprocess.Popen(
                    [str(TOOL), 'down', str(found.file)], env=found.env,
                    stderr=subprocess.PIPE, text=True) as process:
                line = process.stderr.readline()
                other.close()
                said = line + process.communicate(timeout=SECONDS)[1]
        assert 'node 0 does not take the power button yet' in line, said
        assert 'asked the guest to power off' in said


@named('static: operate: down leaves a guest that is paused')
def test_paused():
    with place() as found:
        found.tool('up')
        (found.path / 'shared' / 'paused').touch()
        assert 'is paused and cannot power off' in found.tool(
            'down', status=1).stderr
        assert all(map(alive, found.pids()))
        found.tool('down', '--now')


@named('static: operate: a host that is out of reach for a moment')
def test_patience(monkeypatch):
    node = type('Node', (), {'id': 0, 'host': 'h'})
    file = type('File', (), {'nodes': [node]})
    now = [0]
    monkeypatch.setattr(lifecycle.time, 'monotonic', lambda: now[0])
    watch = lifecycle.Failures(file)
    lost = {0: {'state': 'unreachable', 'problem': 'refused'}}
    for now[0] in (1, lifecycle.UNREACHABLE_SECONDS - 1):
        assert not watch.look(lost)
    watch.look({0: {'state': 'running', 'problem': 'silent'}})
    now[0] += 2
    assert not watch.look(lost)
    now[0] += lifecycle.UNREACHABLE_SECONDS
    assert 'refused' in watch.look(lost)[0]


@named('static: operate: up leaves a guest that was formed')
def test_formed(monkeypatch):
    file = type('File', (), {'nodes': [], 'path': 'f'})
    hosts = type('Hosts', (), {'hosts': {}, 'remember': lambda: None})
    monkeypatch.setattr(lifecycle, 'check_former', lambda *_: None)
    monkeypatch.setattr(lifecycle, 'start', lambda *_: None)
    monkeypatch.setattr(lifecycle, 'await_formed', lambda *_: None)
    ended = []
    monkeypatch.setattr(lifecycle, 'end_all', lambda *_: ended.append(1))
    monkeypatch.setattr(lifecycle, 'observe', lambda *_: {})
    monkeypatch.setattr(lifecycle.Failures, 'look', lambda *_: ['refused'])
    with pytest.raises(Problem, match='refused\n.*left alone'):
        lifecycle.up(file, hosts, {})
    assert not ended


def fake_file(*nodes):
    return type('File', (), {'path': Path('f'), 'cluster': {}, 'nodes': [
        type('Node', (), {'id': n, 'host': host, 'distkvm': 'distkvm'})
        for n, host in enumerate(nodes)]})


FORMED = {'state': 'running', 'status': 'running', 'info': {
    'formed': True, 'failed': False, 'nodes': [{'state': 'self'}]}}
SILENT = {'state': 'unreachable', 'problem': 'refused'}


@named('static: operate: one node that says so is enough for a guest')
def test_formed_once(monkeypatch):
    monkeypatch.setattr(lifecycle, 'UNREACHABLE_SECONDS', 0)
    for seen in ({0: FORMED, 1: SILENT}, {0: SILENT, 1: FORMED}):
        monkeypatch.setattr(lifecycle, 'observe', lambda _, seen=seen: seen)
        lifecycle.await_formed(fake_file('a', 'b'), None)
    monkeypatch.setattr(lifecycle, 'observe', lambda _: {0: SILENT, 1: SILENT})
    with pytest.raises(lifecycle.Failed, match='refused'):
        lifecycle.await_formed(fake_file('a', 'b'), None)


@named('static: operate: Ctrl-C of up leaves a guest that was formed')
def test_interrupted_formed(monkeypatch):
    """Not all nodes have been heard by then."""
    file, order = fake_file('a', 'b'), []
    hosts = type('Hosts', (), {'hosts': {},
                               'remember': lambda: order.append('remember')})
    looks = iter(range(9))

    def observe(_):
        if next(looks):
            raise KeyboardInterrupt
        return {0: FORMED, 1: SILENT}

    for name in ('check_former', 'start', 'end_all'):
        monkeypatch.setattr(lifecycle, name,
                            lambda *_, name=name: order.append(name))
    monkeypatch.setattr(lifecycle, 'observe', observe)
    with pytest.raises(KeyboardInterrupt):
        lifecycle.up(file, hosts, {})
    # A start is remembered from before, and also if it is late.
    assert order == ['check_former', 'remember', 'start', 'remember']


@named('static: operate: down asks again for node 0')
def test_asked_again(monkeypatch):
    file, now = fake_file('a', 'b'), [0]
    monkeypatch.setattr(lifecycle.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr(lifecycle.time, 'sleep', lambda seconds:
                        now.__setitem__(0, now[0] + seconds))
    lost = {**FORMED, 'info': {**FORMED['info'], 'failed': True}}
    looks = iter([{0: SILENT, 1: FORMED}] * 3 + [{0: FORMED, 1: SILENT}])
    monkeypatch.setattr(lifecycle, 'observe', lambda _: next(looks))
    assert lifecycle.guest_state(file, None) == 'running'
    for other in (SILENT, FORMED):
        monkeypatch.setattr(lifecycle, 'observe',
                            lambda _, other=other: {0: SILENT, 1: other})
        with pytest.raises(Problem, match='refused\n.*again, or with --now'):
            lifecycle.guest_state(file, None)
    monkeypatch.setattr(lifecycle, 'observe', lambda _: {0: SILENT, 1: lost})
    assert lifecycle.guest_state(file, None) == 'unreachable'


@named('static: operate: down leaves a guest whose disk has an error')
def test_disk_error():
    with pytest.raises(Problem, match='io-error and cannot power off'):
        lifecycle.end_guest(None, None, [], 'io-error', 1)


@named('static: operate: hosts that a file named before')
def test_recalled(state):
    hosts = Hosts(fake_file('local', 'a', 'b'))
    hosts.name = 'c'
    hosts.remember()
    # A host with another tool is the same host.
    file = fake_file('a', 'd')
    file.nodes[0].distkvm = 'newer'
    hosts = Hosts(file)
    hosts.name = 'c'
    assert hosts.recall() == ['local', ('b', 'distkvm')]
    assert isinstance(hosts.hosts['local'], Here)
    assert hosts.hosts['b', 'distkvm'].target == 'b'
    assert not state.started()


@named('static: operate: hosts are kept while a node runs')
def test_kept(state, monkeypatch):
    hosts = Hosts(fake_file('local'))
    hosts.name = 'c'
    hosts.remember()
    assert state.kept_hosts() == [['local', 'distkvm']]
    assert start('one') == {}
    hosts.drop()
    assert state.kept_hosts()
    answer({'cluster': 'c', 'verb': 'end', 'how': 'kill', 'runs': ['one']})
    await_end([state.process(0).pid])
    monkeypatch.setattr(state_module, 'LOCK_SECONDS', 0.1)
    with state.locked():
        for change in (hosts.remember, hosts.drop):
            with pytest.raises(Problem, match='another distkvm'):
                change()
    with monkeypatch.context() as patch:
        patch.setattr(State, 'drop_hosts', lambda _: os.unlink('/'))
        with pytest.raises(Problem, match='cannot be kept'):
            hosts.drop()
    with monkeypatch.context() as patch:
        # A host that does not answer may have nodes.
        patch.setattr(Hosts, 'each', lambda *_: ({}, {'b': 'refused'}))
        hosts.drop()
        assert state.kept_hosts()
    hosts.drop()
    assert not state.kept_hosts()


@named('static: operate: hosts that share a home directory')
def test_shared_home(state, monkeypatch, tmp_path):
    """Another host forgets no record, and ends no node, of this one."""
    assert start('one') == {}
    machine = tmp_path / 'machine-id'
    machine.write_text('a' * 32 + '\n')
    with monkeypatch.context() as patch:
        patch.setattr(state_module, 'MACHINE_ID', machine)
        assert answer({'cluster': 'c', 'verb': 'runs'}) == {'runs': {}}
        answer({'cluster': 'c', 'verb': 'end', 'how': 'kill',
                'runs': ['one']})
        answer({'cluster': 'c', 'verb': 'forget', 'runs': ['one']})
    assert state.running() == [0]


@cases('text', {'static: operate: a host without a machine id': None,
                'static: operate: a host whose machine id is empty': '',
                'static: operate: a host that has never been booted':
                    'uninitialized\n'})
def test_no_machine_id(monkeypatch, tmp_path, text):
    """Its name stands for it."""
    path = tmp_path / 'machine-id'
    if text is not None:
        path.write_text(text)
    monkeypatch.setattr(state_module, 'MACHINE_ID', path)
    names = set()
    for name in ('a', 'b', 'a'):
        monkeypatch.setattr(state_module.platform, 'node', lambda n=name: n)
        names.add(state_module.host_name())
    assert len(names) == 2


@named('static: operate: XDG_STATE_HOME that is relative')
def test_relative(monkeypatch):
    monkeypatch.setenv('XDG_STATE_HOME', 'relative')
    assert State('c').path.is_absolute()
