# SPDX-License-Identifier: GPL-2.0-or-later
"""From a fresh Debian to a QEMU with distkvm."""

import hashlib
import os
import re
import shutil
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

from . import apt
from .common import (BUILD, CORE_BUILD, EMULATOR, QEMU, QEMU_BUILD, QEMU_TREE,
                     TOP, Problem, call, quiet, say)

PACKAGES = '''
    build-essential ninja-build pkg-config git ccache dpkg-dev python3
    python3-venv flex bison libglib2.0-dev libpixman-1-dev libslirp-dev
    libucx-dev libfdt-dev zlib1g-dev libaio-dev liburing-dev
    libgnutls28-dev gnutls-bin libseccomp-dev libattr1-dev libcap-ng-dev
    libjpeg-dev libpng-dev
    seabios ipxe-qemu qemu-system-data ovmf
    busybox-static cpio e2fsprogs iproute2 util-linux perl xz-utils
    python3-pytest python3-pytest-timeout python3-pytest-xdist
    libvirt-clients libxml2-utils python3-docutils python3-prometheus-client
    openssh-client
'''.split()

# Of tests alone: a user who runs guests gets no daemon.  That of Debian 13 only
# recommends its driver of QEMU.
TEST_PACKAGES = ['libvirt-daemon', 'libvirt-daemon-driver-qemu', 'nftables']

MESON_MIN = (1, 5)
# Of Debian 12, whose own meson is too old.
OLD_MESON, BACKPORTS = 'bookworm', 'bookworm-backports'

FIRMWARE_DIRS = ['/usr/share/qemu', '/usr/share/seabios',
                 '/usr/lib/ipxe/qemu']

# Debug information has lines, for backtraces; variables would cost a tenth of the
# compiler's time.
CONFIGURE = f'''
    --target-list=x86_64-softmmu --without-default-features --enable-system
    --enable-kvm --enable-tcg --enable-slirp --enable-pixman
    --enable-fdt=system --enable-linux-aio --enable-linux-io-uring
    --enable-gnutls --enable-seccomp --enable-virtfs --enable-attr
    --enable-cap-ng --enable-vnc --enable-vnc-jpeg --enable-png
    --enable-tools --disable-user --disable-docs --disable-install-blobs
    --firmwarepath={':'.join(FIRMWARE_DIRS)}
    --disable-werror -Ddistkvm=enabled -Dtrace_backends=log
    -Ddebug=false --extra-cflags=-g1
'''.split()


def not_installed(packages):
    """Those of the packages, by one question for all: it takes its time, and each
    "distkvm run" asks."""
    said = subprocess.run(
        ['dpkg-query', '-W', '-f', '${Package} ${Status}\n', *packages],
        check=False, capture_output=True, text=True).stdout
    found = {line.split()[0] for line in said.splitlines()
             if line.endswith('ok installed')}
    return [package for package in packages if package not in found]


def meson_version():
    path = shutil.which('meson')
    if not path:
        return None
    text = subprocess.run([path, '--version'], capture_output=True, text=True,
                          check=False).stdout
    return tuple(int(n) for n in re.findall(r'\d+', text)[:2])


def meson_of(directory):
    """The meson that has configured a build directory."""
    own = directory / 'pyvenv' / 'bin' / 'meson'
    return own if own.exists() else shutil.which('meson')


def install_meson():
    have = meson_version()
    if have and have >= MESON_MIN:
        return
    suite = apt.release()
    suite = BACKPORTS if suite == OLD_MESON else suite
    say(f'getting meson from {suite}')
    apt_install([apt.download(BUILD / 'download' / 'meson', suite, 'meson')])


def apt_install(packages):
    environment = dict(os.environ, DEBIAN_FRONTEND='noninteractive')
    quiet(['apt-get', 'install', '-y', '-qq', '--no-install-recommends',
           *packages], env=environment)


def by_hand(missing, old_meson):
    """Commands to be typed, by a user who may become root; a fresh system has
    no lists of packages."""
    commands = ['apt-get update']
    if old_meson and apt.release() == OLD_MESON:
        commands = [
            f"sh -c 'echo deb {apt.MIRROR} {BACKPORTS} main "
            f">/etc/apt/sources.list.d/{BACKPORTS}.list'", *commands,
            f'apt-get install -t {BACKPORTS} meson']
    elif old_meson:
        missing = [*missing, 'meson']
    if missing:
        commands.append('apt-get install --no-install-recommends '
                        f"{' '.join(missing)}")
    return ''.join(f'\n  sudo {command}' for command in commands)


def install_packages(more=()):
    missing = not_installed([*PACKAGES, *more])
    have = meson_version()
    old_meson = not have or have < MESON_MIN
    if not missing and not old_meson:
        return
    if os.geteuid() != 0:
        raise Problem('packages are missing; run' +
                      by_hand(missing, old_meson))
    if missing:
        say(f"installing {len(missing)} packages: {' '.join(missing)}")
        quiet(['apt-get', '-qq', 'update'])
        apt_install(missing)
    install_meson()


def compiler_cache():
    """Let the cache hit from any checkout: no path of this one in it."""
    return dict(os.environ, CCACHE_BASEDIR=str(BUILD), CCACHE_NOHASHDIR='1')


def configure():
    """Configure again only when something of it has changed."""
    state = hashlib.sha256(' '.join(CONFIGURE).encode()).hexdigest()
    stamp = QEMU_BUILD / '.distkvm-configure'
    if stamp.exists() and stamp.read_text() == state:
        return
    say('configuring QEMU')
    shutil.rmtree(QEMU_BUILD, ignore_errors=True)
    QEMU_BUILD.mkdir(parents=True)
    compiler = 'ccache cc' if shutil.which('ccache') else 'cc'
    # The system's python: another one may lack what meson needs.
    quiet([QEMU_TREE / 'configure', f'--cc={compiler}',
           '--python=/usr/bin/python3', *CONFIGURE], cwd=QEMU_BUILD,
          env=compiler_cache())
    stamp.write_text(state)


def ninja(directory, *targets):
    """Build, showing how far it is at most every few seconds; all that was
    said, warnings too, is in a log."""
    logs = BUILD / 'log'
    logs.mkdir(parents=True, exist_ok=True)
    process = subprocess.Popen(
        ['ninja', '-C', str(directory), *targets], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, text=True, env=compiler_cache())
    tail, shown = [], time.monotonic()
    with open(logs / f'{directory.name}.log', 'w', encoding='utf-8') as log:
        for line in process.stdout:
            log.write(line)
            tail = tail[-400:] + [line]
            progress = re.match(r'\[(\d+/\d+)\]', line)
            if progress and time.monotonic() - shown > 5:
                shown = time.monotonic()
                say(f'compiling {progress.group(1)}')
    if process.wait():
        sys.stderr.write(''.join(tail[-60:]))
        raise Problem('the build failed; its last lines are above')


def link_firmware():
    """QEMU run from its build directory looks for firmware below it only."""
    for name in FIRMWARE_DIRS:
        link = QEMU_BUILD / 'qemu-bundle' / name.lstrip('/')
        if not link.is_symlink():
            shutil.rmtree(link, ignore_errors=True)
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(name)


def build_core():
    """What needs no QEMU: the protocol core and its tests."""
    if not (CORE_BUILD / 'build.ninja').exists():
        quiet(['meson', 'setup', CORE_BUILD, TOP])
    ninja(CORE_BUILD)


def prepare_qemu():
    """QEMU's source, configured."""
    command = [TOP / 'scripts' / 'qemu-tree', '--tree', QEMU_TREE, 'prepare']
    source = os.environ.get('DISTKVM_QEMU_SOURCE')
    call(command + (['--source', source] if source else []))
    configure()


def compile_qemu(*targets):
    ninja(QEMU_BUILD, *(targets or (
        'qemu-system-x86_64', 'qemu-img',
        str(EMULATOR.relative_to(QEMU_BUILD)))))
    link_firmware()


def build_qemu(*targets):
    prepare_qemu()
    compile_qemu(*targets)


def build_all(*targets):
    """QEMU is fetched and configured, which takes one CPU, while the core is
    compiled."""
    with ThreadPoolExecutor(1) as pool:
        core = pool.submit(build_core)
        prepare_qemu()
        core.result()
    compile_qemu(*targets)


def ensure():
    """Everything that running a guest needs."""
    started = time.monotonic()
    install_packages()
    build_qemu()
    say(f'{QEMU.relative_to(TOP)} is up to date '
        f'({time.monotonic() - started:.0f} s)')
