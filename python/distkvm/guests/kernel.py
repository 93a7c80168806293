# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock guests: Debian's kernels and their modules."""

import fcntl
import functools
import lzma
import re
import shutil
import struct
import threading
from pathlib import Path

from .. import apt
from ..common import GUEST, Problem, call, quiet, say

# Kernels by name: suite, package, architecture.  "stock" is this release's.
KERNELS = {
    'stock': (None, 'linux-image-amd64', None),
    '6.12': ('trixie', 'linux-image-6.12*-amd64', None),
    # Debian 13 has no 32-bit kernels.
    '686-pae': ('bookworm', 'linux-image-6.*-686-pae', 'i386'),
}


# Complaints that the guest's kernel must not make.
COMPLAINTS = re.compile(
    r'\bBUG:|WARNING:|Call Trace|Kernel panic|rcu.*stall|soft lockup|'
    r'clocksource.*(unstable|skew(?! test skipped))|hung task|'
    r'blocked for more than|\bOops|nobody cared', re.I)


class Making:
    """One thread of one process at a time makes files, since tests that run
    beside each other want the same; it may go in again."""

    def __init__(self):
        self.lock = threading.RLock()
        self.depth = 0
        self.file = None

    def __enter__(self):
        self.lock.acquire()
        if not self.depth:
            GUEST.mkdir(parents=True, exist_ok=True)
            # pylint: disable=consider-using-with
            self.file = open(GUEST / 'lock', 'w', encoding='ascii')
            fcntl.flock(self.file, fcntl.LOCK_EX)
        self.depth += 1

    def __exit__(self, *_):
        self.depth -= 1
        if not self.depth:
            self.file.close()
        self.lock.release()


MAKING = Making()


def one_at_a_time(function):
    """For what makes a file that is not there yet."""
    @functools.wraps(function)
    def alone(*args, **kwargs):
        with MAKING:
            return function(*args, **kwargs)
    return alone


@functools.cache
def kernel_package():
    """Asked once: where APT keeps no cache, as in many containers, each question
    takes seconds."""
    text = quiet(['apt-cache', 'depends', 'linux-image-amd64'])
    found = re.search(r'Depends: (linux-image-\S+)', text)
    if not found:
        raise Problem('apt knows no kernel package: run apt-get update')
    return found.group(1)


def unpack_package(name, suite, package, arch):
    """A package's files, below build/guest; fetched once."""
    directory = GUEST / name
    if not directory.exists():
        say(f'getting {package} for guests')
        partial = GUEST / 'partial'
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        deb = apt.download(GUEST / 'apt', suite, package, arch)
        call(['dpkg', '-x', deb, partial / 'root'])
        (partial / 'root').rename(directory)
        shutil.rmtree(partial)
    return directory


@one_at_a_time
def kernel(name='stock'):
    """Directory with one of Debian's kernels, unpacked."""
    suite, package, arch = KERNELS[name]
    if name == 'stock':
        package = kernel_package()
        if not (GUEST / package).exists():
            return stock_kernel(package)
        return GUEST / package
    return unpack_package(f'kernel-{name}', suite, package, arch)


def stock_kernel(package):
    """As the user's apt finds it: with security updates."""
    say(f'getting {package} for guests')
    partial = GUEST / 'partial'
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    call(['dpkg', '-x', apt.download_stock(partial, package),
          partial / 'root'])
    (partial / 'root').rename(GUEST / package)
    shutil.rmtree(partial)
    return GUEST / package


def vmlinuz(name='stock'):
    return next((kernel(name) / 'boot').glob('vmlinuz-*'))


# Of the kernel's Documentation/arch/x86/boot.rst: where its header says how many
# sectors the part for real mode has, and where, from its end on, what is how long.
SETUP_SECTS, PAYLOAD = 0x1f1, 0x248
XZ_MAGIC = b'\xfd7zXZ\0'


@one_at_a_time
def unpacked(name='stock'):
    """The kernel as it has unpacked itself, which QEMU starts by its PVH entry; a
    guest takes seconds for that, and more over several nodes.  The packed one, if
    it is packed otherwise."""
    packed = vmlinuz(name)
    image = packed.with_name(packed.name.replace('vmlinuz', 'vmlinux'))
    if image.exists():
        return image
    data = packed.read_bytes()
    at, length = struct.unpack_from('<II', data, PAYLOAD)
    at += (data[SETUP_SECTS] + 1) * 512
    if not data.startswith(XZ_MAGIC, at):
        return packed
    partial = image.with_suffix('.partial')
    # Behind it is its length when unpacked.
    partial.write_bytes(lzma.LZMADecompressor().decompress(
        data[at:at + length]))
    partial.rename(image)
    return image


@one_at_a_time
def busybox(name):
    """A static busybox that the kernel can execute."""
    suite, _, arch = KERNELS[name]
    if not arch:
        return Path('/bin/busybox')
    root = unpack_package(f'busybox-{arch}', suite, 'busybox-static', arch)
    return next(p for p in (root / 'bin' / 'busybox',
                            root / 'usr' / 'bin' / 'busybox') if p.exists())


def module_bytes(path):
    """A module as the guest's busybox wants it: plain."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == '.xz' else data


def needs(data):
    """Names of the modules that a module needs."""
    depends = re.search(rb'\0depends=([^\0]*)\0', data).group(1).decode()
    return [name.replace('-', '_') for name in depends.split(',') if name]


# Of a module that finds devices.
DEVICES = re.compile(rb'\0alias=(acpi|pci|pnp|usb|virtio)')


def drivers(modules):
    """Names of those that find devices, and of those that need one of them."""
    found = set()
    for name, data in modules.items():
        if DEVICES.search(data) or found & set(needs(data)):
            found.add(name)
    return found


def module_files(names):
    """Modules and what they depend on, each after what it needs."""
    root = kernel() / 'lib' / 'modules'
    if not root.exists():
        root = kernel() / 'usr' / 'lib' / 'modules'
    found = {}
    for path in root.rglob('*.ko*'):
        found[path.name.split('.')[0].replace('-', '_')] = path
    order = {}

    def add(name):
        name = name.replace('-', '_')
        if name in order:
            return
        if name not in found:
            raise Problem(f"the guest's kernel has no module {name}")
        data = module_bytes(found[name])
        for other in needs(data):
            add(other)
        order[name] = data

    for name in names:
        add(name)
    return order
