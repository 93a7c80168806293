# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk of a Debian guest with the programs of the bench, from packages.

debootstrap fills a folder and mke2fs makes an image of it, so nothing is mounted
outside of debootstrap's own namespace.  The scripts that run in the guest are not
part of the image: the guest reads them from a second disk (scripts_disk)."""

import hashlib
import io
import os
import re
import shutil
import subprocess
import tarfile
import time
from pathlib import Path

from .. import apt, build, guests
from ..common import BUILD, GUEST, Problem, call, quiet, say
from ..guests.kernel import kernel

SCRIPTS = Path(__file__).resolve().parent / 'guest'
SUITE = 'bookworm'
KEYRING = '/usr/share/keyrings/debian-archive-keyring.gpg'
PACKAGES = '''
    systemd systemd-sysv udev dbus kmod procps iproute2 util-linux
    postgresql-15 rt-tests iperf3 fio sysbench stress-ng redis-server
    redis-tools nginx-light apache2-utils python3 gcc make libc6-dev git numactl
'''.split()
# Room for the files that the workloads write, MiB.
ROOM_MIB = 1536
SECTOR = 512
PROGRESS_SECONDS = 5
SERVICE = '''[Unit]
Description=Work that the host asks for
After=multi-user.target
[Service]
Type=exec
StandardInput=tty-force
TTYPath=/dev/ttyS0
StandardOutput=tty
StandardError=journal
ExecStart=/bin/sh -c 'mkdir /run/work && tar -C /run/work -xf /dev/vdb && \
exec sh /run/work/serve.sh'
[Install]
WantedBy=graphical.target
'''
UNIT = 'etc/systemd/system/distkvm-work.service'
# Changes to the root, as root of it.  The units after "disable" start when a
# workload wants them, so that an idle guest is idle.
SETTLE = '''
set -e
systemctl enable distkvm-work.service
systemctl mask serial-getty@ttyS0.service getty@tty1.service apt-daily.timer \\
    apt-daily-upgrade.timer dpkg-db-backup.timer e2scrub_all.timer \\
    fstrim.timer man-db.timer
systemctl disable redis-server.service nginx.service
systemctl set-default graphical.target
echo work >/etc/hostname
echo '127.0.0.1 localhost work' >/etc/hosts
echo '/dev/vda / ext4 errors=remount-ro 0 1' >/etc/fstab
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
depmod {version}
'''


def state():
    """A digest of everything that the image follows from."""
    text = ' '.join([SUITE, *PACKAGES, str(ROOM_MIB), SERVICE, SETTLE,
                     kernel().name])
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def check_host():
    """debootstrap runs programs of the new system in it, which only root can."""
    if os.geteuid():
        raise Problem('the guest of this bench is made by debootstrap, which '
                      'needs root; make it once as root, then any user may '
                      'run the bench')
    if not shutil.which('debootstrap'):
        say('installing debootstrap')
        build.apt_install(['debootstrap'])


def watched(args):
    """Run a long command, saying how far it is at most every few seconds."""
    process = subprocess.Popen(
        [str(a) for a in args], stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, text=True,
        env=dict(os.environ, DEBIAN_FRONTEND='noninteractive', LC_ALL='C'))
    tail, shown = [], time.monotonic()
    for line in process.stdout:
        tail = tail[-40:] + [line]
        if time.monotonic() - shown > PROGRESS_SECONDS:
            shown = time.monotonic()
            say(re.sub(r'^I: ', '', line.strip()))
    if process.wait():
        raise Problem(f'{args[0]} failed; its last lines:\n' + ''.join(tail))


def bootstrap(root, suite=SUITE, packages=PACKAGES):
    debs = BUILD / 'download' / 'debs'
    debs.mkdir(parents=True, exist_ok=True)
    more = [f"--include={','.join(packages)}"] if packages else []
    # Mounts of debootstrap end with its namespace, also if it is interrupted.
    watched(['unshare', '--mount', 'debootstrap', '--variant=minbase',
             f'--keyring={KEYRING}', f'--cache-dir={debs}', *more, suite, root,
             apt.MIRROR])


def fill(root):
    bootstrap(root)
    modules = next(p for p in (kernel() / 'lib' / 'modules',
                               kernel() / 'usr' / 'lib' / 'modules')
                   if p.exists())
    version = next(modules.iterdir()).name
    # The root's /lib is a link to usr/lib.
    shutil.copytree(modules / version,
                    root / 'usr' / 'lib' / 'modules' / version, symlinks=True)
    (root / UNIT).write_text(SERVICE)
    quiet(['chroot', root, '/bin/sh', '-c', SETTLE.format(version=version)])


def image_path():
    return GUEST / f'work-{state()}.img'


@guests.one_at_a_time
def disk():
    """The image; made once, and again when packages or units have changed."""
    image = image_path()
    if image.exists():
        return image
    check_host()
    say(f'making a Debian guest of {len(PACKAGES)} packages and what they '
        'need: some minutes, once')
    for old in GUEST.glob('work-*.img'):
        old.unlink()
    root = GUEST / 'root-work'
    shutil.rmtree(root, ignore_errors=True)
    try:
        fill(root)
        size = int(quiet(['du', '-sm', root]).split()[0]) + ROOM_MIB
        partial = image.with_suffix('.partial')
        partial.unlink(missing_ok=True)
        say(f'packing an image of {size} MiB')
        call(['mke2fs', '-q', '-t', 'ext4', '-d', root, partial, f'{size}M'])
        partial.rename(image)
    finally:
        shutil.rmtree(root, ignore_errors=True)
    return image


def fresh_disk(path, source):
    """A copy of an image that a guest may write to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.unlink(missing_ok=True)
    call(['cp', '--reflink=auto', '--sparse=always', source, path])
    return path


def plain_owner(member):
    """Equal scripts make equal disks."""
    member.uid = member.gid = member.mtime = 0
    member.uname = member.gname = ''
    return member


def scripts_disk(path):
    """A disk that is a tar archive of the scripts that run in the guest."""
    data = io.BytesIO()
    with tarfile.open(fileobj=data, mode='w') as archive:
        for script in sorted(SCRIPTS.iterdir()):
            archive.add(script, script.name, filter=plain_owner)
    blob = data.getvalue()
    path.write_bytes(blob + b'\0' * (-len(blob) % SECTOR))
    return path


def initramfs_args(append, modules=(), kernel_args=guests.kernel_args):
    """Kernel, and an initramfs that goes on to the disk."""
    return kernel_args(append, 'root', (*guests.DISK_MODULES, *modules))
