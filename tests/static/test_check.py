# SPDX-License-Identifier: GPL-2.0-or-later
"""check and keys: errors that only hosts know of, and keys on all hosts."""

import os
import re
import shutil
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from distkvm import cluster_file
from distkvm.cli import cpu_baseline, keys
from distkvm.common import CALL, Problem
from distkvm.keys import PSK, put_files
from distkvm.operate import check, facts, host
from distkvm.operate.remote import SSH, Hosts, There
from naming import cases, named
from operating import on_other_host, place, two_hosts

pytestmark = pytest.mark.overlaps

# The address of the second node.
HERE = re.compile(r'host = "root@hostB"\naddress = .*')
# A text that is replaced, its replacement, and the error that follows.
MISTAKES = {
    'host': ('"root@hostB"', '"down"', 'node[1].host: down cannot be reached'
             ': ssh: connect to host down port 22: refused'),
    'tool': ('host = "root@hostB"', 'host = "hostB"\ndistkvm = "/none"',
             'node[1].distkvm: /none is no program on hostB'),
    'an older tool': ('host = "root@hostB"', 'host = "hostB"\ndistkvm = '
                      '"OLDER"', 'node[1].distkvm: OLDER on hostB did not '
                      'answer as this tool does, use the same distkvm'),
    'no object': ('host = "root@hostB"', 'host = "hostB"\ndistkvm = '
                  '"EMPTY"', 'node[1].distkvm: EMPTY on hostB did not answer '
                  'as this tool does'),
    'another tool': ('host = "root@hostB"', 'host = "hostB"\ndistkvm = '
                     '"/bin/echo"', 'node[1].distkvm: /bin/echo on hostB did '
                     'not answer as this tool does'),
    'QEMU': ('host = "root@hostB"', 'host = "hostB"\nqemu = "/none"',
             'node[1].qemu: there is no QEMU at /none'),
    'QEMU without distkvm': ('host = "root@hostB"', 'host = "hostB"\nqemu = '
                             '"/bin/echo"', 'node[1].qemu: /bin/echo has no '
                             '-accel distkvm'),
    'memory': ('memory = "64M"', 'memory = "900T"', 'node[0].memory: nodes '
               'of this host hold 900T of the guest\'s RAM'),
    'address': (HERE, 'host = "root@hostB"\naddress = "192.0.2.1:1024"',
                'node[1].address: 192.0.2.1 is no address of the host'),
    'name': (HERE, 'host = "root@hostB"\naddress = "a..b:1024"',
             'node[1].address: a..b:1024 is unknown there'),
    'disk': ('memory = "64M"', 'memory = "64M"\ndisks = ["/none"]',
             'guest.disks: /none is not there'),
    'kernel': ('memory = "64M"', 'memory = "64M"\nkernel = "/none"',
               'guest.kernel: /none is not there'),
    'a disk of another node': (
        'host = "root@hostB"', 'host = "root@hostB"\ndisk = [{file = '
        '"/dev/null"}, {file = "/none"}]', 'node[1].disk[1].file: on '),
    'a CD of another node': (
        'host = "root@hostB"', 'host = "root@hostB"\ndisk = [{file = "/none"'
        ', cdrom = true}]', 'node[1].disk[0].file: on '),
    'a tap device': ('host = "root@hostB"', 'host = "root@hostB"\ninterface ='
                     ' [{tap = "lo"}]', 'node[1].interface[0].tap: lo is no '
                     'tap device of '),
}


@pytest.fixture(scope='module')
def checked():
    """A place that tests may share, and its file without mistakes."""
    with place() as found:
        two_hosts(found)
        yield found, found.file.read_text()


@cases('old, new, wanted', {f'static: check: {name}': mistake
                            for name, mistake in MISTAKES.items()})
def test_check(checked, old, new, wanted):
    """One error, with its line, and status 2."""
    found, right = checked
    old = old if isinstance(old, re.Pattern) else re.compile(re.escape(old))
    text, count = old.subn(new, right)
    assert count == 1
    # Tools that answer something else.
    for name, says in (('OLDER', '{"host": "b", "running": []}'),
                       ('EMPTY', '[]')):
        path = found.path / name.lower()
        path.write_text(f"#!/bin/sh\necho '{says}'\n")
        path.chmod(0o755)
        text, wanted = (t.replace(name, str(path)) for t in (text, wanted))
    found.file.write_text(text)
    errors = found.tool('check', status=2).stderr.splitlines()
    # Both hosts are one machine, which has its memory once.
    assert len(errors) == 1, errors
    assert wanted in errors[0]
    assert re.match(rf'{re.escape(str(found.file))}:\d+: key ', errors[0])


@named('static: check: up starts nothing, --offline asks no host')
def test_offline(checked):
    found, right = checked
    found.file.write_text(right)
    assert 'no errors in the file nor on 2 hosts' in \
        found.tool('check').stdout
    found.file.write_text(right.replace('root@hostB', 'down'))
    assert 'hosts were not asked' in found.tool('check', '--offline').stdout
    assert 'down cannot be reached' in found.tool('up', status=2).stderr
    assert not found.pids()


@named('static: check: a port is taken')
def test_port():
    with place() as found:
        two_hosts(found)
        text = found.file.read_text()
        port = int(re.search(r'localhost:(\d+)', text).group(1))
        with socket.create_server(('localhost', port)):
            assert f'key node[0].address: port {port} is taken on this host' \
                in found.tool('check', status=2).stderr


@named('static: check: a port that others do not reach')
def test_blocked():
    """Each process of hostB fails to connect, as behind a firewall."""
    with place() as found:
        two_hosts(found)
        on_other_host(found, 'import socket\n\n\ndef refuse(*_):\n'
                      '    raise TimeoutError\n\n\n'
                      'socket.create_connection = refuse\n')
        said = found.tool('check', status=2).stderr
        assert re.search(r'key node\[0\].address: localhost:\d+ does not '
                         'answer within 5 s from .*, let TCP through', said)
        assert len(said.splitlines()) == 1


@named('static: check: a name that its own host has as 127.0.1.1')
def test_loopback():
    """Another host knows the address of the first node by the same name."""
    with place() as found:
        two_hosts(found)
        port = re.search(r'localhost:(\d+)', found.file.read_text()).group(1)
        on_other_host(found, f'''
import socket
before = socket.getaddrinfo


def other(host, port, *args, **more):
    if port == {port}:
        host = '192.0.2.7'
    return before(host, port, *args, **more)


socket.getaddrinfo = other
''')
        said = found.tool('check', status=2).stderr
        assert re.search(r'key node\[0\].address: localhost:\d+ is (127\.\S+|'
                         r'::1) on \S+ itself \(see its /etc/hosts\), write',
                         said), said
        assert len(said.splitlines()) == 1, said


@cases('inside', {'static: check: no git': None,
                  'static: check: a clone of something else': 'another'})
def test_commit(monkeypatch, tmp_path, inside):
    """Nothing is said of commits, and nothing fails."""
    (tmp_path / 'tree').mkdir()
    if inside:
        for args in (['init', '-q'], ['-c', 'user.name=a', '-c',
                                      'user.email=a', 'commit', '-q',
                                      '--allow-empty', '-m', 'x']):
            subprocess.run(['git', '-C', tmp_path, *args], check=True)
        monkeypatch.setattr(facts, 'TOP', tmp_path)
        assert re.fullmatch('[0-9a-f]{40}', facts.commit())
    else:
        monkeypatch.setenv('PATH', '/none')
    monkeypatch.setattr(facts, 'TOP', tmp_path / 'tree')
    assert facts.commit() is None


@named('static: check: a directory that is closed to the user')
def test_closed(monkeypatch, tmp_path):
    """It is not called missing, nor are keys to be made anew."""
    def closed(path, *_, **__):
        raise PermissionError(13, 'Permission denied', path)

    path = str(tmp_path / 'keys.psk')
    assert facts.readable(path)[0].endswith('is not there')
    with monkeypatch.context() as patch:
        patch.setattr(os, 'stat', closed)
        assert 'closed to this user' in facts.readable(path)[0]
    with monkeypatch.context() as patch:
        patch.setattr(os, 'open', closed)
        with pytest.raises(Problem, match=f'^{tmp_path} is closed to this'):
            put_files(tmp_path, 'look', {PSK: ''})


# In place of ssh for the process that listens: a command, and an error.
DEAF = {'dies': ('echo a fault >&2; exit 3', r'/distkvm failed on root@hostB: '
                 'a fault, use the same distkvm'),
        'says nothing': ('exec sleep 1000', 'key .*host: it did not listen in '
                         'the place of nodes within 5 s')}


@cases('does, wanted', {f'static: check: a listener that {name}': case
                        for name, case in DEAF.items()})
def test_deaf(monkeypatch, does, wanted):
    """It is not waited for without a limit, and no firewall is to blame."""
    if does != DEAF['dies'][0]:
        # This host's own listener has the same limit.
        monkeypatch.setattr(check, 'ANSWER_SECONDS', 5)
        monkeypatch.setattr(check, 'END_SECONDS', 1)
    with place() as found:
        two_hosts(found)
        ssh = found.path / 'bin' / 'ssh'
        ssh.write_text(ssh.read_text().replace(
            'exec', f'case $3 in *listen*) {does};; esac\nexec'))
        for name in ('PATH', 'SSH_LOG', 'XDG_STATE_HOME', 'FAKE_CLUSTER'):
            monkeypatch.setenv(name, found.env[name])
        file = cluster_file.load(found.file)
        errors = check.HostCheck(file, Hosts(file)).errors
        assert len(errors) == 1 and re.search(wanted, errors[0]), errors


@named('static: check: ssh has limits, and no settings of sessions')
def test_ssh_options(tmp_path):
    """OpenSSH knows the options, and takes them before a user's own."""
    own = tmp_path / 'config'
    own.write_text('ControlPath /tmp/%h\nRemoteCommand top\nBatchMode no\n')
    if not shutil.which('ssh', path=os.defpath):
        pytest.skip('needs ssh: apt-get install openssh-client')
    target = There('h', '/x').command(['answer'])
    done = subprocess.run([target[0], '-F', own, '-G', *target[1:]],
                          check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    said = set(done.stdout.splitlines())
    assert {'batchmode yes', 'clearallforwardings yes'} <= said
    assert not any(line.startswith(('controlpath', 'remotecommand'))
                   and not line.endswith(' none') for line in said)


@named('static: check: keys are missing, and other versions')
def test_versions():
    with place() as found:
        two_hosts(found)
        (found.path / 'keys' / 'keys.psk').unlink()
        said = found.tool('check', status=2).stderr
        assert f'keys.psk is not there, run {CALL} keys' in said
        found.tool('keys')
        ssh = found.path / 'bin' / 'ssh'
        ssh.write_text(ssh.read_text().replace(
            'exec', 'export FAKE_VERSION=9.9\nexec'))
        said = found.tool('check', status=2).stderr
        assert re.search(r'key node\[1\].qemu: .* has QEMU emulator version '
                         r'9\.9, .* has QEMU emulator version 10', said), said


# Fails when it has the last step of keys in its hands.
SSH_USE = '''#!/bin/sh
request=$(cat)
case $request in *'"step": "use"'*)
    echo "ssh: gone" >&2
    exit 255;;
esac
[ -n "$request" ] && exec <<END
$request
END
'''


@named('static: keys: made once, replaced when asked')
def test_keys():
    with place() as found:
        two_hosts(found)
        path = found.path / 'keys' / 'keys.psk'
        first = path.read_text()
        assert re.fullmatch(r'qemu:[0-9a-f]{64}\n', first)
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
        said = found.tool('keys', status=2).stderr
        assert 'has a key already, write --renew' in said
        assert path.read_text() == first
        # One of the hosts refuses: nothing has changed anywhere.
        text = found.file.read_text()
        other = found.path / 'other'
        other.mkdir(mode=0o755)
        found.file.write_text(text + f'keys = "{other}"\n')
        said = found.tool('keys', '--renew', status=2).stderr
        assert 'no key was changed' in said and 'chmod 700' in said
        assert path.read_text() == first
        assert [p.name for p in path.parent.iterdir()] == ['keys.psk']
        other.chmod(0o700)
        found.tool('keys', '--renew')
        assert path.read_text() == (other / 'keys.psk').read_text() != first


@named('static: keys: a host fails at the last step')
def test_keys_differ():
    """Its key is still the old one, and the tool says so."""
    with place() as found:
        two_hosts(found)
        other = found.path / 'other'
        shutil.copytree(found.path / 'keys', other)
        found.file.write_text(found.file.read_text() + f'keys = "{other}"\n')
        old = (other / 'keys.psk').read_text()
        # The first host is this one: the other one has gone meanwhile.
        ssh = found.path / 'bin' / 'ssh'
        ssh.write_text(SSH_USE + ssh.read_text())
        said = found.tool('keys', '--renew', status=2).stderr
        assert f'local has the new key in {found.path}/keys\n' in said
        assert f'root@hostB may have the old key in {other}\n' in said
        assert 'keys --renew again' in said
        assert (found.path / 'keys' / 'keys.psk').read_text() != old
        assert (other / 'keys.psk').read_text() == old


@named('static: keys: interrupted before any host uses the new one')
def test_keys_interrupted(monkeypatch):
    with place() as found:
        two_hosts(found)
        for name in ('PATH', 'SSH_LOG', 'XDG_STATE_HOME'):
            monkeypatch.setenv(name, found.env[name])
        file = cluster_file.load(found.file)
        hosts = Hosts(file)
        answers = host.answer
        directory = found.path / 'keys'

        def interrupted(request):
            said = answers(request)
            if request['step'] == 'put':
                assert (directory / 'keys.psk.new').exists()
                raise KeyboardInterrupt
            return said

        monkeypatch.setattr(host, 'answer', interrupted)
        with pytest.raises(KeyboardInterrupt):
            keys.put(file, hosts, [{PSK: 'k'}])
        assert [p.name for p in directory.iterdir()] == ['keys.psk']


@named('static: keys: a directory that is exchanged')
def test_exchanged(tmp_path, monkeypatch):
    """An owner who moves files about does not lead root to other files."""
    directory, other = tmp_path / 'keys', tmp_path / 'other'
    directory.mkdir(mode=0o700)
    other.write_text('root\'s own')
    owners = []

    def fchown(fd, *_):
        # In this moment the owner of the directory acts.
        new = directory / 'keys.psk.new'
        owners.append(os.path.samestat(os.fstat(fd), new.stat()))
        assert new.read_text() == ''
        new.rename(directory / 'moved')
        new.symlink_to(other)

    def chown(path, *_, **__):
        raise AssertionError(f'chown of a path, {path}')

    monkeypatch.setattr(os, 'geteuid', lambda: 0)
    monkeypatch.setattr(os, 'fchown', fchown)
    monkeypatch.setattr(os, 'chown', chown)
    put_files(directory, 'put', {PSK: 'k'})
    assert owners == [True] and other.read_text() == 'root\'s own'
    link = tmp_path / 'link'
    link.symlink_to(directory)
    with pytest.raises(Problem, match='or a link'):
        put_files(link, 'put', {PSK: 'k'})


NOBODY = 65534


@pytest.fixture
def of_nobody():
    """A directory of another user, by a way that only root can change."""
    if os.geteuid():
        pytest.skip('needs root, to own files of another user')
    with tempfile.TemporaryDirectory(prefix='dk-') as way:
        os.chmod(way, 0o711)
        directory = Path(way) / 'keys'
        directory.mkdir(mode=0o700)
        os.chown(directory, NOBODY, NOBODY)
        yield directory


@named('static: keys: root makes them for the owner of the directory')
def test_root(of_nobody):
    for step in ('put', 'use'):
        put_files(of_nobody, step, {PSK: 'k'})
    found = (of_nobody / 'keys.psk').stat()
    assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == \
        (NOBODY, NOBODY, 0o600)


@cases('change', {
    'static: keys: root passes no directory of a third user':
        lambda way: os.chown(way, NOBODY - 1, NOBODY),
    'static: keys: root passes no directory that all may write':
        lambda way: os.chmod(way, 0o777)})
def test_way(of_nobody, change):
    """Its owner could put another directory in the way."""
    change(of_nobody.parent)
    with pytest.raises(Problem, match='name a directory elsewhere'):
        put_files(of_nobody, 'put', {PSK: 'k'})
    assert not list(of_nobody.iterdir())


@named('static: keys: root makes no directory where others may write')
def test_no_parents(of_nobody):
    """Not even the first of those that are missing."""
    for missing in ('one', 'one/two/three'):
        with pytest.raises(Problem, match='name a directory elsewhere'):
            put_files(of_nobody / missing, 'put', {PSK: 'k'})
        assert not list(of_nobody.iterdir())
    # By a way of its own it makes all.
    put_files(of_nobody.parent / 'one' / 'two', 'put', {PSK: 'k'})
    assert (of_nobody.parent / 'one' / 'two' / 'keys.psk.new').exists()


@named('static: check: cpu-baseline has the same options of ssh')
def test_baseline_ssh(monkeypatch):
    """Its host is asked by a script in place of ssh, which notes them."""
    with place() as found:
        ssh = found.path / 'bin' / 'ssh'
        ssh.write_text(f'#!/bin/sh\necho "$*" >{found.path}/said\nexit 255\n')
        monkeypatch.setenv('PATH', found.env['PATH'])
        with pytest.raises(Problem, match='BatchMode'):
            cpu_baseline.ask_by_ssh('ssh:h:/x')
        said = (found.path / 'said').read_text()
        assert said.startswith(' '.join(SSH[1:]) + ' h ')


@named('static: operate: a shell that greets')
def test_noisy():
    """Lines that a shell's profile prints do not disturb."""
    with place() as found:
        two_hosts(found)
        found.file.write_text(found.file.read_text().replace(
            'root@hostB', 'noisy'))
        found.tool('check')
