# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock guests: Debian kernels, a small initramfs, disks."""

import functools
import hashlib
import lzma
import re
import shutil
import threading
from pathlib import Path

from . import apt
from .common import GUEST, TOP, Problem, call, quiet, say

SOURCES = TOP / 'tests' / 'guest'

# Modules of the stock kernel; what they depend on comes with them.
DISK_MODULES = ['virtio_pci', 'virtio_blk', 'sd_mod', 'ahci',
                'crc32c_generic', 'ext4']


# Kernels by name: suite, package, architecture.  "stock" is this release's.
KERNELS = {
    'stock': (None, 'linux-image-amd64', None),
    '6.12': ('trixie', 'linux-image-6.12*-amd64', None),
    '686-pae': (None, 'linux-image-6.*-686-pae', 'i386'),
}


# What the guest's kernel must not say.
COMPLAINTS = re.compile(
    r'\bBUG:|WARNING:|Call Trace|Kernel panic|rcu.*stall|soft lockup|'
    r'clocksource.*(unstable|skew(?! test skipped))|hung task|\bOops', re.I)

# Tests that run beside each other want the same files.
MAKING = threading.RLock()


def one_at_a_time(function):
    """For what makes a file that is not there yet."""
    @functools.wraps(function)
    def alone(*args, **kwargs):
        with MAKING:
            return function(*args, **kwargs)
    return alone


def kernel_package():
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
    return unpack_package(f'kernel-{name}', suite or apt.release(), package,
                          arch)


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


@one_at_a_time
def busybox(name):
    """A static busybox that the kernel can execute."""
    arch = KERNELS[name][2]
    if not arch:
        return Path('/bin/busybox')
    root = unpack_package(f'busybox-{arch}', apt.release(), 'busybox-static',
                          arch)
    return next(p for p in (root / 'bin' / 'busybox',
                            root / 'usr' / 'bin' / 'busybox') if p.exists())


def module_bytes(path):
    """A module as the guest's busybox wants it: plain."""
    data = path.read_bytes()
    return lzma.decompress(data) if path.suffix == '.xz' else data


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
        depends = re.search(rb'\0depends=([^\0]*)\0', data)
        for other in depends.group(1).decode().split(','):
            if other:
                add(other)
        order[name] = data

    for name in names:
        add(name)
    return order


@one_at_a_time
def compiled(name, directory, options):
    """The program of all sources in a directory, compiled once."""
    sources = sorted(p for p in directory.iterdir()
                     if p.suffix in ('.c', '.h', '.S', '.ld'))
    state = hashlib.sha256(b''.join(s.read_bytes() for s in sources))
    program = GUEST / f'{name}-{state.hexdigest()[:12]}'
    if not program.exists():
        GUEST.mkdir(parents=True, exist_ok=True)
        call(['cc', '-O2', '-Wall', '-static', *options, '-o', program,
              *[s for s in sources if s.suffix in ('.c', '.S')]])
    return program


def guest_program():
    """The static program that guests run their checks with."""
    return compiled('guest-check', SOURCES, ['-pthread'])


def tiny_guest():
    """A kernel of a few pages, for -kernel."""
    source = SOURCES / 'tiny'
    return compiled('tiny', source, [
        '-m32', '-ffreestanding', '-nostdlib', '-fno-pic', '-no-pie',
        '-fno-stack-protector', '-fno-asynchronous-unwind-tables',
        '-mgeneral-regs-only', f'-Wl,-T,{source / "tiny.ld"}',
        '-Wl,--build-id=none', '-Wl,--no-warn-rwx-segments'])


def copy_program(name, root):
    """A program of this host, with the libraries that it needs."""
    path = shutil.which(name)
    if not path:
        raise Problem(f'{name} is not installed: apt-get install {name}')
    files = re.findall(r'(/\S+) \(0x', quiet(['ldd', path]))
    for file in [path, *files]:
        target = root / file.lstrip('/')
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(Path(file).resolve(), target)


@one_at_a_time
def initramfs(script='demo', modules=(), kernel_name='stock', programs=()):
    """An initramfs whose init runs tests/guest/init and then script."""
    program = guest_program()
    parts = [SOURCES / 'init', SOURCES / f'{script}.sh', program]
    state = hashlib.sha256(b''.join(p.read_bytes() for p in parts) +
                           ' '.join(['2', *modules, *programs]).encode() +
                           str(kernel(kernel_name)).encode())
    image = GUEST / f'initramfs-{script}-{state.hexdigest()[:12]}.gz'
    if image.exists():
        return image
    root = GUEST / f'root-{script}'
    shutil.rmtree(root, ignore_errors=True)
    for name in ('bin', 'proc', 'sys', 'dev', 'tmp', 'mnt', 'modules'):
        (root / name).mkdir(parents=True)
    shutil.copy(busybox(kernel_name), root / 'bin' / 'busybox')
    shutil.copy(program, root / 'bin' / 'guest-check')
    shutil.copy(SOURCES / 'init', root / 'init')
    shutil.copy(SOURCES / f'{script}.sh', root / 'script')
    (root / 'init').chmod(0o755)
    for name in programs:
        copy_program(name, root)
    order = module_files(modules)
    for name, data in order.items():
        (root / 'modules' / f'{name}.ko').write_bytes(data)
    (root / 'modules' / 'order').write_text(''.join(f'{n}\n' for n in order))
    partial = image.with_suffix('.partial')
    call(['sh', '-c', 'find . | cpio --quiet -o -H newc | gzip -1 >"$0"',
          partial], cwd=root)
    partial.rename(image)
    shutil.rmtree(root)
    return image


def disk_image(path, megabytes=64):
    """An ext4 image, made without mounting anything."""
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    Path(path).unlink(missing_ok=True)
    quiet(['mke2fs', '-q', '-t', 'ext4', path, f'{megabytes}M'])
    return path


def kernel_args(append='', script='demo', modules=(), kernel_name='stock',
                programs=()):
    return ['-kernel', str(vmlinuz(kernel_name)), '-initrd',
            str(initramfs(script, modules, kernel_name, programs)), '-append',
            f'console=ttyS0 panic=-1 {append}'.strip(), '-no-reboot']
