# SPDX-License-Identifier: GPL-2.0-or-later
"""up, status, console, logs, top and down, with nodes that are no QEMU and hosts
that are directories."""

import json
import os
import re
import select
import signal
import stat
import subprocess
import termios
from pathlib import Path

import pytest

from commands import TOOL
from distkvm.cli import status
from distkvm.operate import host, lifecycle, view
from distkvm.operate.process import Process, identify
from distkvm.operate.state import State
from naming import cases, named
from operating import (SECONDS, alive, await_end, console_of, place,
                       read_until, two_hosts)

pytestmark = pytest.mark.overlaps


@named('static: operate: up, status, down of one machine')
def test_one_machine():
    with place() as found:
        said = found.tool('up').stderr
        for words in ('starting 2 nodes on 1 host', 'joined 2 of 2',
                      'the guest runs'):
            assert words in said
        assert [(r['state'], r['joined'], r['exit'], r['reason'])
                for r in found.status()] == [('running', 2, None, '')] * 2
        table = found.tool('status').stdout.splitlines()
        assert len(table) == 3 and '2 of 2' in table[1]
        pids = found.pids()
        assert all(map(alive, pids)) and len(pids) == 2
        # A second start refuses, and disturbs nothing.
        assert 'run already' in found.tool('up', status=1).stderr
        assert found.pids() == pids and all(map(alive, pids))
        said = found.tool('down').stderr
        assert 'asked the guest to power off' in said
        assert 'all nodes have ended' in said and 'within' not in said
        assert not any(map(alive, pids))
        assert {r['state'] for r in found.status(3)} == {'absent'}
        assert 'no node runs' in found.tool('down').stderr


@named('static: operate: a node gets another cap while it runs')
def test_resize():
    with place() as found:
        assert 'it does not run' in found.tool(
            'resize', '0', '2000K', status=1).stderr
        found.tool('up')
        said = found.tool('resize', '1', '2000K').stderr.splitlines()
        # A line for each look; less is to go each time.
        looks = [int(line.split()[-4].removesuffix('K')) for line in said
                 if 'to go' in line]
        assert looks and looks == sorted(looks, reverse=True), said
        assert "node 1 holds 2M of the guest's RAM" in said[-2]
        assert 'has no cap for node 1' in said[-1]
        assert 'less than this node has' in found.tool(
            'resize', '1', '1M', status=1).stderr
        assert 'to go' not in found.tool('resize', '1', 'any').stderr
        for node, size, words in (('2', '2M', 'write 0 to 1'),
                                  ('0', 'x', 'is not a size'),
                                  ('0', '0M', 'is no size')):
            assert words in found.tool('resize', node, size, status=1).stderr
        found.tool('down')


@named('static: operate: the directory is for its user alone')
def test_modes():
    with place() as found:
        found.tool('up')
        directory, = found.states()
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700
        for path in directory.glob('node-*.log'):
            assert stat.S_IMODE(path.stat().st_mode) == 0o600
        found.tool('down', '--now')
        directory.chmod(0o755)
        assert 'chmod 700' in found.tool('up', status=2).stderr


@named('static: operate: a node that does not start')
def test_failing():
    """up shows its last error, with its hint, and ends the other one."""
    with place(FAKE_FAIL='1') as found:
        said = found.tool('up', status=1).stderr
        assert re.search('node 1 ended with exit status 1:\n *qemu-system-'
                         'x86_64: -accel distkvm: no RAM to be had\n *Try the'
                         ' other side.', said), said
        assert 'node 0 ended' not in said
        assert not any(map(alive, found.pids()))


@named('static: operate: a node dies, and status names it')
def test_dies():
    with place() as found:
        found.tool('up')
        pid = found.status()[1]['pid']
        os.kill(pid, signal.SIGKILL)
        await_end([pid])
        first, second = found.status(1)
        assert second['state'] == 'ended' and second['exit'] == -9 and \
            second['reason'] == 'ended with signal 9'
        assert first['state'] == 'lost' and first['reason'] == \
            'node 1 is lost: it has closed'
        said = found.tool('down').stderr
        assert 'node 0 is "lost": the guest cannot power off' in said
        assert not alive(first['pid'])


@named('static: operate: a host that was booted')
def test_booted():
    """Its nodes have ended with it; their status is not waited for."""
    with place() as found:
        found.tool('up')
        directory, = found.states()
        path = directory / 'node-1.json'
        words = path.read_text()
        path.write_text(json.dumps({**json.loads(words), 'boot': 'another'}))
        row = found.status(1)[1]
        assert (row['state'], row['reason']) == (
            'ended', 'ended with its host, which has been booted since')
        path.write_text(words)
        found.tool('down', '--now')


@cases('states, wanted', {
    'static: status: exit 0: a guest that is paused': (
        (('paused', None), ('running', None)), 0),
    'static: status: exit 1: a node was killed': (
        (('ended', -9), ('ended', -9)), 1),
    'static: status: exit 1: a loss': ((('lost', None), ('ended', 1)), 1),
    'static: status: exit 3: ended in good order': (
        (('ended', 0), ('absent', None)), 3)})
def test_exit_status(states, wanted):
    assert status.exit_status([{'state': s, 'exit': e}
                               for s, e in states]) == wanted


@named('static: operate: down ends a guest and nodes that will not')
def test_stubborn():
    """The power button, quit and SIGTERM are in vain, each for a while."""
    with place(FAKE_NO_ACPI='1', FAKE_STUBBORN='0') as found:
        found.tool('up')
        pids = found.pids()
        said = found.tool('down', '--timeout', '1').stderr
        assert 'has not powered off within 1 s' in said
        assert 'all nodes have ended' in said
        assert not any(map(alive, pids))


@named('static: operate: a host that misses the call to end')
def test_end_missed():
    """Its nodes get the next one, though no other node runs any more."""
    calls = []

    class Hosts:
        given_up = None

        def each(self, make):
            request = make([])
            calls.append(request.get('how', request['verb']))
            if calls == ['quit']:
                return {}, {'b': 'no answer'}
            return {'b': {'running': [1] if calls[-1] == 'term' else [],
                          'runs': {}}}, {}

    lifecycle.end_all(Hosts(), ['r'])
    assert calls[:2] == ['quit', 'term'] and 'kill' not in calls


@named('static: operate: a recycled process id is not killed')
def test_recycled():
    """The process id of a node is now that of another process."""
    with place() as found, subprocess.Popen(['sleep', '1000']) as other:
        try:
            found.tool('up')
            directory, = found.states()
            path = directory / 'node-1.json'
            words = json.loads(path.read_text())
            mine = identify(other.pid)
            assert mine.alive() and mine.signal(0)
            for change in ({'pid': other.pid},
                           {'pid': other.pid, 'start': mine.start,
                            'boot': 'another'}):
                path.write_text(json.dumps({**words, **change}))
                assert found.status(1)[1]['state'] == 'ended'
            found.tool('down', '--now')
            assert other.poll() is None
            assert not Process(other.pid, mine.start + 1,
                               mine.boot).signal(signal.SIGKILL)
            assert other.poll() is None
        finally:
            other.kill()


@named('static: operate: two hosts')
def test_two_hosts():
    with place() as found:
        two_hosts(found)
        said = found.tool('up').stderr
        assert 'starting 2 nodes on 2 hosts' in said
        # Each host has a directory of its own, with its own node.
        first, second = found.states()
        assert first.name == second.name
        assert sorted(p.name for d in (first, second)
                      for p in d.glob('*.json')) == \
            ['node-0.json', 'node-1.json']
        assert [r['host'] for r in found.status()] == \
            ['this host', 'root@hostB']
        log = found.tool('logs', '1').stdout
        assert 'node 1 is here\n' in log and log.startswith('$ ')
        both = found.tool('logs').stdout
        assert 'node 0: node 0 is here' in both and \
            'node 1: node 1 is here' in both
        found.tool('down')
        assert set(found.ssh_log.read_text().split()) == {'root@hostB'}


@named('static: operate: a host is out of reach')
def test_unreachable():
    with place() as found:
        two_hosts(found)
        found.tool('up')
        pids = found.pids()
        ssh = found.path / 'bin' / 'ssh'
        working = ssh.read_text()
        ssh.write_text(working.replace(
            '*down)', f'*hostB) echo >>{found.path}/calls;'))
        first, second = found.status(1)
        assert first['state'] == 'running'
        assert second['state'] == 'unreachable'
        assert re.search(r'c.toml:\d+: key node\[1\].host: root@hostB cannot '
                         'be reached: .*refused, see that', second['reason'])
        calls = found.path / 'calls'
        calls.unlink()
        said = found.tool('down', '--now', status=1).stderr
        assert 'cannot be reached' in said
        # Each call would take the time of a connection.
        assert calls.read_text() == '\n'
        ssh.write_text(working)
        found.tool('down', '--now')
        await_end(pids)


def move_host(found):
    """Nodes run, and the file names root@hostC in place of root@hostB, where
    node 1 is left; the processes of all nodes."""
    two_hosts(found)
    found.tool('up')
    pids = found.pids()
    text = found.file.read_text()
    found.file.write_text(text.replace('root@hostB', 'root@hostC'))
    pid = found.status(1)[0]['pid']
    os.kill(pid, signal.SIGKILL)
    await_end([pid])
    return pids


@named('static: operate: down ends nodes that the file does not name any more')
def test_former_hosts():
    with place() as found:
        pids = move_host(found)
        said = found.tool('up', status=1).stderr
        assert re.search(r'nodes run already on root@hostB, which \S+ does not'
                         ' name any more: end them with', said), said
        found.tool('down', '--now')
        assert not any(map(alive, pids))
        # Now the file as it is holds.
        for path in (found.path / 'shared').iterdir():
            path.unlink()
        found.ssh_log.unlink()
        found.tool('up')
        assert set(found.ssh_log.read_text().split()) == {'root@hostC'}
        found.tool('down', '--now')


@named('static: operate: a file that does not name this host any more')
def test_moved_away():
    """Nodes that run here are found, and no second guest starts."""
    with place() as found:
        two_hosts(found)
        found.tool('up')
        pids = found.pids()
        text = found.file.read_text()
        found.file.write_text(text.replace('root@hostB', 'root@hostD').replace(
            '[[node]]\n', '[[node]]\nhost = "root@hostC"\n', 1))
        said = found.tool('up', status=1).stderr
        assert re.search('nodes run already on this host, root@hostB, which ',
                         said), said
        assert 'all nodes have ended' in found.tool('down', '--now').stderr
        assert not any(map(alive, pids))


def refuse(found, when):
    """From now on ssh does not reach root@hostB if a command of the shell ends
    well; the script as it was."""
    ssh = found.path / 'bin' / 'ssh'
    working = ssh.read_text()
    ssh.write_text(working.replace('case $host in', f'''case $host in
*hostB) if {when}; then echo "ssh: refused" >&2; exit 255; fi;; esac
case $host in'''))
    return working


@named('static: operate: a former host that does not answer')
def test_former_silent():
    """up refuses while nodes may run there, and keeps the host in mind."""
    with place() as found:
        pids = move_host(found)
        working = refuse(found, 'true')
        for _ in range(2):
            said = found.tool('up', status=1).stderr
            assert re.search('does not name root@hostB any more, where nodes '
                             r'may run: .* refused(.|\n)*remove \S+/hosts\n',
                             said), said
        (found.path / 'bin' / 'ssh').write_text(working)
        found.tool('down', '--now')
        assert not any(map(alive, pids))


@cases('call', {f'static: operate: down: ssh misses call {n}': n
                for n in range(1, 6)})
def test_missed(call):
    """The guest powers off all the same, before other nodes are ended."""
    with place() as found:
        two_hosts(found)
        text = found.file.read_text()
        found.file.write_text(
            text.replace('host = "root@hostB"\n', '').replace(
                '[[node]]\n', '[[node]]\nhost = "root@hostB"\n', 1))
        found.tool('up')
        calls = found.path / 'calls'
        refuse(found, f'echo >>{calls}; [ $(wc -l <{calls}) = {call} ]')
        said = found.tool('down').stderr
        assert 'asked the guest to power off' in said
        assert 'all nodes have ended' in said and 'within' not in said
        assert len(calls.read_text()) > call


@named('static: operate: hosts that cannot be kept')
def test_hosts_unwritable():
    with place() as found:
        found.tool('up')
        found.tool('down', '--now')
        directory, = found.states()
        (directory / 'hosts').mkdir()
        assert 'cannot be kept in' in found.tool('up', status=1).stderr
        assert found.status(3)


@cases('hosts', {'static: console: here': 1, 'static: console: by ssh': 2})
def test_console(hosts):
    """Words of before, keys one by one, Ctrl-C too; ^] leaves the guest as it
    is."""
    with place() as found:
        if hosts == 2:
            two_hosts(found)
            # Node 0 is elsewhere.
            text = found.file.read_text()
            found.file.write_text(
                text.replace('host = "root@hostB"\n', '').replace(
                    '[[node]]\n', '[[node]]\nhost = "root@hostB"\n', 1))
        found.tool('up')
        process, terminal = console_of(found)
        try:
            read_until(terminal, b'the guest booted')
            os.write(terminal, b'\x03')
            read_until(terminal, b'the guest heard \x03')
            said = found.tool('console', status=1).stderr
            assert re.search(r'another reader \(process \d+ of \S+\) is at',
                             said), said
            os.write(terminal, b'\x1d')
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            os.close(terminal)
        assert {r['state'] for r in found.status()} == {'running'}
        assert 'the guest heard \x03' in found.tool('logs', 'console').stdout
        found.tool('down')
        assert 'node 0 does not run' in found.tool('console',
                                                   status=1).stderr


def paste(terminal, data):
    """Keys that the tool must read, whether the guest does or not."""
    os.set_blocking(terminal, False)
    while data:
        _, ready, _ = select.select([], [terminal], [], SECONDS)
        assert ready, 'the tool reads no keys'
        data = data[os.write(terminal, data[:4000]):]


@cases('does', {'static: console: ^] leaves a guest that is stopped': 'leave',
                'static: console: a guest is killed with keys unread': 'kill'})
def test_stopped(does):
    """More keys than sockets and pipes hold wait for the guest."""
    with place() as found:
        found.tool('up')
        pid = found.status()[0]['pid']
        process, terminal = console_of(found)
        try:
            read_until(terminal, b'the guest booted')
            os.kill(pid, signal.SIGSTOP)
            paste(terminal, bytes(3 << 20))
            if does == 'leave':
                paste(terminal, b'\x1d')
            else:
                os.kill(pid, signal.SIGKILL)
                read_until(terminal, b'the console has ended')
            assert process.wait(SECONDS) == 0
        finally:
            process.kill()
            process.wait()
            os.close(terminal)
        if does == 'kill':
            return
        # The place at the console is free again.
        os.kill(pid, signal.SIGCONT)
        process, terminal = console_of(found)
        try:
            # Its terminal forgets keys of before.
            while termios.tcgetattr(terminal)[3] & termios.ICANON:
                assert process.poll() is None
            os.write(terminal, b'x')
            read_until(terminal, b'the guest heard x')
        finally:
            process.kill()
            process.wait()
            os.close(terminal)


def follower(found, *args):
    """The tool that follows logs, and the beginning of what it says."""
    process = subprocess.Popen(
        [str(TOOL), 'logs', '-f', str(found.file), *args], env=found.env,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return process, read_until(process.stdout.fileno(), b'node 0 is here\n')


@named('static: logs: followed until nodes end')
def test_follow():
    with place() as found:
        found.tool('up')
        process, seen = follower(found)
        with process:
            assert b'node 0: node 0 is here\n' in seen
            directory, = found.states()
            with open(directory / 'node-1.log', 'a', encoding='ascii') as log:
                log.write('something new\n')
            read_until(process.stdout.fileno(), b'node 1: something new\n')
            found.tool('down')
            assert process.wait(SECONDS) == 0


@cases('name', {'static: logs: a reader of all nodes leaves': '',
                'static: logs: a reader of one node leaves': '0'})
def test_reader_leaves(name):
    """The tool ends, though no node says another word, and says nothing."""
    with place() as found:
        found.tool('up')
        process, _ = follower(found, *name.split())
        with process:
            process.stdout.close()
            try:
                assert process.wait(SECONDS) == 128 + signal.SIGPIPE
            finally:
                process.kill()
            assert process.stderr.read() == b''
        # Words that nobody has begun to read.
        for verb in ('logs', 'status'):
            ours, theirs = os.pipe()
            os.close(ours)
            said = found.tool(verb, capture_output=False, stdout=theirs,
                              stderr=subprocess.PIPE,
                              status=128 + signal.SIGPIPE).stderr
            os.close(theirs)
            assert said == ''


@named('static: logs: before the first start')
def test_no_logs():
    with place() as found:
        for name in ('0', 'console'):
            assert 'is not there: distkvm up starts' in \
                found.tool('logs', name, status=1).stderr


@named('static: top: rates, and a line of JSON for each look')
def test_top():
    with place() as found:
        found.tool('up')
        lines = found.tool('top', '--json', '--count', '2', '--interval',
                           '0.2').stdout.splitlines()
        assert len(lines) == 2
        for line in lines:
            first, second = json.loads(line)['nodes']
            assert first['state'] == second['state'] == 'running'
            # Its counters grow from look to look.
            assert first['rates']['faults-read'] > 0
            assert first['rates']['faults-read'] == \
                first['rates']['bytes-sent']
        table = found.tool('top', '--count', '1', '--interval', '0.2').stdout
        assert 'WAIT%' in table and len(table.splitlines()) == 4
        found.tool('down', '--now')
        assert 'no node runs' in found.tool('top', status=1).stderr
        for interval in ('nan', 'inf', '0', '-1', '1e300'):
            assert 'write a number of seconds' in found.tool(
                'top', f'--interval={interval}', status=1).stderr


@named('static: operate: rates')
def test_rates():
    """Of vCPUs' time: half executed, a quarter waited, over two seconds."""
    node = type('Node', (), {'id': 0, 'vcpus': 2})
    memory = dict.fromkeys(
        ['pages-sent', 'revocations', 'bytes-sent', 'bytes-received',
         *(f'faults-{k}' for k in view.FAULTS),
         *(f'wait-{k}-ns' for k in view.FAULTS)], 0)

    def at(seconds, executed, wait, pid=1):
        return {'pid': pid, 'seconds': seconds, 'info': {
            'node': 0, 'memory': {**memory, 'wait-read-ns': wait,
                                  'faults-read': wait // 1000},
            'cpus': [{'node': 0, 'executed-ms': executed},
                     {'node': 1, 'executed-ms': 9}]}}

    rates = view.rates(node, at(10, 0, 0), at(12, 2000, 10**9))
    assert rates['executing'] == 50 and rates['waiting'] == 25
    assert rates['faults-read'] == 500000
    assert view.rates(node, at(10, 0, 0), at(12, 0, 0, pid=2)) is None
    assert view.rates(node, at(10, 0, 0), at(10, 0, 0)) is None
    assert view.rates(node, None, at(10, 0, 0)) is None


@named('static: operate: counters have the time of their answer')
def test_counted(monkeypatch):
    """A node that takes 3 s to answer has counted for 3 s more."""
    now = [100.0]

    def ask(*_):
        now[0] += 3
        return [{'status': 'running'}, {}]

    monkeypatch.setattr(host, 'ask', ask)
    monkeypatch.setattr(host.time, 'monotonic', lambda: now[0])
    process = type('Process', (), {
        'pid': 1, 'alive': lambda _: True, 'of_another_boot': lambda _: False})
    state = type('State', (), {
        'process': lambda *_: process(), 'run': lambda *_: 'one',
        'qmp': lambda *_: Path('/')})
    assert host.node_status(state(), 0)['seconds'] == 103


@named('static: operate: sizes and tables')
def test_table():
    assert [view.size(n) for n in (0, 999, 1 << 10, 1536, 999 << 10,
                                   1 << 30, 1 << 50)] == \
        ['0B', '999B', '1K', '1.5K', '999K', '1G', '1024T']
    assert view.table(['A', 'BB'], [[1, None], [100, 'x']]) == \
        '  A  BB\n  1  -\n100  x'


@named('static: operate: names of clusters cannot leave their directory')
def test_names():
    for name in ('../x', '.x', 'a/b'):
        with pytest.raises(Exception, match='is no name'):
            State(name)
