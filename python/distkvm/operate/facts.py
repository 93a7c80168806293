# SPDX-License-Identifier: GPL-2.0-or-later
"""Facts of a host that decide whether nodes can run on it.

Each reason is None, or a pair of texts: a reason and a remedy."""

import contextlib
import errno
import fcntl
import os
import platform
import re
import socket
import struct
import subprocess
import sys
from pathlib import Path

from ..common import COMMIT, GET, INSTALLED, TOP
from .state import host_name

KVM = Path('/dev/kvm')
USERFAULTFD = Path('/dev/userfaultfd')
UNPRIVILEGED = Path('/proc/sys/vm/unprivileged_userfaultfd')
MODULES = Path('/sys/module')
EPTAD = MODULES / 'kvm_intel' / 'parameters' / 'eptad'
# Parameters of KVM's modules without which it shadows page tables.
NESTED = {'kvm_intel': 'ept', 'kvm_amd': 'npt'}
# Loads the library as a node does, in a process of its own; makes a segment as
# UCX does.  flags: IPC_CREAT, mode 0600; IPC_RMID is 0.
UCX = '''
import ctypes, sys
ctypes.CDLL("libucp.so.0")
libc = ctypes.CDLL(None, use_errno=True)
segment = libc.shmget(0, 1 << 20, 0o1600)
libc.shmctl(segment, 0, None)
sys.exit(2 if segment < 0 else 0)
'''
NO_SEGMENT = 2
NET = Path('/sys/class/net')
TUN = '/dev/net/tun'
# <linux/if_tun.h>: IFF_TAP; and IFF_NO_PI, IFF_VNET_HDR, as QEMU asks for it.
TUN_IS_TAP, TUN_AS_QEMU = 2, 0x5002
TUNSETIFF, IFREQ = 0x400454ca, struct.Struct('16sH22x')
# IFF_UP of an interface.
IS_UP = 1
VERSION_SECONDS = 30
GIT_SECONDS = 10
MISSING = 'is not there'
DANGLING = 'is a link that leads nowhere'


def version_of(qemu):
    """The line in which a QEMU says its version, and a reason."""
    try:
        done = subprocess.run([qemu, '--version'], check=False, text=True,
                              stdin=subprocess.DEVNULL, capture_output=True,
                              timeout=VERSION_SECONDS)
        helped = subprocess.run([qemu, '-accel', 'help'], check=False,
                                text=True, stdin=subprocess.DEVNULL,
                                capture_output=True, timeout=VERSION_SECONDS)
    except OSError as error:
        return None, (f'there is no QEMU at {qemu} ({error.strerror})',
                      f'{GET} there, or write qemu = "PATH"')
    except subprocess.TimeoutExpired:
        return None, (f'{qemu} does not answer', 'see what it does there')
    lines = done.stdout.splitlines()
    if done.returncode or not lines:
        last = (done.stderr.splitlines() or ['it says nothing'])[-1]
        return None, (f'{qemu} does not run: {last}',
                      f'{GET} there')
    if 'distkvm' not in helped.stdout.split():
        return None, (f'{qemu} has no -accel distkvm',
                      'write qemu = "PATH" of one that was built here')
    return lines[0], None


def git(*args):
    """What git says of the tree that this tool is in; None if nothing."""
    with contextlib.suppress(OSError, subprocess.TimeoutExpired):
        done = subprocess.run(['git', '-C', str(TOP), *args], check=False,
                              text=True, capture_output=True,
                              stdin=subprocess.DEVNULL, timeout=GIT_SECONDS)
        if not done.returncode:
            return done.stdout.strip()
    return None


def commit():
    """Of the tree that this tool is in; None if the user has no clone, or no
    git.  A clone of something else, as of /etc, may be above the tree."""
    if INSTALLED:
        return COMMIT.read_text(encoding='ascii').strip()
    top = git('rev-parse', '--show-toplevel')
    return git('rev-parse', 'HEAD') if top and os.path.samefile(top, TOP) \
        else None


def available_bytes():
    found = re.search(r'^MemAvailable:\s*(\d+) kB',
                      Path('/proc/meminfo').read_text(), re.M)
    return int(found.group(1)) << 10 if found else None


def userfaultfd():
    """As accel/distkvm/memory asks for it."""
    if os.access(USERFAULTFD, os.R_OK | os.W_OK) or os.geteuid() == 0:
        return None
    with contextlib.suppress(OSError):
        if UNPRIVILEGED.read_text().strip() == '1':
            return None
    return (f'this user has no access to {USERFAULTFD}',
            f'run there: chgrp kvm {USERFAULTFD} && chmod 660 {USERFAULTFD}, '
            'and be of that group')


def kvm():
    if os.access(KVM, os.R_OK | os.W_OK):
        return None
    if not KVM.exists():
        return (f'there is no {KVM}', 'load kvm_intel or kvm_amd there, or '
                'write vmi = "tcg"')
    return (f'this user has no access to {KVM}',
            'be of its group there (usermod -aG kvm USER), or write vmi = '
            '"tcg"')


def shadows():
    """Why KVM shadows the guest's page tables here, with which nodes refuse KVM."""
    for module, name in NESTED.items():
        with contextlib.suppress(OSError):
            if (MODULES / module / 'parameters' / name).read_text().strip() \
                    in ('N', '0'):
                return (f"KVM shadows the guest's page tables ({name}=0)",
                        f'run there: modprobe -r {module} && modprobe '
                        f'{module} {name}=1, or write vmi = "tcg"')
    return None


def ucx():
    """Why frames cannot travel by UCX here: a pair for its library, and one
    for shared memory."""
    try:
        done = subprocess.run([sys.executable, '-c', UCX], check=False,
                              text=True, stdin=subprocess.DEVNULL,
                              capture_output=True, timeout=VERSION_SECONDS)
    except (OSError, subprocess.TimeoutExpired) as error:
        return ('UCX cannot be tried (' + str(error) + ')',
                'see what its library does there'), None
    if done.returncode == NO_SEGMENT:
        return None, ('the kernel gives no System V segments',
                      'raise kernel.shmmax and kernel.shmall there (sysctl), '
                      'or write transport = "tls"')
    if done.returncode:
        last = (done.stderr.splitlines() or ['it says nothing'])[-1]
        return (f'UCX is missing ({last})', 'apt-get install libucx0 there, or '
                'write transport = "tls"'), None
    return None, None


def slow_kvm():
    """A reason why KVM is slow here."""
    with contextlib.suppress(OSError):
        if EPTAD.read_text().strip() in ('Y', '1'):
            return ('KVM marks page tables at each walk, which is slow',
                    'run there: modprobe -r kvm_intel && modprobe kvm_intel '
                    'eptad=0')
    return None


def host_port(address):
    host, _, port = address.rpartition(':')
    return host.strip('[]'), int(port)


def resolve(address):
    try:
        return socket.getaddrinfo(*host_port(address),
                                  type=socket.SOCK_STREAM), None
    except (OSError, UnicodeError) as error:
        return None, (f'{address} is unknown there ({error})',
                      'write an address that all hosts know')


def place_of(address):
    """The IP address that a name stands for on this host."""
    found, _ = resolve(address)
    return found[0][4][0] if found else None


def listener_at(address):
    """A socket that listens as a node would, or a reason."""
    found, reason = resolve(address)
    if reason:
        return None, reason
    family, kind, _, _, place = found[0]
    listener = socket.socket(family, kind)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind(place)
        listener.listen()
        return listener, None
    except OSError as error:
        listener.close()
        if error.errno == errno.EADDRINUSE:
            return None, (f'port {place[1]} is taken on this host',
                          'write another port, or end the process that "ss '
                          f'-ltnp sport = :{place[1]}" shows')
        if error.errno == errno.EADDRNOTAVAIL:
            return None, (f'{place[0]} is no address of the host',
                          'write one that "ip address" shows there')
        return None, (f'cannot listen at {address}: {error.strerror}',
                      'write another address')


def port(address):
    """Whether a node could listen at an address of this host."""
    listener, reason = listener_at(address)
    if listener:
        listener.close()
    return reason


def readable(path):
    """Whether a file or a directory can be read."""
    try:
        os.stat(path)
    except PermissionError:
        return (f'{path} cannot be reached: a directory above is closed to '
                f'this user', 'give the user of the nodes access')
    except OSError:
        words = DANGLING if os.path.islink(path) else MISSING
        return f'{path} {words}', 'write the path of one that is there'
    if not os.access(path, os.R_OK):
        return f'{path} cannot be read', 'give the user of the nodes access'
    return None


def writable(path):
    return readable(path) or (None if os.access(path, os.W_OK) else (
        f'{path} cannot be written', 'give the user of the nodes access'))


def attach(name):
    """Be at the other end of a tap device for a moment; an OSError says why
    not."""
    with open(os.open(TUN, os.O_RDWR | os.O_CLOEXEC), 'rb') as file:
        fcntl.ioctl(file, TUNSETIFF, IFREQ.pack(name.encode(), TUN_AS_QEMU))


def again(name, kind):
    """A remedy for a tap device of this kind: what it is cannot be changed."""
    return (f'run there: ip tuntap del {name} {kind} && ip tuntap add {name} '
            f'mode tap user {os.geteuid()} && ip link set {name} up, and put '
            'it into its bridge again')


def tap(name):
    """Whether a node may be at the other end of an interface of the host."""
    flags = NET / name / 'tun_flags'
    if not flags.exists() or not int(flags.read_text(), 16) & TUN_IS_TAP:
        return (f'{name} is no tap device of {platform.node()}',
                'write the name of one' if (NET / name).exists() else
                f'run there: ip tuntap add {name} mode tap user '
                f'{os.geteuid()} && ip link set {name} up')
    try:
        attach(name)
    except OSError as error:
        return {
            errno.EPERM: (f'{name} is not for this user',
                          again(name, 'mode tap')),
            errno.EBUSY: (f'{name} is in use by another process',
                          'write another, or end that one'),
            errno.EINVAL: (f'{name} has several queues',
                           again(name, 'mode tap multi_queue'))
        }.get(error.errno, (f'{name} cannot be opened by {TUN}: '
                            f'{error.strerror}', f'give this user access to '
                            f'{TUN} there'))
    return None


def down(name):
    """A reason why nothing passes a tap device that is there."""
    with contextlib.suppress(OSError):
        if not int((NET / name / 'flags').read_text(), 16) & IS_UP:
            return (f'{name} is down, and nothing passes it',
                    f'run there: ip link set {name} up')
    return None


def asking(**wanted):
    """A request for facts, of which only these are wanted."""
    return {'verb': 'facts', 'qemu': [], 'listen': [], 'resolve': [],
            'read': [], 'write': [], 'taps': [], 'images': [],
            'proofs': None, 'trial': None, **wanted}


def facts(state, request):
    """`request`: lists `qemu`, `listen`, `resolve`, `read`, `write` and `taps`,
    and whether `ucx` is needed."""
    running = state.running()
    return {
        'host': platform.node(), 'machine': host_name(),
        'directory': str(state.path),
        'running': running, 'commit': commit(),
        'available': available_bytes(), 'userfaultfd': userfaultfd(),
        'kvm': kvm(), 'slow-kvm': slow_kvm(), 'shadows': shadows(),
        'ucx': ucx() if request.get('ucx') else (None, None),
        'qemu': {path: version_of(path) for path in request['qemu']},
        'listen': {a: port(a) for a in request['listen']},
        'resolve': {a: resolve(a)[1] for a in request['resolve']},
        'places': {a: place_of(a) for a in request['resolve']},
        'read': {p: readable(p) for p in request['read']},
        'write': {p: writable(p) for p in request['write']},
        'taps': {name: tap(name) for name in request['taps']},
        'down': {name: down(name) for name in request['taps']},
        'unwritable': state.unwritable(),
    }
