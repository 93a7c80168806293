# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock guests over several nodes."""

import hashlib
import os
import re
import subprocess
import tempfile
import time
from pathlib import Path

from distkvm import build, guests
from . import (guest_cpu, guest_early, guest_fence, guest_lease, guest_loss,
               guest_many, guest_memory, guest_refused, guest_refused_runtime,
               guest_replug, guest_run, guest_runstate, guest_tiny)
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU_BUILD, Problem, quiet
from distkvm.console import Console
from .testing import Skip

TIMEOUT = 240
HEADLESS = ['-nodefaults', '-display', 'none', '-serial', 'stdio']
# Between hosts there is nothing else; on one host it is asked for.
TLS = ',transport=tls'


def check_console(text, shape):
    complaint = guests.COMPLAINTS.search(text)
    if complaint:
        line = next(l for l in text.splitlines() if complaint.group(0) in l)
        raise Problem(f"the guest's kernel complains: {line}")
    cpus = int(shape.smp or shape.nodes)
    online = f'0-{cpus - 1}' if cpus > 1 else '0'
    if f'cpus online {online},' not in text:
        raise Problem(f'not all {cpus} CPUs are online')


def check_transport(cluster, wanted):
    for node in cluster.info(0)['nodes']:
        found = node.get('transport', '')
        if node['state'] == 'joined' and wanted != found:
            raise Problem(f"node {node['id']} is reached over {found}, not "
                          f'{wanted}')


def boot(name, shape, script, expect, append='', modules=(), extra=(),
         transport=None, timeout=TIMEOUT, kernel='stock'):
    """Boot, run the script to its end, power off; all must end well."""
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(
            *guests.kernel_args(append, script, modules, kernel), *extra)
        console.until('guest-init: up', timeout)
        if transport:
            check_transport(cluster, transport)
        console.drain()
        (cluster.log_dir / 'console.log').write_text(console.text)
        statuses = cluster.wait(20)
        if any(statuses):
            raise Problem(f'nodes ended with {statuses}; logs in '
                          f'{cluster.log_dir}')
        check_console(console.text, shape)
        for pattern in expect:
            if not re.search(pattern, console.text):
                raise Problem(f"the guest did not say '{pattern}'; see "
                              f'{cluster.log_dir}/console.log')
        return console.text


LITMUS = ['guest-litmus: memory is right', 'guest-litmus: code is right',
          'guest-litmus: time is right']


def litmus(name, shape, iterations, transport=None):
    text = boot(name, shape, 'litmus', LITMUS,
                append=f'quiet litmus.n={iterations}', transport=transport)
    done = sum(int(n) for n in re.findall(r'(\d+) iterations', text))
    up = re.search(r'uptime ([\d.]+)', text).group(1)
    return f'{done} iterations, init after {up} s of guest time'


def check_disk(image, cpus):
    """The image is clean, and what each CPU wrote is in it, as it wrote it."""
    quiet(['e2fsck', '-fn', image])
    for cpu in range(cpus):
        check_file(image, cpu)


def check_file(image, cpu):
    data, sums = (subprocess.run(
        ['debugfs', '-R', f'cat /{name}-{cpu}', str(image)], check=True,
        capture_output=True).stdout for name in ('file', 'sum'))
    if len(data) != 1 << 20 or \
            hashlib.sha256(data).hexdigest() != sums.decode().split()[0]:
        raise Problem(f'the file of CPU {cpu} is not right in the image')


def disk(name, shape, drive):
    with tempfile.TemporaryDirectory() as scratch:
        image = guests.disk_image(Path(scratch) / 'disk.img')
        text = boot(name, shape, 'disk', ['guest-disk: ext4 on /dev/.da',
                                          'guest-disk: end'], append='quiet',
                    modules=guests.DISK_MODULES,
                    extra=[a.replace('IMAGE', str(image)) for a in drive])
        right = len(re.findall('is right on CPU', text))
        if 'WRONG' in text or right != int(shape.smp or shape.nodes):
            raise Problem('a file read on another CPU differs')
        check_disk(image, right)
        return f'{right} files, image clean'


VIRTIO = ['-drive', 'file=IMAGE,format=raw,if=none,id=d,cache=none',
          '-device', 'virtio-blk-pci,drive=d']
AHCI = ['-drive', 'file=IMAGE,format=raw,if=none,id=d',
        '-device', 'ide-hd,drive=d,bus=ide.0']


def aggregation(name):
    """All of RAM is touched; no node holds all of it."""
    shape = Shape(nodes=2, memory='256M')
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        console = cluster.boot(*guests.kernel_args(
            'quiet litmus.n=64 litmus.mb=128', 'litmus'))
        console.until('guest-litmus: contents are right', TIMEOUT)
        resident = [cluster.info(n)['memory']['resident-pages'] // 256
                    for n in range(2)]
        console.drain()
        if any(mib >= 250 for mib in resident) or sum(resident) < 150:
            raise Problem(f'resident MiB of the nodes: {resident}')
        return f'256 MiB guest, resident MiB of the nodes: {resident}'


def trusted_tsc(name):
    """Linux takes its time from the TSC, and it is the same on all nodes."""
    text = boot(name, Shape(nodes=2, memory='256M'),
                'litmus', [*LITMUS, 'Switched to clocksource tsc'],
                append='loglevel=7 litmus.n=2000')
    return ', '.join(sorted(set(re.findall(r'time went backwards \d+ times',
                                           text))))


def run_shapes(results):
    results.run('guest: q35 2x1 over TCP, 10,000 litmus iterations',
                litmus, 'q35-2x1',
                Shape(nodes=2, memory='256M', net='psk', options=TLS), 10000,
                'tls')
    results.run('guest: pc 1+2+1 over shared memory, two lanes, litmus',
                litmus, 'pc-1-2-1',
                Shape(nodes=3, smp='4', vcpus='1/2/1', machine='pc',
                      memory='256M', options=',lanes=2'),
                2000, 'shm')
    results.run('guest: a node without vCPUs lends memory', litmus,
                'q35-2-0', Shape(nodes=2, smp='2', vcpus='2/0',
                                 memory='256M'), 2000)
    results.run('guest: no node holds all of RAM', aggregation, 'aggregation')
    results.run('guest: an invariant TSC', trusted_tsc, 'invtsc')
    results.run('guest: virtio disk, cache=none', disk, 'disk-virtio',
                Shape(nodes=2, memory='256M'), VIRTIO)


def other_kernel(name, kernel):
    boot(name, Shape(nodes=2), 'plain', ['guest-plain: right on'],
         append='quiet', kernel=kernel)


def stress(name):
    """stress-ng over all CPUs for two minutes, with its verification."""
    if not build.is_installed('stress-ng'):
        if os.geteuid() != 0:
            raise Skip('needs the package stress-ng')
        build.apt_install(['stress-ng'])
    with Cluster(Shape(nodes=2), BUILD / 'log' / name) as cluster:
        console = cluster.boot(*guests.kernel_args(
            'quiet', 'stress', programs=['stress-ng']))
        console.drain()
        if 'guest-stress: passed' not in console.text:
            raise Problem(f'stress-ng failed: {console.text[-600:]}')
        check_console(console.text, cluster.shape)


def other_clocks(name):
    """A follower whose clock is a day ahead, and one that comes late."""
    if os.geteuid() != 0:
        raise Skip('needs root, for a time namespace')
    shape = Shape(nodes=3, memory='256M')
    shifted = ['unshare', '--time', '--fork', '--monotonic', '86400',
               '--boottime', '86400', '--']
    with Cluster(shape, BUILD / 'log' / name,
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


def uefi(name):
    """OVMF comes up to its shell over two nodes."""
    code = Path('/usr/share/OVMF/OVMF_CODE_4M.fd')
    with Cluster(Shape(nodes=2, memory='256M'),
                 BUILD / 'log' / name) as cluster:
        variables = cluster.log_dir / 'vars.fd'
        variables.write_bytes(Path('/usr/share/OVMF/OVMF_VARS_4M.fd')
                              .read_bytes())
        console = cluster.boot(
            '-drive', f'if=pflash,format=raw,readonly=on,file={code}',
            '-drive', f'if=pflash,format=raw,file={variables}')
        console.until('UEFI Interactive Shell', TIMEOUT)


def run_full_shapes(results):
    results.run('guest: Linux 6.12', other_kernel, 'linux-6.12', '6.12')
    results.run('guest: 32-bit Linux with PAE', other_kernel, 'linux-686',
                '686-pae')
    results.run('guest: OVMF to its shell', uefi, 'ovmf')
    results.run('guest: stress-ng for two minutes', stress, 'stress')
    results.run('guest: a clock a day ahead, a node 10 s late', other_clocks,
                'other-clocks')
    results.run('guest: AHCI disk', disk, 'disk-ahci',
                Shape(nodes=2, memory='256M'), AHCI)
    for machine, nodes, vcpus, times in (
            ('q35', 2, None, 10), ('pc', 2, None, 2),
            ('pc', 3, '1/2/1', 10), ('q35', 3, '1/2/1', 2),
            ('q35', 2, '2/2', 2), ('q35', 2, '2/0', 2),
            ('q35', 4, None, 2), ('q35', 8, None, 2)):
        smp = str(sum(int(v) for v in vcpus.split('/')) if vcpus else nodes)
        shape = Shape(nodes=nodes, smp=smp, vcpus=vcpus, machine=machine)
        label = vcpus or f'{nodes}x1'
        for n in range(times):
            results.run(f'guest: {machine} {label}, boot {n + 1} of {times}',
                        litmus, f'full-{machine}-{nodes}', shape, 1000)
    for memory in ('3G', '6G'):
        results.run(f'guest: {memory} of RAM', litmus, f'ram-{memory}',
                    Shape(nodes=2, memory=memory), 1000)


def kept():
    """A vCPU that waits is woken near its engine, on every node."""
    if len(os.sched_getaffinity(0)) == 1:
        raise Skip('needs two CPUs')
    target = 'tests/qtest/distkvm/distkvm-count.so'
    build.build_qemu(target)
    name = 'guest-kept'
    boot(name, Shape(env={'LD_PRELOAD': str(QEMU_BUILD / target)}), 'demo',
         ['result is right'])
    for node in range(2):
        log = (BUILD / 'log' / name / f'node-{node}.log').read_text()
        if int(re.search(r'system calls: .*keeps (\d+)', log).group(1)) < 10:
            raise Problem(f'node {node} kept no vCPU near its engine')


def run(results, full):
    guests.initramfs('litmus')
    guest_tiny.run(results, full)
    guest_lease.run(results, full)
    run_shapes(results)
    results.run('guest: who waits is woken near its engine', kept)
    guest_memory.run(results, full)
    guest_many.run(results, full)
    guest_early.run(results, full)
    guest_runstate.run(results, full)
    guest_loss.run(results, full)
    guest_fence.run(results, full)
    guest_replug.run(results, full)
    guest_refused.run(results, full)
    guest_refused_runtime.run(results)
    guest_run.run(results, full)
    guest_cpu.run(results, full)
    if full:
        run_full_shapes(results)
