# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that are namespaces, with a libvirtd and an sshd each.

A host has a copy of /etc, where it has another machine id, knows the names of
all, and has keys of its own; root's home directory is another one, too."""

import contextlib
import os
import shlex
import subprocess
import tempfile
from pathlib import Path

from distkvm.common import TOP, Problem, quiet
from distkvm.hosts import Bridged
from libvirtd import SECONDS, Libvirtd
from tutorial import sshd

ETC = '''mount -t tmpfs tmpfs /run
mkdir -p /run/lock /run/sshd {path}/home
cp -a /etc {path}
mount --bind {path}/etc /etc
cat {path}/hosts >>/etc/hosts
tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
sed -i '/^sshd:/d; s|^root:.*|root:x:0:0:root:{path}/home:/bin/sh|' /etc/passwd
echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin' >>/etc/passwd
mkdir -p /etc/ssh
cp {path}/ssh_config /etc/ssh
{sshd}/sshd -f {path}/sshd_config -E {path}/sshd.log
'''
SSHD = '''HostKey {keys}/host
AuthorizedKeysFile {keys}/user.pub
StrictModes no
Subsystem sftp internal-sftp
PidFile none
SetEnv LIBVIRT_DEFAULT_URI={uri}
'''
SSH = '''IdentityFile {keys}/user
UserKnownHostsFile {path}/known_hosts
StrictHostKeyChecking accept-new
LogLevel ERROR
'''


class Host(Libvirtd):
    """One of them; `name` is what the others call it."""

    def __init__(self, name, top, prefix):
        self.name = name
        path = top / name
        path.mkdir()
        super().__init__(path, prefix, ETC.format(path=path, sshd=top / 'bin'))
        for kind, text in (('sshd', SSHD), ('ssh', SSH)):
            (path / f'{kind}_config').write_text(text.format(
                keys=top, path=path, uri=self.uri))

    def run(self, command):
        """What a command of root's shell prints there."""
        done = subprocess.run(
            ['nsenter', '-t', str(self.inner()), '-n', '-m', '-p', '-i',
             f'--wd={self.path}/home', 'sh', '-c', command],
            env={**os.environ, 'HOME': f'{self.path}/home',
                 'LIBVIRT_DEFAULT_URI': self.uri},
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            timeout=SECONDS, check=False)
        if done.returncode:
            raise Problem(f'{self.name}: {command}: {done.stdout}{done.stderr}')
        return done.stdout

    def tool(self, *args):
        return self.run(shlex.join([str(TOP / 'scripts' / 'distkvm'), *args]))

    def file(self, path, data):
        """A file of this host alone."""
        found = self.inside(path.lstrip('/'))
        found.parent.mkdir(parents=True, exist_ok=True)
        found.write_bytes(data)

    def kill(self):
        """All of its processes, at once."""
        os.kill(self.inner(), 9)


@contextlib.contextmanager
def virthosts(names):
    """Hosts of these names; and their bridge, which cuts them off."""
    # Paths of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix='dk-vh-') as path, \
            Bridged(len(names)) as bridged, contextlib.ExitStack() as ends:
        top = Path(path)
        sshd(top / 'bin')
        for key in ('host', 'user'):
            quiet(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f',
                   top / key])
        found = []
        for number, name in enumerate(names):
            host = Host(name, top, bridged.enter(number))
            (host.path / 'hosts').write_text(''.join(
                f'{address} {each}\n' for address, each in
                zip(bridged.addresses, names)))
            ends.callback(host.end)
            host.start()
            found.append(host)
        yield found, bridged
