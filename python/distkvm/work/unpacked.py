# SPDX-License-Identifier: GPL-2.0-or-later
"""A disk with programs of Debian packages that are unpacked and not set up.

It takes seconds where a whole system (image.py) takes minutes, and needs no root.
Instead of systemd a script starts the scripts that take orders (image.SCRIPTS)."""

import hashlib
import os
import shutil

from .. import apt, guests
from ..common import GUEST, Problem, call, quiet, say
from .image import ROOM_MIB, SCRIPTS, SUITE

PACKAGES = '''
    e2fsprogs fio iperf3 postgresql-15 stress-ng python3-minimal
    busybox coreutils dash grep mawk mount sed tar util-linux
'''.split()
# Nothing runs these: the compiler of queries is off.
UNUSED = ('libllvm', 'libz3', 'locales')
MERGED = ('bin', 'lib', 'lib64', 'sbin')
FOLDERS = ('dev', 'mnt', 'proc', 'root', 'run', 'sys', 'tmp', 'var/tmp')
FILES = {
    'etc/passwd': 'root:x:0:0::/root:/bin/sh\n'
                  'postgres:x:100:100::/tmp:/bin/sh\n',
    'etc/group': 'root:x:0:\npostgres:x:100:\n',
    'etc/hosts': '127.0.0.1 localhost work\n',
    'usr/sbin/init': '''#!/bin/sh
export PATH=/usr/sbin:/usr/bin
mkdir -p /dev/pts /dev/shm
mount -t devpts devpts /dev/pts
for folder in /dev/shm /run /tmp; do
    mount -t tmpfs tmpfs $folder
done
chmod 1777 /dev/shm /tmp /var/tmp
busybox hostname work
busybox ip link set lo up
mkdir /run/work
tar -C /run/work -xf /dev/vdb
setsid sh /run/work/serve.sh </dev/ttyS0 >/dev/ttyS0 2>&1
sync
mount -o remount,ro /
busybox poweroff -f
'''}


INITDB = SCRIPTS / 'initdb.sh'
# Of verify-pgbench.sh, which makes one in the guest if there is none here.
DATABASE = '/var/lib/verify-pg'


def state():
    """A digest of everything that the disk follows from."""
    text = repr((SUITE, PACKAGES, UNUSED, ROOM_MIB, FILES, INITDB.read_text()))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def fetch(directory):
    """All packages that PACKAGES need, and these, from an archive of which
    none is installed."""
    with apt.archive(SUITE) as (fetched, options):
        status = fetched.parent / 'status'
        status.touch()
        options += ['-o', f'Dir::State::status={status}', '-qq',
                    '--no-install-recommends']
        planned = apt.run(['apt-get', *options, '-s', 'install', *PACKAGES])
        names = sorted({line.split()[1] for line in planned.splitlines()
                        if line.startswith('Inst ')})
        apt.run(['apt-get', *options, 'download', *(
            n for n in names if not n.startswith(UNUSED))], cwd=fetched)
        return [apt.move(deb, directory) for deb in sorted(
            fetched.glob('*.deb'))]


def unpack(root, debs):
    (root / 'usr').mkdir(parents=True)
    for name in MERGED:
        (root / 'usr' / name).mkdir()
        (root / name).symlink_to(f'usr/{name}')
    for deb in debs:
        # dpkg -x would replace the links.
        call(['sh', '-c', 'dpkg-deb --fsys-tarfile "$0" | tar -C "$1" -x '
              '--no-same-owner --keep-directory-symlink', deb, root])
    for name in ('doc', 'locale', 'man'):
        shutil.rmtree(root / 'usr' / 'share' / name, ignore_errors=True)
    # As their scripts would set it up.
    (root / 'usr' / 'bin' / 'awk').symlink_to('mawk')
    for name in FOLDERS:
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.unlink(missing_ok=True)
        path.write_text(text)
        path.chmod(0o755 if name.endswith('init') else 0o644)


def make_database(root):
    """It takes two seconds here, and a minute over nodes on a slow machine.  Only
    root may, and not in every container: the guest makes one that is not there."""
    if os.geteuid():
        return
    (root / DATABASE[1:]).parent.mkdir(parents=True, exist_ok=True)
    # Files do for it: a root without devices may be on any file system.
    (root / 'dev' / 'shm').mkdir(mode=0o1777)
    null = root / 'dev' / 'null'
    null.touch()
    for path in (null, null.with_name('shm'), root / 'tmp'):
        path.chmod(0o1777)
    try:
        quiet(['chroot', root, 'sh', '-c', INITDB.read_text(), 'initdb.sh',
               DATABASE])
    except Problem:
        shutil.rmtree(root / DATABASE[1:], ignore_errors=True)
    shutil.rmtree(root / 'dev')
    (root / 'dev').mkdir()


@guests.one_at_a_time
def disk():
    """The disk; made once, and again when the above has changed."""
    image = GUEST / f'unpacked-{state()}.img'
    if image.exists():
        return image
    say(f'unpacking {len(PACKAGES)} packages and what they need for a guest')
    for old in GUEST.glob('unpacked-*.img'):
        old.unlink()
    work = GUEST / 'root-unpacked'
    shutil.rmtree(work, ignore_errors=True)
    try:
        (work / 'debs').mkdir(parents=True)
        unpack(work / 'root', fetch(work / 'debs'))
        make_database(work / 'root')
        size = int(quiet(['du', '-sm', work / 'root']).split()[0]) + ROOM_MIB
        partial = image.with_suffix('.partial')
        partial.unlink(missing_ok=True)
        quiet(['mke2fs', '-q', '-t', 'ext4', '-E', 'root_owner=0:0', '-d',
              work / 'root', partial, f'{size}M'])
        partial.rename(image)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return image
