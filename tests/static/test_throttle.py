# SPDX-License-Identifier: GPL-2.0-or-later
"""vCPUs that get a share of a host CPU."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from distkvm.common import Problem
from distkvm.work import throttle
from naming import cases, named

# A process with a thread of a vCPU's name, which computes, and one of another.
PROGRAM = """
import ctypes, threading, time
def compute(name, pause):
    ctypes.CDLL(None).prctl(15, name, 0, 0, 0)
    while True:
        time.sleep(pause) if pause else sum(range(100))
for name, pause in ((b'CPU 0/TCG', 0), (b'CPU 1/DUMMY', 1)):
    threading.Thread(target=compute, args=(name, pause)).start()
"""


@pytest.fixture(name='process')
def started():
    with subprocess.Popen([sys.executable, '-c', PROGRAM]) as process:
        yield process
        process.kill()


def may_limit():
    """Whether this user may make a group, with the controller."""
    v1 = throttle.cpu_controller()
    controllers = throttle.V2 / 'cgroup.controllers'
    return os.access(v1 or throttle.V2, os.W_OK) and bool(
        v1 or controllers.exists() and 'cpu' in controllers.read_text().split())


def group_names(path):
    return sorted(p.name for p in path.glob('distkvm-bench-*'))


@named('static: throttle: a vCPU is held to its share, and its group goes')
def test_share(process):
    if not may_limit():
        pytest.skip('needs root and the controller cpu of control groups')
    groups = throttle.Groups(50)
    try:
        groups.throttle([process], 1)
        top = groups.made[0]
        # A group for the process, and one for its only vCPU.
        assert len(groups.made) == 2
        end = time.monotonic() + throttle.THREADS_SECONDS
        while 'nr_throttled 0\n' in (groups.made[1] / 'cpu.stat').read_text():
            assert time.monotonic() < end, 'the vCPU is never throttled'
            time.sleep(0.1)
        name = 'cpu.cfs_quota_us' if groups.v1 else 'cpu.max'
        assert (groups.made[1] / name).read_text().split()[0] == '1000'
    finally:
        process.kill()
        process.wait()
        groups.end()
    assert not group_names(top.parent)


@named('static: throttle: a machine with too few vCPUs is named')
def test_too_few(process, monkeypatch):
    monkeypatch.setattr(throttle, 'THREADS_SECONDS', 0.2)
    with pytest.raises(Problem, match='2 vCPUs were to be throttled'):
        throttle.Groups(50).throttle([process], 2)


@cases('percent', {f'static: throttle: {p} percent are refused': p
                   for p in (0, 49, 100, -5)})
def test_percent(percent):
    with pytest.raises(Problem, match='--vcpu-percent: from'):
        throttle.check(percent, 1)


@named('static: throttle: vCPUs that leave nothing to engines are refused')
def test_all(monkeypatch):
    monkeypatch.setattr(os, 'sched_getaffinity', lambda _: {0, 1})
    throttle.check(75, 2)
    with pytest.raises(Problem, match='half a CPU'):
        throttle.check(60, 4)


@named('static: throttle: a node that has ended is not waited for')
def test_ended():
    with subprocess.Popen(['false']) as process:
        process.wait()
    with pytest.raises(Problem, match='its log says why'):
        throttle.Groups(50).throttle([process], 1)


@named('static: throttle: a thread ends while threads are looked at')
def test_thread_ends(monkeypatch, tmp_path):
    for task in ('5', '6'):
        (tmp_path / 'task' / task).mkdir(parents=True)
    (tmp_path / 'task' / '6' / 'comm').write_text('CPU 3/KVM\n')
    monkeypatch.setattr(throttle, 'Path', lambda _: tmp_path / 'task')
    assert throttle.vcpu_threads(1) == [6]


@named('static: throttle: no controller, no figures')
def test_no_controller(process, monkeypatch, tmp_path):
    monkeypatch.setattr(throttle, 'V1', tmp_path / 'none')
    monkeypatch.setattr(throttle, 'V2', Path('/nowhere'))
    groups = throttle.Groups(50)
    with pytest.raises(Problem, match='controller cpu'):
        groups.throttle([process], 1)
    groups.end()


@named('static: throttle: a group in use stays, and is named')
def test_in_use(tmp_path, capsys):
    (tmp_path / 'top' / 'vcpu' / 'busy').mkdir(parents=True)
    (tmp_path / 'other').mkdir()
    groups = throttle.Groups(50)
    groups.made = [tmp_path / 'other', tmp_path / 'top', tmp_path / 'top/vcpu']
    groups.end()
    assert not (tmp_path / 'other').exists() and not groups.made
    assert 'top/vcpu: Directory not empty' in ''.join(capsys.readouterr())
