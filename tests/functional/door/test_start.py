# SPDX-License-Identifier: GPL-2.0-or-later
"""How others start a node: as libvirt asks a QEMU what it can, as a user who
is not root, in a sandbox, and with programs that a node starts itself."""

import errno
import os
import re
import subprocess
import sys

import pytest

from distkvm import guests
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU, QEMU_BUILD, TOP, Problem
from distkvm.door import forbid
from distkvm.door.common import (HEADLESS, PATIENCE, formed, log_of,
                                 qtest_cluster, until)
from distkvm.door.places import check_runs
from distkvm.hosts import without_kvm
from distkvm.rights import NOBODY
from naming import cases, named

TIMEOUT = 240
USERFAULTFD = '/dev/userfaultfd'
# Its number on x86-64.
CALL = 323
NO_MEMORY = 'tests/qtest/distkvm/distkvm-no-memory.so'
# QEMU's arguments, and what it says: where libvirt and people feel their way.
PROBES = (
    (['-machine', 'none,accel=distkvm'], 'distkvm'),
    (['-machine', 'none', '-accel', 'distkvm'], 'distkvm'),
    (['-accel', 'distkvm'], 'peers='),
    (['-machine', 'q35,accel=distkvm'], 'peers='),
    (['-machine', 'q35,accel=kvm:distkvm'], '.'),
    (['-accel', 'kvm:distkvm'], 'kvm:distkvm'),
    (['-accel', 'distkvm,node=0'], 'peers='),
    (['-accel', 'distkvm,peers=127.0.0.1:1/127.0.0.1:2,insecure=on'],
     'node='),
)


def qemu(args):
    process = subprocess.run(
        [str(QEMU), *HEADLESS, *args], capture_output=True, text=True,
        timeout=PATIENCE, check=False, stdin=subprocess.DEVNULL)
    return process.returncode, process.stdout, process.stderr


@cases('args, wanted', {
    f"door: qemu {' '.join(args)}": (args, wanted)
    for args, wanted in PROBES})
def test_probe(args, wanted):
    """One error, perhaps with a hint; neither a signal nor an assertion."""
    status, _, text = qemu(args)
    if status != 1 or not re.search(wanted, text):
        raise Problem(f'exit status {status}: {text}')
    lines = text.splitlines()
    if sum('distkvm: ' in line for line in lines) > 1 or len(lines) > 4 or \
            'ssert' in text:
        raise Problem(f'more than one error: {text}')


# The VMI, by the options of other accelerators: a node with KVM says that there
# is none; another one goes on to an error that comes later.
KVM, TCG = 'KVM cannot be used', 'vcpus=x'
BESIDE = {
    'none': ([], '', TCG),
    '-accel kvm': (['-accel', 'kvm'], '', KVM),
    '-accel tcg': (['-accel', 'tcg,thread=multi'], '', TCG),
    '-accel tcg, and -accel kvm': (['-accel', 'tcg', '-accel', 'kvm'], '', TCG),
    '-accel kvm, and -accel tcg': (['-accel', 'kvm', '-accel', 'tcg'], '', TCG),
    '-accel qtest, and -accel kvm': (['-accel', 'qtest', '-accel', 'kvm'], '',
                                     KVM),
    '-accel kvm, and vmi=tcg': (['-accel', 'kvm'], ',vmi=tcg', TCG),
    '-accel tcg, and vmi=kvm': (['-accel', 'tcg'], ',vmi=kvm', KVM),
}


@cases('args, option, wanted', {
    f'door: the VMI with {name}': case for name, case in BESIDE.items()})
def test_accelerator_beside(args, option, wanted):
    """libvirt puts the accelerator of the domain's type before distkvm."""
    command = [str(QEMU), *HEADLESS, *args, '-accel',
               f'distkvm,node=0,peers=unix:2:/none,vcpus=x{option}']
    if os.path.exists('/dev/kvm'):
        if os.geteuid():
            pytest.skip('needs root, to hide /dev/kvm from a node')
        command = [*without_kvm(0), *command]
    process = subprocess.run(command, capture_output=True, text=True,
                             timeout=PATIENCE, check=False,
                             stdin=subprocess.DEVNULL)
    if process.returncode != 1 or wanted not in process.stderr:
        raise Problem(f'exit status {process.returncode}: {process.stderr}')


@named('door: qemu -accel help')
def test_accel_help():
    status, text, errors = qemu(['-accel', 'help'])
    if status or errors or 'distkvm' not in text.split():
        raise Problem(f'exit status {status}: {text}{errors}')


@cases('args', {f'door: qemu -accel {args}': args for args in (
    'distkvm,help', 'distkvm,node=0,help', 'distkvm,help,help')})
def test_options_help(args):
    """The options that the README explains, each in a line, and no others."""
    status, text, errors = qemu(['-accel', args])
    lines = text.splitlines()
    listed = [re.fullmatch(r'  ([\w-]+)=<\w+> +- \S.*', line)
              for line in lines[1:]]
    if status or errors or not all(listed):
        raise Problem(f'exit status {status}: {text}{errors}')
    readme = (TOP / 'README.rst').read_text()
    table = readme.partition('``-accel distkvm,help`` lists')[2]
    wanted = re.findall(r'^``([\w-]+)`` +\S', table.split('=\n\n')[0], re.M)
    if sorted(wanted) != [found[1] for found in listed]:
        raise Problem(f'the README has {sorted(wanted)}: {text}')


@named("door: libvirt's probe")
def test_libvirt_probe():
    """libvirt asks a machine without anything for its capabilities; distkvm
    is one of the accelerators it may have."""
    process = subprocess.run(
        [str(QEMU), '-S', '-no-user-config', *HEADLESS, '-machine',
         'none,accel=kvm:tcg', '-qmp', 'stdio'],
        input='{"execute":"qmp_capabilities"}'
              '{"execute":"qom-list-types","arguments":'
              '{"implements":"accel"}}'
              '{"execute":"query-qmp-schema"}{"execute":"quit"}',
        capture_output=True, text=True, timeout=PATIENCE, check=False)
    if process.returncode or 'distkvm-accel' not in process.stdout or \
            'query-distkvm' not in process.stdout:
        raise Problem(f'{process.returncode}: {process.stderr}')


@pytest.mark.root('other users')
@named('door: not root')
def test_not_root():
    """Without rights a node says what to do, in so many words; with just that
    done, it works."""
    with qtest_cluster('not-root') as cluster:
        for path in (cluster.net.directory, cluster.run_dir):
            os.chown(path, NOBODY, NOBODY)

        def as_nobody(_):
            return ['setpriv', '--reuid', str(NOBODY), '--regid', str(NOBODY),
                    '--clear-groups', '--']

        # The host's own device stays as it is.
        allow = (f'mount -t tmpfs none /mnt && cp -a {USERFAULTFD} /mnt/u && '
                 f'chown {NOBODY} /mnt/u && mount --bind /mnt/u {USERFAULTFD} '
                 '&& exec "$@"')
        cluster.prefix = as_nobody
        process = cluster.start(0, HEADLESS)
        if process.wait(PATIENCE) != 1:
            raise Problem(f'it ended with {process.returncode}')
        log = log_of(cluster, 0)
        if USERFAULTFD not in log or len(log.splitlines()) > 3:
            raise Problem(f'it does not say what to do: {log}')
        cluster.prefix = lambda node: ['unshare', '--mount', 'sh', '-c', allow,
                                       'sh', *as_nobody(node)]
        for node in (0, 1):
            cluster.start(node, () if node else HEADLESS)
        check_runs(cluster)


@pytest.mark.root('other users')
@cases('error', {f'door: userfaultfd is forbidden, {errno.errorcode[e]}': e
                 for e in (errno.EPERM, errno.ENOSYS)})
def test_forbidden(error):
    """Neither the device nor the system call: the kernel's reason is named,
    and the remedy."""
    hide = (f'mount -t tmpfs none /mnt && touch /mnt/u && chmod 0 /mnt/u && '
            f'mount --bind /mnt/u {USERFAULTFD} && exec "$@"')
    with qtest_cluster('forbidden', prefix=lambda node: [
            'unshare', '--mount', 'sh', '-c', hide, 'sh', 'setpriv', '--reuid',
            str(NOBODY), '--regid', str(NOBODY), '--clear-groups', '--',
            sys.executable, forbid.__file__, str(CALL), str(error)]) as cluster:
        for path in (cluster.net.directory, cluster.run_dir):
            os.chown(path, NOBODY, NOBODY)
        status = cluster.start(0, HEADLESS).wait(PATIENCE)
        log = log_of(cluster, 0)
        if status != 1 or os.strerror(error) not in log or \
                f'access to {USERFAULTFD}' not in log or \
                len(log.splitlines()) > 3:
            raise Problem(f'exit status {status}: {log}')


@named('door: in a sandbox')
def test_sandboxed():
    """In libvirt's sandbox all works but the choice of CPUs, and each node
    says that once."""
    with formed('sandbox', sandbox=True) as cluster:
        check_runs(cluster)
        for node in (0, 1):
            path = f'/proc/{cluster.process[node].pid}/status'
            with open(path, encoding='ascii') as status:
                if not re.search(r'^Seccomp:\s*2', status.read(), re.M):
                    raise Problem(f'node {node} is in no sandbox')
            until(f'node {node} speaks of the sandbox', lambda node=node:
                  'sandbox' in log_of(cluster, node))
            told = [line for line in log_of(cluster, node).splitlines()
                    if 'sandbox' in line]
            if len(told) > 1:
                raise Problem(f'node {node} says it {len(told)} times')


@named('door: in no sandbox')
def test_without_sandbox():
    """A node in no sandbox says nothing of one."""
    with formed('no-sandbox') as cluster:
        check_runs(cluster)
        for node in (0, 1):
            if 'sandbox' in log_of(cluster, node):
                raise Problem(f'node {node}: {log_of(cluster, node)}')


@pytest.mark.full
@named('door: a node that forks')
def test_forks():
    """A node forks for a helper of its network, a hundred times: each answers,
    and the guest's memory is what it was."""
    with Cluster(Shape(nodes=2, memory='256M'),
                 BUILD / 'log' / 'door-forks') as cluster:
        console = cluster.boot(
            '-netdev', 'user,id=n,restrict=on,guestfwd=tcp:10.0.2.100:80-'
            'cmd:cat', '-device', 'virtio-net-pci,netdev=n',
            *guests.kernel_args('quiet', 'forks', ('virtio_pci',
                                                  'virtio_net')))
        console.until('guest-forks: 100 answers are right', TIMEOUT)
        console.drain()
        if 'guest-forks: memory is right' not in console.text:
            raise Problem(f"the guest's memory: {console.text[-400:]}")
        if any(cluster.wait(20)):
            raise Problem('nodes did not end well')


@cases('mib, env, why', {
    'door: no memory for a page before the join':
        (48, {}, 'no memory for a page of another node'),
    'door: no memory for a page of its own before the join':
        (16, {'DISTKVM_LOWER': '1'}, 'page 0x1000: INSTALL_ZERO')})
def test_no_memory(mib, env, why):
    """The main loop touches a page before it looks for peers; the loss of its
    lane is heard although membership does not run yet."""
    with qtest_cluster('no-memory', env={
            'LD_PRELOAD': QEMU_BUILD / NO_MEMORY, **env}) as cluster:
        image = cluster.run_dir / 'image'
        image.write_bytes(b'x' * 4096)
        process = cluster.start(0, [*HEADLESS, '-device',
                                    f'loader,file={image},addr={mib << 20},'
                                    'force-raw=on'])
        if process.wait(PATIENCE) != 1:
            raise Problem(f'it ended with {process.returncode}')
        if f'cannot join: {why}' not in log_of(cluster, 0):
            raise Problem(log_of(cluster, 0))
