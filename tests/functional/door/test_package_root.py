# SPDX-License-Identifier: GPL-2.0-or-later
"""The Debian package, installed with its dependencies in a fresh root file system
of its release, where nothing of the tree is; the Dockerfile's steps, and nodes in
namespaces there, as containers have them."""

import os
import re
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from distkvm import guests
from distkvm.common import TOP, Problem, call
from distkvm.hosts import Hosts
from distkvm.keys import make_psk
from distkvm.work.installed import RELEASES
from release import BUILD_SECONDS

pytestmark = [pytest.mark.full, pytest.mark.timeout(2 * BUILD_SECONDS),
              pytest.mark.root('debootstrap, and namespaces')]

SECONDS = 300
USER = 10000
PORT = 7700
PASSED = 'tiny: passed'
FILE = '''[guest]
memory = "64M"
{what}
[[node]]
[[node]]
'''
# The tiny kernel powers off by itself, perhaps before "up" has looked.
SCRIPT = '''
set -e
tiny=/etc/distkvm/tiny.toml
disk=/etc/distkvm/disk.toml
distkvm check $tiny
distkvm up $tiny || true
until distkvm logs $tiny console | grep 'tiny: passed'; do sleep 0.2; done
distkvm down $tiny
distkvm up $disk
distkvm status $disk
distkvm resize $disk 1 any
distkvm down $disk
distkvm cpu-baseline tcg
'''
# The parser needs no kernel with AppArmor to read a profile.
PROFILE = '''
set -e
apt-get -qq update
apt-get -qq install --no-install-recommends apparmor
echo 'include <tunables/global>
profile node { include <abstractions/base>
include <abstractions/libvirt-qemu.d> }' >/var/tmp/profile
parser='apparmor_parser --skip-kernel-load --skip-cache --features-file
/usr/share/apparmor-features/features'
$parser /var/tmp/profile
$parser --preprocess /var/tmp/profile
'''
# A container's mounts: few devices, and little shared memory.
CONTAINER = '''
set -e
root=$1 user=$2 rdev=$3
shift 3
mount -t tmpfs tmpfs "$root/dev"
for name in null zero urandom; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
mknod -m 660 "$root/dev/userfaultfd" c ${rdev%:*} ${rdev#*:}
chgrp "$user" "$root/dev/userfaultfd"
mkdir "$root/dev/shm"
mount -t tmpfs -o size=64k tmpfs "$root/dev/shm"
mount -t proc proc "$root/proc"
exec chroot --userspec="$user:$user" --groups= "$root" "$@"
'''


def docker_steps():
    """Names and words of the Dockerfile's instructions."""
    text = (TOP / 'packaging' / 'Dockerfile').read_text()
    text = re.sub(r'^#.*\n', '', text, flags=re.M).replace('\\\n', ' ')
    return [line.split(maxsplit=1) for line in text.splitlines()]


def build_image(root, directory):
    """Execute these instructions; FROM has been done by debootstrap."""
    for name, words in docker_steps():
        if name == 'COPY':
            source, target = words.split()
            for path in directory.glob(source):
                shutil.copy(path, root.path / target.lstrip('/'))
        elif name == 'RUN':
            root.must(words)


@pytest.fixture(scope='module', name='image')
def package_image(request, roots):
    """Of the release that is the test's parameter."""
    root = roots.fresh(request.param)
    with tempfile.TemporaryDirectory(prefix='distkvm-package-') as name:
        roots.package(request.param, name)
        build_image(root, Path(name))
    call(['cp', guests.tiny_guest(), root.path / 'var' / 'lib' / 'tiny'])
    (root.path / 'var' / 'lib' / 'tiny').chmod(0o644)
    return root


def releases(name):
    """A test for each release that the README names."""
    return pytest.mark.parametrize(
        'image', RELEASES, indirect=True,
        ids=[f'door: {name}, Debian {release}' for release in RELEASES])


def steps_named(name):
    return [words for step, words in docker_steps() if step == name]


@releases('container: two nodes as process 1')
def test_container(image, note):
    image = image.path
    rdev = os.stat('/dev/userfaultfd').st_rdev
    make_psk(image / 'keys')
    for path in [image / 'keys', *(image / 'keys').iterdir()]:
        os.chown(path, USER, USER)
    program, = steps_named('ENTRYPOINT')
    log = [tempfile.TemporaryFile('w+') for _ in (0, 1)]
    nodes = []
    with Hosts() as hosts:
        peers = '/'.join(f'{a}:{PORT}' for a in hosts.addresses)
        try:
            for node in (0, 1):
                nodes.append(subprocess.Popen(
                    ['ip', 'netns', 'exec', hosts.names[node], 'unshare',
                     '--mount', '--pid', '--ipc', '--uts', '--fork',
                     '--kill-child', 'sh', '-c', CONTAINER, 'sh', str(image),
                     str(USER), f'{os.major(rdev)}:{os.minor(rdev)}',
                     program.strip('[]"'), '-machine', 'q35', '-m', '64M',
                     '-smp', '2', '-object',
                     'tls-creds-psk,id=key,dir=/keys,endpoint=server',
                     '-accel', f'distkvm,node={node},peers={peers},'
                     'tls-creds=key', '-nodefaults', '-display', 'none',
                     '-no-reboot', *([] if node else [
                         '-serial', 'stdio', '-kernel', '/var/lib/tiny'])],
                    stdin=subprocess.DEVNULL, stdout=log[node],
                    stderr=subprocess.STDOUT))
            statuses = [n.wait(SECONDS) for n in nodes]
        finally:
            for node in nodes:
                node.kill()
                node.wait()
    said = []
    for file in log:
        file.seek(0)
        said.append(file.read())
        file.close()
    if any(statuses) or PASSED not in said[0] or 'over tls' not in said[1]:
        raise Problem(f'nodes ended with {statuses}:\n' + '\n'.join(said))
    note('over TLS')


@releases('package: in a fresh root file system')
def test_fresh_root(image, note):
    started = time.monotonic()
    etc = image.path / 'etc' / 'distkvm'
    (image.path / 'var' / 'lib' / 'disk.img').write_bytes(
        guests.boot_sector().read_bytes().ljust(1 << 20, b'\0'))
    (etc / 'tiny.toml').write_text(FILE.format(
        what='kernel = "/var/lib/tiny"'))
    (etc / 'disk.toml').write_text(FILE.format(
        what='disks = ["/var/lib/disk.img"]'))
    said = image.must(SCRIPT)
    for words in (PASSED, '2 of 2', 'a tcg node starts with it'):
        if words not in said.stdout:
            raise Problem(f"it does not say '{words}': {said}")
    if '/dev/userfaultfd rw,' not in image.must(PROFILE).stdout:
        raise Problem('the profile does not let QEMU open /dev/userfaultfd')
    wants = image.path / 'etc/systemd/system/multi-user.target.wants'
    wants.mkdir(parents=True, exist_ok=True)
    (wants / 'distkvm@tiny.service').symlink_to(
        '/usr/lib/systemd/system/distkvm@.service')
    gone = image.run('dpkg --purge distkvm && ls /usr/share/distkvm')
    if os.path.lexists(wants / 'distkvm@tiny.service'):
        raise Problem('a service stays enabled')
    if 'No such file' not in gone.stderr:
        raise Problem(f'files stay behind: {gone}')
    note(f'{time.monotonic() - started:.0f} s')
