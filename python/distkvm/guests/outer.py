# SPDX-License-Identifier: GPL-2.0-or-later
"""Machines that play hosts: TCG gives them AMD's SVM, so that a stock
kernel's kvm-amd runs in them, with nested paging, on any build machine."""

import atexit
import hashlib
import os
import shutil
import subprocess
from pathlib import Path

from .. import guests
from ..cluster import TIED
from ..common import BUILD, GUEST, QEMU, Problem, call, quiet
from ..console import Console
from .initramfs import copy_libraries

MODULES = ['virtio_pci', 'virtio_blk', 'virtio_net', 'ext4',
           'crc32c_generic', 'ccp', 'irqbypass', 'kvm', 'kvm_amd']
FIRMWARE = ['bios-256k.bin', 'linuxboot_dma.bin', 'multiboot_dma.bin',
            'pvh.bin']
# Libraries that QEMU loads only when it runs.
LATE = ['libucp.so.0', 'libuct.so.0', 'libucs.so.0', 'libucm.so.0']
SECTOR = 512
MEMORY = '2048M'
# All CPUs have one clock, which TCG cannot say; else the kernel reads the
# HPET, a thousand times slower, whenever anything here asks for the time.
APPEND = 'quiet tsc=reliable mitigations=off'


def firmware_file(name):
    for directory in (BUILD / 'qemu-build' / 'qemu-bundle' / 'usr' / 'share'
                      / 'qemu', Path('/usr/share/seabios'),
                      Path('/usr/share/qemu')):
        if (directory / name).exists():
            return directory / name
    raise Problem(f'there is no firmware {name}: apt-get install '
                  'seabios qemu-system-data')


def library(name):
    return next(p for d in ('/lib', '/usr/lib')
                for p in [Path(d) / 'x86_64-linux-gnu' / name] if p.exists())


def fill_root(root):
    for name in ('bin', 'boot', 'share', 'tmp', 'proc', 'sys', 'dev'):
        (root / name).mkdir(parents=True)
    quiet(['strip', '-o', root / 'qemu', QEMU])
    copy_libraries(QEMU, root)
    for name in LATE:
        path = library(name)
        copy_libraries(path, root)
        shutil.copy(path.resolve(), root / 'lib' / 'x86_64-linux-gnu' / name)
    plugins = library('ucx')
    shutil.copytree(plugins, root / 'lib' / 'x86_64-linux-gnu' / 'ucx',
                    symlinks=True, ignore=shutil.ignore_patterns('*.a'))
    shutil.copy('/bin/busybox', root / 'bin' / 'busybox')
    quiet([root / 'bin' / 'busybox', '--install', '-s', root / 'bin'])
    for link in (root / 'bin').iterdir():
        if link.is_symlink():
            link.unlink()
            link.symlink_to('/bin/busybox')
    for name in FIRMWARE:
        shutil.copy(firmware_file(name), root / 'share' / name)
    shutil.copy(guests.tiny_guest(), root / 'boot' / 'tiny')


@guests.one_at_a_time
def root_image():
    """A host's root: QEMU, what it needs, and a guest to run."""
    state = hashlib.sha256(Path(__file__).read_bytes())
    for path in (QEMU, guests.tiny_guest()):
        state.update(Path(path).read_bytes())
    image = GUEST / f'outer-{state.hexdigest()[:12]}.img'
    if not image.exists():
        for old in GUEST.glob('outer-*.img'):
            old.unlink()
        root = GUEST / 'root-outer'
        shutil.rmtree(root, ignore_errors=True)
        fill_root(root)
        size = int(quiet(['du', '-sm', root]).split()[0]) + 64
        partial = image.with_suffix('.partial')
        partial.unlink(missing_ok=True)
        call(['mke2fs', '-q', '-t', 'ext4', '-d', root, partial, f'{size}M'])
        partial.rename(image)
        shutil.rmtree(root)
    return image


def cable(ports, host):
    """The end that host 0, or host 1, has of a cable between the two."""
    return ['-netdev', 'dgram,id=net,'
            f'local.type=inet,local.host=127.0.0.1,local.port={ports[host]},'
            'remote.type=inet,remote.host=127.0.0.1,'
            f'remote.port={ports[1 - host]}',
            '-device', f'virtio-net-pci,netdev=net,mac=52:54:00:00:00:0{host}']


class Outer:
    """One such machine, that runs a script and shows what it prints."""

    def __init__(self, name, job, cpus=2, extra=(), env=None, append=''):
        self.log_dir = BUILD / 'log' / name
        self.log_dir.mkdir(parents=True, exist_ok=True)
        script = job.encode()
        disk = self.log_dir / 'job'
        # There may be a key in it.
        disk.unlink(missing_ok=True)
        disk.touch(mode=0o600)
        disk.write_bytes(script + b'\0' * (-len(script) % SECTOR))
        drives = []
        for file in (root_image(), disk):
            drives += ['-drive', f'file={file},format=raw,if=virtio,'
                                 'readonly=on']
        self.process = subprocess.Popen(
            # One thread for its CPUs: with one each, nested paging goes
            # wrong now and then, in the outer kernel too.
            [*TIED, str(QEMU), '-machine', 'q35', '-accel',
             'tcg,thread=single',
             '-cpu', 'max', '-smp', str(cpus), '-m', MEMORY, '-nodefaults',
             '-display', 'none', '-serial', 'stdio', *drives, *extra,
             *guests.kernel_args(f'{APPEND} {append}', 'outer',
                                tuple(MODULES))],
            env=dict(os.environ, **(env or {})),
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT)
        # Also if its test runs beside others, and all are interrupted.
        atexit.register(self.process.kill)
        self.log = open(self.log_dir / 'console.log', 'w', encoding='utf-8')
        self.console = Console(self.process, self.log)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
