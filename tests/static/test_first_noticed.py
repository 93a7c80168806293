# SPDX-License-Identifier: GPL-2.0-or-later
"""check: errors that nodes were the first to notice, once some of them ran."""

import json
import os
import re
import subprocess
import sys
from types import SimpleNamespace

import pytest

from distkvm import cluster_file
from distkvm.common import QEMU, TOP
from distkvm.keys import PSK_USER
from distkvm.operate import check, host, images, proofs, remote, trial
from distkvm.operate.lifecycle import directory_of
from distkvm.operate.remote import Hosts
from distkvm.operate.state import State
from naming import cases, named
from operating import made, place

# ------------------------------------------------------------------ disks

@named('static: check: a qcow2 image that the guest would get as it is')
def test_raw(monkeypatch):
    """A warning, in the line of each: it may be meant so."""
    with place(FILE + 'disk = [{file = "/tmp/x"}]\n') as found:
        monkeypatch.setenv('XDG_STATE_HOME', found.env['XDG_STATE_HOME'])
        for name, data in (('d', images.QCOW2), ('x', images.QCOW2), ('f', bytes(4096))):
            (found.path / name).write_bytes(data)
        found.file.write_text(found.file.read_text().replace(
            '/tmp/x', str(found.path / 'x')))
        monkeypatch.setattr(host.trial, 'trial', lambda _: None)
        file = cluster_file.load(found.file)
        checked = check.HostCheck(file, Hosts(file))
        warnings = [text for text in checked.warnings if 'qcow2' in text]
        assert not checked.errors and len(warnings) == 2, checked.errors
        for text, line, key in zip(sorted(warnings), (12, 6), (
                r'node\[1\].disk\[0\].file: on \S+', 'guest.disks')):
            assert re.match(rf'{found.file}:{line}: key {key}: \S+ is a qcow2 '
                            'image, and the guest gets', text), text


# -------------------------------------------------------------------- tap

# In a network of its own: taps, their errors, and whether they are up; then
# those after the last user's remedies.
TAPS = '''
import json, os, subprocess, sys
from distkvm.operate import facts

def ip(*args):
    subprocess.run(['ip', *args], check=True)

ip('tuntap', 'add', 'tap0', 'mode', 'tap')
ip('tuntap', 'add', 'many', 'mode', 'tap', 'multi_queue')
ip('tuntap', 'add', 'tun0', 'mode', 'tun')
ip('tuntap', 'add', 'busy', 'mode', 'tap')
ip('tuntap', 'add', 'mine', 'mode', 'tap', 'user', '7')
ip('link', 'set', 'tap0', 'up')
fd = os.open(facts.TUN, os.O_RDWR)
facts.fcntl.ioctl(fd, facts.TUNSETIFF, facts.IFREQ.pack(b'busy',
                                                        facts.TUN_AS_QEMU))
os.chmod(facts.TUN, 0o666)
read, write = os.pipe()
for user in (0, 7, 8, 8):
    if os.fork() == 0:
        os.setresuid(user, user, user)
        print(json.dumps([user, {
            name: [facts.tap(name), facts.down(name)] for name in
            ('tap0', 'many', 'tun0', 'busy', 'mine', 'none')}]), flush=True)
        os.write(write, json.dumps([facts.tap(name)[1] for name in
                                    ('many', 'mine', 'none')
                                    if facts.tap(name)]).encode())
        os._exit(0)
    os.wait()
    remedies = json.loads(os.read(read, 4096))
    for remedy in remedies if user == 8 else ():
        command = remedy.removeprefix('run there: ').partition(', ')[0]
        subprocess.run(['sh', '-ec', command], check=True)
'''


@pytest.mark.root('network namespaces')
@named('static: check: tap devices, of which user, and in use')
def test_taps():
    """Nobody is at the other end afterwards, and no device comes about."""
    # The node of the device is in a file system of its own, too.
    place_of = ('mount -t sysfs sysfs /sys && mount -t tmpfs tmpfs /dev/net &&'
                ' mknod /dev/net/tun c 10 200 && exec "$@"')
    done = subprocess.run(
        ['unshare', '--net', '--mount', 'sh', '-c', place_of, 'sh',
         sys.executable, '-c', TAPS], text=True, capture_output=True,
        check=False, env={**os.environ, 'PYTHONPATH': str(TOP / 'python')})
    assert done.returncode == 0, done.stderr
    *said, (_, last) = map(json.loads, done.stdout.splitlines())
    assert [user for user, _ in said] == [0, 7, 8], done.stderr
    assert all(last[name] == [None, None] for name in
               ('many', 'mine', 'none')), last
    for user, found in said:
        wanted = {'tap0': None, 'many': 'has several queues',
                  'tun0': 'is no tap device', 'busy': 'is in use by another',
                  'none': 'is no tap device',
                  'mine': 'is not for this user' if user == 8 else None}
        for name, words in wanted.items():
            reason = found[name][0]
            assert (reason is None) == (words is None) and \
                (not words or words in reason[0]), (user, name, reason)
        assert found['tap0'][1] is None
        assert 'is down' in found['mine'][1][0]


# ------------------------------------------------------------------- QEMU

# Takes the options of which the environment has no letter.
PROGRAM = '''#!/bin/sh
echo "$*" >>SAID
for word; do
    case $word in
    -version) case $* in *-bad*) echo "qemu-system-x86_64: -bad: no" >&2
        exit 1;; esac; exit 0;;
    WRONG) echo "qemu-system-x86_64: warning: slow" >&2
        echo "qemu-system-x86_64: $word is wrong" >&2; echo hint >&2; exit 1;;
    esac
done
'''


@cases('wrong, arguments, wanted', {
    'static: check: QEMU takes all': ('nothing', [], None),
    'static: check: QEMU does not know the machine':
        ('pc', [], ['machine', 'pc is wrong']),
    'static: check: QEMU does not know the CPU':
        ('486', [], ['cpu', '486 is wrong']),
    'static: check: QEMU has no sandbox': ('-sandbox', [],
                                           ['qemu', '-sandbox is wrong']),
    'static: check: QEMU does not know an option':
        ('nothing', ['-nic', 'x', '-bad'], ['arguments', '-bad: no'])})
def test_trial(tmp_path, wrong, arguments, wanted):
    path = tmp_path / 'qemu'
    path.write_text(PROGRAM.replace('WRONG', wrong).replace(
        'SAID', str(tmp_path / 'said')))
    path.chmod(0o755)
    found = trial.trial({
        'qemu': str(path), 'arguments': arguments,
        'options': [('machine', ['-machine', 'pc']), ('cpu', ['-cpu', '486']),
                    ('vcpus', ['-smp', '3'])]})
    assert (found and list(found)) == wanted
    said = (tmp_path / 'said').read_text().splitlines()
    assert len(said) <= 6 and all('-S ' in line or '-version' in line
                                  for line in said)
    # Options of node 0 are named, and not done.
    assert all('-nic' not in line for line in said if '-S ' in line)


@cases('cpu, wanted', {
    'static: check: QEMU refuses many vCPUs without x2APIC':
        ('qemu64,-x2apic',
         ['vcpus', 'APIC ID 255 requires x2APIC feature in CPU'])}, {
    # It makes a thread for each, which takes its time.
    'static: check: QEMU takes more vCPUs than xAPIC has ids':
        ('qemu64', None)})
def test_many_vcpus(monkeypatch, tmp_path, cpu, wanted):
    """The QEMU that was built, as node 0's is tried."""
    monkeypatch.setattr(trial, 'SECONDS', 300)
    monkeypatch.setattr(trial, 'SECONDS_MAX', 300)
    if not QEMU.exists():
        pytest.skip(f'needs {QEMU}: scripts/distkvm build')
    path = tmp_path / 'c.toml'
    path.write_text(f'[cluster]\nqemu = "{QEMU}"\n[guest]\nmemory = "1G"\n'
                    f'cpu = "{cpu}"\n[[node]]\nvcpus = 255\n[[node]]\n')
    found = trial.trial(check.trial_of(cluster_file.load(path)))
    assert (found and list(found)) == wanted


@named('static: check: a QEMU that does not end its trial is told')
def test_untried(monkeypatch, tmp_path):
    """Not as an error: nothing is known to be wrong."""
    late = tmp_path / 'late'
    late.write_text('#!/bin/sh\nexec sleep 60\n')
    late.chmod(0o755)
    monkeypatch.setattr(trial, 'SECONDS', 0.2)
    started = []
    run = trial.subprocess.run
    monkeypatch.setattr(trial.subprocess, 'run', lambda args, **more:
                        started.append(args[0]) or run(args, **more))
    request = {'qemu': str(late), 'arguments': [],
               'options': [('cpu', ['-cpu', 'x'])]}
    wanted = f'{late} was tried for 0.2 s and did not end', \
        'run check again when that host has less to do'
    assert trial.trial(request) == (None, wanted)
    directories = [str(tmp_path / name) for name in 'abc']
    for path in directories:
        os.mkdir(path)
        with open(f'{path}/keys.psk', 'w', encoding='ascii') as file:
            file.write(f'{PSK_USER}:{"ab" * 32}\n')
    of_keys = proofs.proofs({
        'kind': 'psk', 'nonce': '', 'directories': dict.fromkeys(directories, []),
        'loader': dict.fromkeys(directories, str(late))})
    assert all(each['marks'] for each in of_keys.values())
    # Of each directory it is told; it was started once for the options, and once
    # for all keys, which have their time together.
    assert [each.get('untried') for each in of_keys.values()] == [wanted] * 3
    assert started == [str(late)] * 2
    monkeypatch.undo()
    with place(FILE) as found:
        monkeypatch.setenv('XDG_STATE_HOME', found.env['XDG_STATE_HOME'])
        for name in 'df':
            (found.path / name).touch()
        monkeypatch.setattr(host.trial, 'trial', lambda _: (None, wanted))
        monkeypatch.setattr(host.images, 'images', lambda request, _: {
            path: None for path, *_ in request})
        file = cluster_file.load(found.file)
        done = check.HostCheck(file, Hosts(file))
        assert not done.errors and len(done.warnings) == 1
        assert re.search(r'key node\[0\]\.qemu: on \S+: ' + ': what only QEMU can '
                         'say of this file is not checked, '.join(wanted) + '$',
                         done.warnings[0]), done.warnings


@cases('vcpus, seconds', {
    'static: check: time for a QEMU of few vCPUs': (2, 30),
    'static: check: time for a QEMU of 256 vCPUs': (256, 68),
    'static: check: time for a QEMU of a thousand vCPUs': (1000, 75)})
def test_limit(monkeypatch, tmp_path, vcpus, seconds):
    """It makes a thread for each, and the host's answer has 120 s."""
    given = []
    monkeypatch.setattr(trial.subprocess, 'run', lambda _, **more:
                        given.append(more['timeout']) or SimpleNamespace(
                            returncode=1, stderr=''))
    path = tmp_path / 'c.toml'
    path.write_text('[cluster]\nnuma = false\n[guest]\nmemory = "1G"\n'
                    f'[[node]]\nvcpus = {vcpus - 1}\n[[node]]\n')
    request = check.trial_of(cluster_file.load(path))
    assert trial.trial(request)[1] == 'status 1'
    monkeypatch.setattr(trial, 'SECONDS', 0)
    monkeypatch.setattr(trial, 'VCPU_SECONDS', 0)
    assert seconds - 1 < given[0] <= seconds < remote.ANSWER_SECONDS
    # None begins when it is over.
    assert trial.trial(request)[0] is None and len(given) == 1


@named('static: check: a QEMU that fails without keys, too, says nothing of keys')
def test_fails_alone(tmp_path):
    broken = tmp_path / 'broken'
    broken.write_text('#!/bin/sh\necho "qemu-system-x86_64: no room" >&2\nexit 1\n')
    broken.chmod(0o755)
    (tmp_path / 'keys.psk').write_text(f'{PSK_USER}:{"ab" * 32}\n')
    found, = proofs.proofs({
        'kind': 'psk', 'nonce': '', 'directories': {str(tmp_path): []},
        'loader': {str(tmp_path): str(broken)}}).values()
    assert found['marks'] and found['untried'][0] == \
        f'{broken} does not start without keys either: no room'
    # No room for the process itself, after it has said its version.
    broken.unlink()
    assert trial.trial({'qemu': str(broken), 'arguments': [], 'options': []}) == (
        None, (f'{broken} could not be started once more (No such file or '
               'directory)', 'see that the host has memory, and run check again'))
    # It is told as a warning, in the line of the keys.
    done = check.HostCheck.__new__(check.HostCheck)
    done.file, done.warnings = SimpleNamespace(node_error=lambda *args: args), []
    node = SimpleNamespace(keys='/k')
    done.expiring(node, {'untried': ['why', 'remedy']}, {'host': 'h'})
    assert done.warnings == [(
        node, 'keys', 'on h: why: whether QEMU loads /k is not checked', 'remedy')]


# ---------------------------------------------------------- in the file's words

FILE = '''[guest]
memory = "64M"
cpu = "x"
disks = ["d"]
firmware = "f"
arguments = ["-x"]
[[node]]
vcpus = 2
[[node]]
'''


@cases('fact, wanted', {
    'static: check: the CPU has a line':
        ({'trial': ('cpu', 'no')}, '4: key guest.cpu: QEMU says: no, see '),
    'static: check: the machine has a line':
        ({'trial': ('machine', 'no')}, '2: key guest.machine: QEMU says: no'),
    'static: check: the arguments have a line':
        ({'trial': ('arguments', 'no')}, '7: key guest.arguments: QEMU says'),
    'static: check: vCPUs have a line':
        ({'trial': ('vcpus', 'no')}, '9: key node[0].vcpus: QEMU says: no'),
    'static: check: a disk has a line':
        ({'d': ('no disk', 'get one')}, '5: key guest.disks: no disk, get'),
    'static: check: firmware has a line':
        ({'f': ('no flash', 'get one')}, '6: key guest.firmware: no flash'),
    'static: check: a state that cannot be written has a line':
        ({'unwritable': ('no room', 'get some')}, '8: key node[0].host: no ')})
def test_lines(monkeypatch, fact, wanted):
    with place(FILE) as found:
        monkeypatch.setenv('XDG_STATE_HOME', found.env['XDG_STATE_HOME'])
        for name in 'df':
            (found.path / name).touch()
        monkeypatch.setattr(host.trial, 'trial',
                            lambda _: fact.get('trial'))
        monkeypatch.setattr(host.images, 'images', lambda request, _: {
            path: fact.get(os.path.basename(path)) for path, *_ in request})
        monkeypatch.setattr(State, 'unwritable',
                            lambda _: fact.get('unwritable'))
        file = cluster_file.load(found.file)
        errors = check.HostCheck(file, Hosts(file)).errors
        # The fake nodes' own line is ahead of all.
        number, _, rest = wanted.partition(':')
        assert len(errors) == 1 and errors[0].startswith(
            f'{found.file}:{int(number) + 1}:{rest}'), errors
        # The help that names those that there are.
        key = fact.get('trial', [None])[0]
        assert key not in ('machine', 'cpu') or \
            errors[0].endswith(f' -{key} help'), errors


@named('static: check: a clock is told by times around all that takes time')
def test_time(monkeypatch):
    """Else clocks that differ by seconds hide behind a slow QEMU."""
    now = iter(range(100))
    monkeypatch.setattr(host.time, 'time', lambda: next(now))
    took = []

    def takes(result):
        return lambda *_: took.append(host.time.time()) or result

    monkeypatch.setattr(host.trial, 'trial', takes(None))
    monkeypatch.setattr(host.images, 'images', takes({}))
    monkeypatch.setattr(host, 'proofs_of', takes(None))
    monkeypatch.setattr(host.facts, 'facts', takes({'qemu': {'q': ('', None)}}))
    found = host.facts_of(None, {'trial': {'qemu': 'q'}, 'images': [],
                                 'proofs': None})
    assert found['time'] == (0, 5) and sorted(took) == [1, 2, 3, 4]


@named('static: check: a host looks for files where its nodes will')
def test_directory(monkeypatch):
    """On this one in the directory of the cluster file."""
    with place('[guest]\nmemory = "64M"\ndisks = ["d.qcow2"]\n'
               '[[node]]\n[[node]]\n') as found:
        monkeypatch.setenv('XDG_STATE_HOME', found.env['XDG_STATE_HOME'])
        monkeypatch.setattr(host.trial, 'trial', lambda _: None)
        made(found.path / 'd.qcow2', '-o', 'data_file=data,size=1M')
        file = cluster_file.load(found.file)
        assert not check.HostCheck(file, Hosts(file)).errors
        (found.path / 'data').unlink()
        error, = check.HostCheck(file, Hosts(file)).errors
        assert f'key guest.disks: {found.path}/data is not there' in error
        remote_node = SimpleNamespace(host='user@x')
        assert directory_of(file, [remote_node]) is None


@cases('cpu, kind, tried', {
    'static: check: a CPU of KVM alone is not tried by TCG':
        ('host,-svm', 'kvm', False),
    'static: check: a CPU that must be whole is not tried by TCG':
        ('EPYC,enforce', 'auto', False),
    'static: check: a CPU of KVM that TCG has is tried':
        ('EPYC', 'kvm', True),
    'static: check: a CPU that TCG lacks': ('host', 'tcg', True)})
def test_cpu_tried(tmp_path, cpu, kind, tried):
    path = tmp_path / 'c.toml'
    path.write_text(f'[guest]\nmemory = "1G"\ncpu = "{cpu}"\n[[node]]\nvmi = '
                    f'"{kind}"\n[[node]]\n')
    request = check.trial_of(cluster_file.load(path))
    assert (('cpu', ['-cpu', cpu]) in request['options']) == tried
    assert request['options'][-1] == ('vcpus', ['-smp', '2'])


@cases('vcpus, more', {
    'static: check: as many vCPUs as xAPIC has ids': (254, []),
    'static: check: more vCPUs than xAPIC has ids':
        (255, ['-global', 'x86_64-cpu.x2apic=on'])})
def test_x2apic_tried(tmp_path, vcpus, more):
    """Only distkvm's accelerator turns it on by itself."""
    path = tmp_path / 'c.toml'
    path.write_text(f'[guest]\nmemory = "1G"\n[[node]]\nvcpus = {vcpus}\n'
                    '[[node]]\n')
    request = check.trial_of(cluster_file.load(path))
    assert request['options'][-1] == ('vcpus', ['-smp', str(vcpus + 1), *more])


@named('static: check: a directory for logs that cannot be written')
def test_unwritable(monkeypatch, tmp_path):
    monkeypatch.setenv('XDG_STATE_HOME', str(tmp_path))
    state = State('x')
    assert state.unwritable() is None
    monkeypatch.setattr(os, 'access', lambda *_: False)
    assert state.unwritable()[0].startswith(f'{tmp_path} cannot be written')
