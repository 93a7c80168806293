# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock guests over several nodes."""

import os
import re
import subprocess
import time
from pathlib import Path

import pytest

from distkvm import build, guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU_BUILD, Problem
from distkvm.console import Console
from distkvm.guests.checks import LITMUS, TIMEOUT, boot, check_console
from naming import cases, named

HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']
# Between hosts there is nothing else; on one host it is asked for.
TLS = ',transport=tls'


def every_shape():
    """Boots of all shapes, some of them several times."""
    for machine, nodes, vcpus, times in (
            ('q35', 2, None, 10), ('pc', 2, None, 2),
            ('pc', 3, '1/2/1', 10), ('q35', 3, '1/2/1', 2),
            ('q35', 2, '2/2', 2), ('q35', 2, '2/0', 2),
            ('q35', 4, None, 2), ('q35', 8, None, 2)):
        smp = str(sum(int(v) for v in vcpus.split('/')) if vcpus else nodes)
        shape = Shape(nodes=nodes, smp=smp, vcpus=vcpus, machine=machine)
        label = vcpus or f'{nodes}x1'
        for n in range(times):
            yield (f'guest: {machine} {label}, boot {n + 1} of {times}',
                   (f'full-{machine}-{nodes}', shape, 1000, None))


@cases('name, shape, iterations, transport', {
    'guest: q35 2x1 over TCP, 10,000 litmus iterations': (
        'q35-2x1', Shape(nodes=2, memory='256M', net='psk', options=TLS),
        10000, 'tls'),
    'guest: pc 1+2+1 over shared memory, two lanes, litmus': (
        'pc-1-2-1', Shape(nodes=3, smp='4', vcpus='1/2/1', machine='pc',
                          memory='256M', options=',lanes=2'), 2000, 'shm'),
    'guest: a node without vCPUs lends memory': (
        'q35-2-0', Shape(nodes=2, smp='2', vcpus='2/0', memory='256M'),
        2000, None),
}, {
    **dict(every_shape()),
    **{f'guest: {memory} of RAM': (
        f'ram-{memory}', Shape(nodes=2, memory=memory), 1000, None)
       for memory in ('3G', '6G')}})
def test_litmus(name, shape, iterations, transport, note):
    text = boot(name, shape, 'litmus', LITMUS,
                append=f'quiet litmus.n={iterations}', transport=transport)
    done = sum(int(n) for n in re.findall(r'(\d+) iterations', text))
    up = re.search(r'uptime ([\d.]+)', text).group(1)
    note(f'{done} iterations, init after {up} s of guest time')


@pytest.mark.full
@named('guest: no node holds all of RAM')
def test_aggregation(note):
    """All of RAM is touched; no node holds all of it."""
    shape = Shape(nodes=2, memory='256M')
    with Cluster(shape, BUILD / 'log' / 'aggregation') as cluster:
        console = cluster.boot(*guests.kernel_args(
            'quiet litmus.n=64 litmus.mb=128', 'litmus'))
        console.until('guest-litmus: contents are right', TIMEOUT)
        resident = [cluster.info(n)['memory']['resident-pages'] // 256
                    for n in range(2)]
        console.drain()
        if any(mib >= 250 for mib in resident) or sum(resident) < 150:
            raise Problem(f'resident MiB of the nodes: {resident}')
        note(f'256 MiB guest, resident MiB of the nodes: {resident}')


@pytest.mark.full
@named('guest: an invariant TSC')
def test_trusted_tsc(note):
    """Linux takes its time from the TSC, and it is the same on all nodes."""
    text = boot('invtsc', Shape(nodes=2, memory='256M'),
                'litmus', [*LITMUS, 'Switched to clocksource tsc'],
                append='loglevel=7 litmus.n=2000')
    note(', '.join(sorted(set(re.findall(r'time went backwards \d+ times',
                                         text)))))


@pytest.mark.full
@cases('name, kernel', {
    'guest: Linux 6.12': ('linux-6.12', '6.12'),
    'guest: 32-bit Linux with PAE': ('linux-686', '686-pae')})
def test_other_kernel(name, kernel):
    boot(name, Shape(nodes=2), 'plain', ['guest-plain: right on'],
         append='quiet', kernel=kernel)


@pytest.mark.full
@named('guest: stress-ng for two minutes')
def test_stress():
    """stress-ng over all CPUs for two minutes, with its verification."""
    if build.not_installed(['stress-ng']):
        if os.geteuid() != 0:
            pytest.skip('needs the package stress-ng')
        build.apt_install(['stress-ng'])
    with Cluster(Shape(nodes=2), BUILD / 'log' / 'stress') as cluster:
        console = cluster.boot(*guests.kernel_args(
            'quiet', 'stress', programs=['stress-ng']))
        console.drain()
        if 'guest-stress: passed' not in console.text:
            raise Problem(f'stress-ng failed: {console.text[-600:]}')
        check_console(console.text, cluster.shape)


@pytest.mark.full
@pytest.mark.root('a time namespace')
@named('guest: a clock a day ahead, a node 10 s late')
def test_other_clocks():
    """A follower whose clock is a day ahead, and one that comes late."""
    shape = Shape(nodes=3, memory='256M')
    shifted = ['unshare', '--time', '--fork', '--monotonic', '86400',
               '--boottime', '86400', '--']
    with Cluster(shape, BUILD / 'log' / 'other-clocks',
                 lambda node: shifted if node == 1 else []) as cluster:
        process = cluster.start(
            0, [*HEADLESS, *guests.kernel_args('quiet litmus.n=2000',
                                              'litmus')],
            stdout=subprocess.PIPE)
        cluster.start(1)
        time.sleep(10)
        cluster.start(2)
        console = Console(process, cluster=cluster)
        console.drain()
        check_console(console.text, shape)
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')
        for wanted in LITMUS:
            if wanted not in console.text:
                raise Problem(f"the guest did not say '{wanted}'")


@pytest.mark.full
@named('guest: OVMF to its shell')
def test_uefi():
    """OVMF comes up to its shell over two nodes."""
    code = Path('/usr/share/OVMF/OVMF_CODE_4M.fd')
    with Cluster(Shape(nodes=2, memory='256M'),
                 BUILD / 'log' / 'ovmf') as cluster:
        variables = cluster.log_dir / 'vars.fd'
        variables.write_bytes(Path('/usr/share/OVMF/OVMF_VARS_4M.fd')
                              .read_bytes())
        console = cluster.boot(
            '-drive', f'if=pflash,format=raw,readonly=on,file={code}',
            '-drive', f'if=pflash,format=raw,file={variables}')
        console.until('UEFI Interactive Shell', TIMEOUT)


@pytest.mark.full
@named('guest: who waits is woken near its engine')
def test_kept():
    """A vCPU that waits is woken near its engine, on every node."""
    if len(os.sched_getaffinity(0)) == 1:
        pytest.skip('needs two CPUs')
    target = 'tests/qtest/distkvm/distkvm-count.so'
    name = 'guest-kept'
    boot(name, Shape(env={'LD_PRELOAD': str(QEMU_BUILD / target)}), 'demo',
         ['result is right'])
    for node in range(2):
        log = (BUILD / 'log' / name / f'node-{node}.log').read_text()
        if int(re.search(r'system calls: .*keeps (\d+)', log).group(1)) < 10:
            raise Problem(f'node {node} kept no vCPU near its engine')
