# SPDX-License-Identifier: GPL-2.0-or-later
"""Checks that go on in a guest, without a guest: what is noticed, and when."""

import contextlib
import io
import json
import subprocess
import sys
from types import SimpleNamespace

import pytest

from distkvm.common import Problem
from distkvm.work import image, unpacked, verify, workloads
from naming import cases, named

LIMIT = verify.HUNG_SECONDS


def raises(words):
    return pytest.raises(Problem, match=words) if words else \
        contextlib.nullcontext()


@cases('lines, now, words', {
    'static: verify: beats': (
        [(0, '0=1 1=1'), (50, '0=2 1=2')], 50 + LIMIT, None),
    'static: verify: one CPU of two hangs': (
        [(0, '0=1 1=1'), (50, '0=2 1=1'), (LIMIT, '0=3 1=1')], LIMIT + 1,
        f'the guest hangs: CPU 1 has executed nothing for {LIMIT + 1} s$'),
    'static: verify: both CPUs hang': (
        [(0, '0=1 1=1')], LIMIT + 1, 'CPU 0 .*, CPU 1 '),
    'static: verify: a guest that is silent from the start': (
        [], LIMIT + 1, 'no sign of life'),
    'static: verify: a guest that is about to begin': ([], LIMIT, None),
})
def test_pulse(lines, now, words):
    pulse = verify.Pulse()
    pulse.start(0)
    for when, line in lines:
        pulse.hear(f'work: alive {line}', when)
    pulse.hear('work: ready', now)
    with raises(words):
        pulse.check(now)


@named('static: verify: no check, no pulse')
def test_no_pulse():
    pulse = verify.Pulse()
    pulse.check(1e9)
    pulse.hear('work: alive 0=1', 0)
    pulse.stop()
    pulse.check(1e9)


@cases('other, spare', {
    'static: verify: a host without other work': (0, 10.0),
    'static: verify: a host where others have all CPUs': (2000, 0.0),
    'static: verify: a host where others have half': (1000, 5.0),
})
def test_spare(other, spare, tmp_path):
    """Ten seconds of two CPUs, of which two processes had as much as others
    left, or half of one CPU."""
    ticks = verify.TICKS // 100
    ours = min(500, 1000 - other // 2)
    for pid in (7, 8):
        (tmp_path / str(pid)).mkdir()

    def now(passed):
        mine, others = (n * ticks * passed for n in (ours, other))
        idle = 2000 * ticks * passed - 2 * mine - others
        (tmp_path / 'stat').write_text(
            f'cpu  {others + mine} 0 {mine} {idle} 0 0 0 0 0 0\n'
            'cpu0 1 2 3\ncpu1 1 2 3\nctxt 5\n')
        for pid in (7, 8):
            (tmp_path / str(pid) / 'stat').write_text(
                f'{pid} (a ) 9 (b) S ' + '0 ' * 10 +
                f'{mine - 1} 1 0 0\n')
        return verify.spare_seconds((7, 8, 9), tmp_path)

    assert now(2) - now(1) == pytest.approx(spare)


def cluster_of(tmp_path, process, other, text):
    """Node 0 is `process`; another one is `other` and has said `text`."""
    logs = [tmp_path / 'node-0.log', tmp_path / 'node-1.log']
    logs[0].write_text('')
    logs[1].write_text(text)
    return SimpleNamespace(process=[process, other], log=logs.__getitem__,
                           shape=SimpleNamespace(nodes=2), alive=lambda: [])


def guest_of(tmp_path, script, status=None, text=''):
    """A guest that is a script of the shell, and what node 1 is."""
    guest = verify.Unpacked.__new__(verify.Unpacked)
    guest.log_dir = tmp_path
    guest.process = subprocess.Popen(
        ['sh', '-c', script], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    other = SimpleNamespace(poll=lambda: status, pid=0)
    guest.nodes = cluster_of(tmp_path, guest.process, other, text)
    guest.console = verify.Watch(guest.process, io.StringIO(), guest.nodes)
    return guest


GOES_ON = 'while echo "work: alive 0=$((n += 1))"; do sleep 0.1; done'
READS = '''
read -r order
echo "work: log: $order"
echo 'work: alive 0=1'
echo 'work: ready'
read -r go
echo 'work: alive 0=2'
echo 'work: ended'
'''
VALUES = ''.join(f"echo 'work: value {v}'\n" for v in (
    'passes 2', 'mib 32'))


@cases('script, status, text, words', {
    'static: verify: a killed node ends a check': (
        GOES_ON, -9, '', 'fio on 2 nodes.*node 1 has ended with status -9'),
    'static: verify: a lost node ends a check': (
        'exec sleep 60', None, 'node 0 (unix:x) is lost: it was silent\n',
        'node 1 says: node 0 .* is lost: it was silent'),
    "static: verify: a complaint of the guest's kernel ends a check": (
        "echo '[ 9.1] BUG: soft lockup'; exec sleep 60", None, '',
        'complains: .*soft lockup'),
    'static: verify: node 0 ends a check': (
        'read -r order; exit 3', None, '', 'node 0 has ended with status 3'),
    'static: verify: node 0 has ended before a check': (
        'exec <&-; exit 3', None, '', 'node 0 has ended with status 3'),
    'static: verify: a check that fails': (
        READS + "echo 'work: done 1 2.0'", None, '',
        'failed in the guest with status 1: verify-fio - - 600 damage'),
    'static: verify: a check that does not say what it verified': (
        READS + "echo 'work: done 0 2.0'", None, '', 'status 0'),
})
def test_ends(script, status, text, words, tmp_path):
    guest = guest_of(tmp_path, script, status, text)
    try:
        with raises(words):
            guest.verify('fio', 600, 'damage')
    finally:
        guest.process.kill()
        guest.process.communicate()


@named('static: verify: signs of life do not put off the end')
def test_limit(tmp_path):
    guest = guest_of(tmp_path, GOES_ON)
    try:
        with raises('did not say'):
            guest.heard(1)
    finally:
        guest.process.kill()
        guest.process.communicate()


@named('static: verify: a check says how much it verified')
def test_values(tmp_path):
    guest = guest_of(tmp_path, READS + VALUES + "echo 'work: done 0 2.0'")
    try:
        values = guest.verify('fio', 600)
    finally:
        guest.process.kill()
        guest.process.communicate()
    assert verify.shown('fio', values) == \
        'fio: 32 MiB read back, in 2 passes'
    assert not guest.console.pulse.seen


@cases('statuses, words', {
    'static: verify: all nodes end well': ([0, 0], None),
    'static: verify: a node ends badly': ([0, 1], r'nodes ended with \[0, 1\]'),
    'static: verify: a node does not end': ([0, None], 'have not ended'),
})
def test_finish(statuses, words, tmp_path):
    subprocess.run(['mke2fs', '-q', '-t', 'ext4', tmp_path / 'disk.img',
                    '8M'], check=True)
    guest = guest_of(tmp_path, 'read -r order; test "$order" = quit')
    guest.nodes.wait = lambda seconds: statuses
    with raises(words):
        guest.finish()
    guest.process.communicate()


@named('static: verify: every check has its script and its words')
def test_checks():
    scripts = {p.name for p in image.SCRIPTS.iterdir()}
    for name, check in verify.CHECKS.items():
        assert f'{check.script}.sh' in scripts
        assert verify.shown(name, dict.fromkeys(check.values, 1))
        assert check.script not in {w.script for w in workloads.ALL}
        text = (image.SCRIPTS / f'{check.script}.sh').read_text()
        for value in check.values:
            assert f'value {value} ' in text


@cases('kib, error, good', {
    'static: verify: fio has read all': (64, 0, True),
    'static: verify: fio has read less': (60, 0, False),
    'static: verify: fio has found an error': (64, 84, False),
})
def test_fio_report(kib, error, good, tmp_path):
    report = tmp_path / 'fio.json'
    report.write_text(json.dumps({'jobs': [
        {'error': 0, 'read': {'io_kbytes': 32}},
        {'error': error, 'read': {'io_kbytes': kib - 32}}]}))
    ended = subprocess.run([sys.executable, image.SCRIPTS / 'fio_read.py',
                            report, '64'], check=False, capture_output=True)
    assert (not ended.returncode) is good


@named('static: verify: a disk of packages that are unpacked')
def test_unpack(tmp_path):
    """Links of the root stay, and nothing of a package's own is left out."""
    tree = tmp_path / 'tree'
    for name, text in (('DEBIAN/control', 'Package: p\nVersion: 1\n'
                        'Architecture: all\nMaintainer: m <m@m>\n'
                        'Description: d\n'),
                       ('bin/program', 'x'), ('lib/a/library', 'y'),
                       ('usr/share/doc/p/text', 'z')):
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    subprocess.run(['dpkg-deb', '-b', tree, tmp_path / 'p.deb'], check=True,
                   capture_output=True)
    root = tmp_path / 'root'
    unpacked.unpack(root, [tmp_path / 'p.deb'])
    assert (root / 'bin').is_symlink() and (root / 'lib').is_symlink()
    assert (root / 'usr' / 'bin' / 'program').read_text() == 'x'
    assert (root / 'usr' / 'lib' / 'a' / 'library').read_text() == 'y'
    assert not (root / 'usr' / 'share' / 'doc').exists()
    assert (root / 'sbin' / 'init').stat().st_mode & 0o111
    subprocess.run(['sh', '-n', root / 'sbin' / 'init'], check=True)


STRESS = r'''#!/bin/sh
for word; do
	case $word in --*) echo "stress-ng: metrc: [1] ${word#--} 7 8.0" ;; esac
done
[ -e said ] || {
	[ -z "$SAYS" ] || printf "stress-ng: fail:  [3] mutex: $SAYS\n"
	: >said
	exit "$STATUS"
}
'''


@cases('status, says, good', {
    'static: verify: programs that are right': (0, '', True),
    'static: verify: a program that is wrong': (2, 'wrong', False),
    'static: verify: a program that lacks time': (3, '', True),
    'static: verify: a program without time for its threads':
        (2, 'could not create any pthreads', True),
    'static: verify: one without time, and one that is wrong':
        (2, 'could not create any pthreads\\nstress-ng: fail: vm: wrong', False),
    'static: verify: a program that says nothing': (2, '', False)})
def test_stress(tmp_path, status, says, good):
    (tmp_path / 'stress-ng').write_text(STRESS)
    (tmp_path / 'stress-ng').chmod(0o755)
    (tmp_path / 'lib.sh').write_text((image.SCRIPTS / 'lib.sh').read_text())
    done = subprocess.run(
        ['sh', image.SCRIPTS / 'verify-stress.sh', 'work', '-', '-', '6'],
        cwd=tmp_path, stdout=subprocess.DEVNULL, check=False,
        env={'PATH': f'{tmp_path}:/usr/bin:/bin', 'SAYS': says,
             'STATUS': str(status)})
    assert (done.returncode == 0) == good, done
