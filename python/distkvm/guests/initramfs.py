# SPDX-License-Identifier: GPL-2.0-or-later
"""Stock guests: their programs, compiled and packed into an initramfs."""

import hashlib
import re
import shutil
from pathlib import Path

from .. import apt
from ..common import GUEST, TOP, Problem, call, quiet
from .kernel import (busybox, drivers, kernel, module_files, one_at_a_time,
                     unpack_package, unpacked, vmlinuz)

SOURCES = TOP / 'tests' / 'guest'
# Programs of packages of the same name that this host need not have.  The host
# has the libraries, since its own programs need them.
PACKAGED = ('mdadm',)


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


def boot_sector():
    """A disk's first sector: the smallest guest that has a console and a power
    button."""
    return compiled('sector', SOURCES / 'sector', [
        '-m32', '-ffreestanding', '-nostdlib', '-no-pie',
        '-Wl,-Ttext=0x7c00', '-Wl,--oformat=binary', '-Wl,--build-id=none'])


def packaged(name):
    root = unpack_package(f'package-{name}', apt.release(), name, None)
    return next(p for p in root.glob(f'**/sbin/{name}') if p.is_file())


def copy_libraries(program, root):
    """The shared libraries of a program or library."""
    needed = quiet(['ldd', program])
    if 'not found' in needed:
        raise Problem(f'{program} lacks libraries: {needed}')
    for file in re.findall(r'(/\S+) \(0x', needed):
        target = root / file.lstrip('/')
        target.parent.mkdir(parents=True, exist_ok=True)
        if not target.exists():
            shutil.copy(Path(file).resolve(), target)


def copy_program(name, root):
    """A program, with the libraries that it needs."""
    path = packaged(name) if name in PACKAGED else shutil.which(name)
    if not path:
        raise Problem(f'{name} is not installed: apt-get install {name}')
    shutil.copy(path, root / 'bin' / name)
    copy_libraries(path, root)


@one_at_a_time
def initramfs(script='demo', modules=(), kernel_name='stock', programs=()):
    """An initramfs whose init runs tests/guest/init and then script."""
    program = guest_program()
    parts = [SOURCES / 'init', SOURCES / f'{script}.sh', program]
    state = hashlib.sha256(b''.join(p.read_bytes() for p in parts) +
                           ' '.join(['4', *modules, *programs]).encode() +
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
    late = drivers(order)
    for file, names in (('libraries', [n for n in order if n not in late]),
                        ('drivers', [n for n in order if n in late])):
        (root / 'modules' / file).write_text(''.join(f'{n}\n' for n in names))
    partial = image.with_suffix('.partial')
    call(['sh', '-c', 'find . | cpio --quiet -o -H newc | gzip -1 >"$0"',
          partial], cwd=root)
    partial.rename(image)
    shutil.rmtree(root)
    return image


def kernel_args(append='', script='demo', modules=(), kernel_name='stock',
                programs=()):
    return ['-kernel', str(vmlinuz(kernel_name)), '-initrd',
            str(initramfs(script, modules, kernel_name, programs)), '-append',
            f'console=ttyS0 panic=-1 {append}'.strip(), '-no-reboot']


# All but the first CPU come when the kernel is up, before drivers and the script
# (tests/guest/init).  Lock prefixes stay in the kernel's code meanwhile.
LATER = 'maxcpus=1 noreplace-smp guest.cpus=later'


def quick_args(append='', script='demo', modules=(), kernel_name='stock',
               programs=()):
    """The same, for tests of what a guest does once it is up.  Its kernel is unpacked
    already, and comes up on one CPU, which takes an eighth of the page faults."""
    found = kernel_args(f'{append} {LATER}', script, modules, kernel_name,
                        programs)
    found[found.index('-kernel') + 1] = str(unpacked(kernel_name))
    return found
