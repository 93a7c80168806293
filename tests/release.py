# SPDX-License-Identifier: GPL-2.0-or-later
"""Releases of Debian in root file systems of their own, fresh from debootstrap
or with the tree built in them, and programs there as containers have them."""

import contextlib
import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from distkvm import apt, package
from distkvm.common import BUILD, TOP, Problem, quiet
from distkvm.work import image
from distkvm.work.installed import RELEASES

BUILD_SECONDS = 5400
SECONDS = 600
SHOWN = 4000
USER, USER_ID = 'op', 1000
TREE = 'distkvm'
LOG = 'build/log/qemu-build.log'
PATH = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin'
# A container's mounts: few devices, of which userfaultfd is the user's, too.
ENTER = '''
set -e
root=$1 user=$2 script=$3
mount --make-rprivate /
# A mount, as "/" is one elsewhere: unshare --mount wants it.
mount --bind "$root" "$root"
mount -t tmpfs -o mode=755 tmpfs "$root/dev"
for name in null zero full random urandom tty; do
    touch "$root/dev/$name"
    mount --bind "/dev/$name" "$root/dev/$name"
done
for name in userfaultfd kvm; do
    [ -e "/dev/$name" ] || continue
    mknod -m 660 "$root/dev/$name" c $(stat -c '0x%t 0x%T' "/dev/$name")
    chgrp {user_id} "$root/dev/$name"
done
mkdir "$root/dev/pts" "$root/dev/shm"
mount -t devpts -o newinstance,ptmxmode=666 devpts "$root/dev/pts"
mknod -m 666 "$root/dev/ptmx" c 5 2
ln -s /proc/self/fd "$root/dev/fd"
mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
mount -t proc proc "$root/proc"
mount -t sysfs -o ro sysfs "$root/sys"
if [ -d "$root/ccache" ]; then
    mount --bind "$4" "$root/ccache"
fi
[ "$user" = root ] && exec chroot "$root" sh -c "$script"
exec chroot "$root" setpriv --reuid "$user" --regid "$user" --init-groups \\
    env HOME="/home/$user" sh -c "$script"
'''.replace('{user_id}', str(USER_ID))


def tail(said):
    return said.stdout[-SHOWN:] + said.stderr[-SHOWN:]


class Root:
    """A root file system."""

    def __init__(self, path, suite):
        self.path, self.suite = Path(path), suite
        # Of all builds in this release; it changes no result, and saves time.
        self.cache = BUILD / f'ccache-{suite}'
        image.bootstrap(self.path, suite, ())
        # Packages come without a question.
        (self.path / 'etc/apt/apt.conf.d/yes').write_text(
            'APT::Get::Assume-Yes "true";\n')
        shutil.copy('/etc/resolv.conf', self.path / 'etc' / 'resolv.conf')

    def run(self, script, user='root', seconds=SECONDS):
        """A script's words, in namespaces whose processes end with it."""
        return subprocess.run(
            ['unshare', '--mount', '--pid', '--ipc', '--fork',
             '--kill-child=KILL', 'sh', '-c', ENTER, 'sh', str(self.path), user,
             script, str(self.cache)], capture_output=True, text=True,
            timeout=seconds, check=False, stdin=subprocess.DEVNULL,
            env={'PATH': PATH, 'HOME': '/root', 'LC_ALL': 'C.UTF-8',
                 'DEBIAN_FRONTEND': 'noninteractive', 'CCACHE_DIR': '/ccache',
                 'CCACHE_UMASK': '000'})

    def must(self, script, user='root', seconds=SECONDS):
        said = self.run(script, user, seconds)
        if said.returncode:
            raise Problem(f"in {self.suite}, '{script}' ends with "
                          f'{said.returncode}: {tail(said)}')
        return said

    def put_tree(self, home='root', user=0):
        """A clone of the tree, with what is not committed."""
        tree = self.path / home / TREE
        quiet(['git', 'clone', '-q', '--no-local', TOP, tree])
        changes = subprocess.run(
            ['git', '-C', str(TOP), 'diff', '--binary', 'HEAD'], check=True,
            capture_output=True).stdout
        if changes:
            subprocess.run(['git', '-C', str(tree), 'apply'], input=changes,
                           check=True)
        new = quiet(['git', '-C', TOP, 'ls-files', '-o', '--exclude-standard'])
        for name in new.splitlines():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(TOP / name, tree / name)
        quiet(['chown', '-R', f'{user}:{user}', tree])
        self.cache.mkdir(parents=True, exist_ok=True)
        self.cache.chmod(0o777)
        (self.path / 'ccache').mkdir(exist_ok=True)

    def add_user(self):
        self.must(f'useradd -m -u {USER_ID} -s /bin/sh {USER}')


class Roots:
    """Roots that go with the object."""

    def __init__(self):
        self.stack = contextlib.ExitStack()
        self.trees = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.stack.close()

    def fresh(self, release):
        image.check_host()
        BUILD.mkdir(exist_ok=True)
        name = self.stack.enter_context(
            tempfile.TemporaryDirectory(prefix='root-', dir=BUILD))
        os.chmod(name, 0o755)
        return Root(Path(name) / 'root', RELEASES[release])

    def with_tree(self, release):
        """One that has what the README wants, and a clone of the tree."""
        root = self.fresh(release)
        root.must('apt-get -qq update && '
                  'apt-get -qq install --no-install-recommends git python3')
        return root

    def built(self, release):
        """One in which root has given the README's first command; its words,
        and those of the compiler, which later builds have not."""
        if release not in self.trees:
            root = self.with_tree(release)
            root.put_tree()
            said = root.must(f'cd /root/{TREE} && scripts/distkvm demo',
                             seconds=BUILD_SECONDS)
            self.trees[release] = root, said.stdout + said.stderr, (
                root.path / 'root' / TREE / LOG).read_text()
        return self.trees[release]

    def package(self, release, directory):
        """A package for a release; for this host's, of the tree as it is built
        here."""
        if RELEASES[release] == apt.release():
            return package.make(directory)
        root, _, _ = self.built(release)
        root.must(f'cd /root/{TREE} && scripts/distkvm package --dir /made',
                  seconds=BUILD_SECONDS)
        made, = (root.path / 'made').glob('*.deb')
        Path(directory).mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(made, directory))
