# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm run and distkvm demo, as a user would call them."""

import re
import signal
import subprocess
import time
from pathlib import Path

import pytest

from distkvm import guests
from distkvm.cluster import SANDBOX
from distkvm.common import BUILD, TOP, Problem
from distkvm.network import listening_ports
from distkvm.rights import NOBODY
from commands import TIMEOUT, TOOL, tool
from naming import named

DISK_BYTES = 1 << 20


def check_refused(args, *wanted, **kwargs):
    """One message, that says all this, on standard error; no traceback."""
    result = tool(*args, timeout=60, **kwargs)
    if result.returncode != 1 or result.stdout or \
            'Traceback' in result.stderr or \
            any(words not in result.stderr for words in wanted):
        raise Problem(f"{' '.join(args)}: {result.returncode}, it does not "
                      f'say {wanted}: {result.stdout}{result.stderr}')
    return result.stderr


@named('tool: demo')
def test_demo():
    """The README's first command."""
    result = tool('demo')
    if result.returncode:
        raise Problem(f'exit status {result.returncode}: '
                      f'{result.stderr[-400:]}')
    for wanted in ('CPU 0 is on node 0', 'CPU 1 is on node 1',
                   'result is right'):
        if wanted not in result.stdout:
            raise Problem(f"the console does not show '{wanted}'")
    if 'vCPU 1: node 1;' not in result.stderr:
        raise Problem('the tool does not show the work of each node')


@named('tool: run refuses what all nodes share')
def test_refused_arguments():
    for args, wanted in (
            (['--nodes', '2', '--', '-m', '1G'], '--memory'),
            (['--nodes', '2', '--', '-smp', '4'], '--smp'),
            (['--nodes', '2', '--', '-accel', 'kvm'], '--vmi'),
            (['--nodes', '2', '--node', '5:-S'], 'K:ARGS'),
            (['--nodes', '1'], '2 to 64 nodes'),
            (['--nodes', '65'], '2 to 64 nodes'),
            (['--nodes', '2', '--vcpus', 'a,b'], "'a' is not a number"),
            (['--nodes', '2', '--smp', 'x,y', '--vcpus', '1,1'],
             "'x' is not a number"),
            (['--nodes', '2', '--vcpus', '1,2,3'], '--vcpus'),
            (['--nodes', '2', '--vcpus', '1,2', '--smp', '2'], 'sums up'),
            (['--nodes', '2', '--memory', '1G', '--mem-share', '1G,1G'],
             'does not sum up')):
        check_refused(['run', *args], wanted)
    for nodes in ('-1', '0', '1', '65'):
        check_refused(['demo', '--nodes', nodes], '2 to 64 nodes')
    said = tool('run', '--help', timeout=60).stdout
    for wanted in ('default: 1G', 'default: q35', 'default: tcg', 'kvm',
                   'auto'):
        if wanted not in said:
            raise Problem(f"'run --help' does not name '{wanted}'")


@named("tool: run shows a node's whole error")
def test_whole_errors():
    """What a node complains of is shown with its hints, not those alone."""
    for args, wanted in (
            (['--memory', '1Q'], ('exit status 1', '1Q', 'exabytes')),
            (['--vmi', 'kvmm'], ('exit status 1', 'vmi=kvmm is not known'))):
        log_dir = BUILD / 'log' / 'run-errors'
        check_refused(['run', '--nodes', '2', '--log-dir', str(log_dir),
                       *args], *wanted)


@pytest.mark.root('another user')
@named("tool: run in another user's tree")
def test_other_user():
    """In another user's tree it says what to install, or what else to do,
    and not what git thinks of that."""
    if subprocess.run(['test', '-x', str(TOOL)], user=NOBODY, group=NOBODY,
                      extra_groups=[], check=False).returncode:
        pytest.skip(f'needs a tree that other users may read, not {TOP}')
    said = check_refused(['demo'], 'packages', user=NOBODY, group=NOBODY,
                         extra_groups=[])
    if 'safe.directory' in said:
        raise Problem(f'it shows what git says: {said}')


def run_args(log_dir, *guest):
    """For small guests: a stock kernel is booted by the demo."""
    return ['run', '--nodes', '2', '--memory', '64M', '--vcpus', '1,1',
            '--log-dir', str(log_dir), '--', '-nodefaults', '-display',
            'none', '-serial', 'stdio', *guest]


@named('tool: run to the end')
def test_run_to_the_end():
    """The console is all that is on standard output; status 0."""
    log_dir = BUILD / 'log' / 'run-end'
    result = tool(*run_args(log_dir, '-kernel', str(guests.tiny_guest())))
    if result.returncode:
        raise Problem(f'exit status {result.returncode}: '
                      f'{result.stderr[-400:]}')
    if 'tiny: passed' not in result.stdout:
        raise Problem('the console is not on standard output')
    if 'distkvm:' in result.stdout:
        raise Problem("the tool's messages are on standard output")
    for node in (0, 1):
        if not (log_dir / f'node-{node}.log').exists():
            raise Problem(f'no log of node {node}')


def node_pids(log_dir):
    """Process ids of the nodes, by the log that they write."""
    found = {}
    for process in Path('/proc').iterdir():
        if process.name.isdigit():
            try:
                log = (process / 'fd' / '2').resolve()
            except OSError:
                continue
            if log.parent == Path(log_dir).resolve():
                found[log.name] = int(process.name)
    return found


def start(log_dir, path):
    """The tool, with a guest that runs; process ids of its nodes."""
    disk = path / 'disk.img'
    disk.write_bytes(guests.boot_sector().read_bytes().ljust(DISK_BYTES, b'\0'))
    process = subprocess.Popen(
        [str(TOOL), *run_args(log_dir, '-drive',
                              f'file={disk},format=raw,if=virtio')],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
        stderr=subprocess.PIPE, text=True)
    end = time.monotonic() + TIMEOUT
    while 'sector: up' not in process.stdout.readline():
        if time.monotonic() > end or process.poll() is not None:
            process.terminate()
            raise Problem('the guest did not come up: '
                          f'{process.communicate()[1]}')
    return process, node_pids(log_dir)


def check_sandbox(pid):
    """It executes no other program, whatever it is made to do."""
    status = Path(f'/proc/{pid}/status').read_text()
    if not re.search(r'^Seccomp:\s*2', status, re.M):
        raise Problem('a node runs without sandbox')
    command = Path(f'/proc/{pid}/cmdline').read_bytes().decode().split('\0')
    if SANDBOX[1] not in command:
        raise Problem(f'a node runs in another sandbox: {command}')


@named('tool: run is killed')
def test_run_is_killed(tmp_path):
    """The tool is killed and can tell nobody: its nodes end all the same.
    Until then they listen on no port, and in a sandbox."""
    log_dir = BUILD / 'log' / 'run-killed'
    process, pids = start(log_dir, tmp_path)
    try:
        ports = [p for pid in pids.values() for p in listening_ports(pid)]
        if len(pids) != 2 or ports:
            raise Problem(f'nodes {pids} listen on {ports}')
        for pid in pids.values():
            check_sandbox(pid)
        process.kill()
        process.wait()
        end = time.monotonic() + 30
        while node_pids(log_dir):
            if time.monotonic() > end:
                raise Problem(f'nodes live on: {node_pids(log_dir)}')
            time.sleep(0.05)
    finally:
        process.kill()
        process.communicate()


@named('tool: run loses a node')
def test_run_loses_a_node(tmp_path, note):
    """The tool names the lost node and ends within 10 s."""
    log_dir = BUILD / 'log' / 'run-lost'
    process, pids = start(log_dir, tmp_path)
    try:
        started = time.monotonic()
        subprocess.run(['kill', '-9', str(pids['node-1.log'])], check=True)
        _, errors = process.communicate(timeout=30)
        took = time.monotonic() - started
        if process.returncode != 1 or 'node 1 ended with signal 9' not in \
                errors:
            raise Problem(f'{process.returncode}: {errors[-400:]}')
        if took > 10:
            raise Problem(f'it took {took:.0f} s')
        if node_pids(log_dir):
            raise Problem('nodes were left behind')
        note(f'ended after {took:.1f} s')
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()
