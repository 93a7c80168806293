# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm run and distkvm demo, as a user would call them."""

import signal
import subprocess
import time
from pathlib import Path

from . import guest
from .common import BUILD, TOP, Problem

TOOL = TOP / 'scripts' / 'distkvm'
TIMEOUT = 240


def tool(*args, timeout=TIMEOUT):
    return subprocess.run([str(TOOL), *args], capture_output=True, text=True,
                          timeout=timeout, check=False,
                          stdin=subprocess.DEVNULL)


def demo():
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


def refused_arguments():
    for args, wanted in (
            (['--nodes', '2', '--', '-m', '1G'], '--memory'),
            (['--nodes', '2', '--', '-smp', '4'], '--smp'),
            (['--nodes', '2', '--', '-accel', 'kvm'], '--vmi'),
            (['--nodes', '2', '--node', '5:-S'], 'K:ARGS'),
            (['--nodes', '1'], 'at least 2'),
            (['--nodes', '2', '--vcpus', '1,2,3'], '--vcpus'),
            (['--nodes', '2', '--vcpus', '1,2', '--smp', '2'], 'sums up'),
            (['--nodes', '2', '--memory', '1G', '--mem-share', '1G,1G'],
             'does not sum up')):
        result = tool('run', *args, timeout=30)
        if result.returncode != 1 or wanted not in result.stderr or \
                result.stdout:
            raise Problem(f"run {' '.join(args)}: {result.returncode}, "
                          f'{result.stderr}')


def run_args(log_dir, script):
    return ['run', '--nodes', '2', '--memory', '256M', '--vcpus', '1,1',
            '--log-dir', str(log_dir), '--', '-nodefaults', '-display',
            'none', '-serial', 'stdio', *guest.kernel_args('quiet', script)]


def run_to_the_end():
    """The console is all that is on standard output; status 0."""
    log_dir = BUILD / 'log' / 'run-end'
    result = tool(*run_args(log_dir, 'demo'))
    if result.returncode:
        raise Problem(f'exit status {result.returncode}: '
                      f'{result.stderr[-400:]}')
    if 'guest-demo: result is right' not in result.stdout:
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


def run_loses_a_node():
    """The tool names the lost node and ends within 10 s."""
    log_dir = BUILD / 'log' / 'run-lost'
    process = subprocess.Popen(
        [str(TOOL), *run_args(log_dir, 'busy')], stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        end = time.monotonic() + TIMEOUT
        while 'guest-busy: working' not in process.stdout.readline():
            if time.monotonic() > end:
                raise Problem('the guest did not come up')
        pids = node_pids(log_dir)
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
        return f'ended after {took:.1f} s'
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait()


def run(results, full):
    del full
    results.run('tool: demo', demo)
    results.run('tool: run refuses what all nodes share', refused_arguments)
    results.run('tool: run to the end', run_to_the_end)
    results.run('tool: run loses a node', run_loses_a_node)
