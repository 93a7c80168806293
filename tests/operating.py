# SPDX-License-Identifier: GPL-2.0-or-later
"""A cluster file in a place of its own, and the tool, called as a user does.

Other hosts are directories: ssh is a script that runs its command here.  Nodes
are static/fake_qemu, unless a test wants real ones."""

import contextlib
import json
import os
import pty
import re
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import pytest

from commands import TOOL
from distkvm.common import QEMU_IMG, Problem
from distkvm.network import free_ports

HERE = Path(__file__).resolve().parent
QEMU = HERE / 'static' / 'fake_qemu'
SECONDS = 60
# Each host has a home of its own; "down" answers nobody.
SSH = '''#!/bin/sh
while [ "$1" != -- ]; do shift; done
host=$2
case $host in
*down) echo "ssh: connect to host $host port 22: refused" >&2; exit 255;;
*noisy) echo "Welcome to $host";;
esac
echo "$host" >>"$SSH_LOG"
export XDG_STATE_HOME="$XDG_STATE_HOME/$host"
exec sh -c "$3" ssh
'''
LOCAL = '''[guest]
memory = "64M"
[[node]]
[[node]]
'''
HOSTS = '''[cluster]
keys = "/KEYS"
[guest]
memory = "64M"
[[node]]
address = "localhost:PORT0"
[[node]]
host = "root@hostB"
address = "localhost:PORT1"
'''


class Place:
    """A directory with a cluster file, and an environment for the tool."""

    def __init__(self, text=LOCAL, fake=True, **env):
        # Paths of Unix sockets are short; pytest's are not.
        self.path = Path(tempfile.mkdtemp(prefix='dk-'))
        self.file = self.path / 'c.toml'
        self.fake = fake
        # Of another tree, or of a package.
        self.program = TOOL
        self.write(text)
        (self.path / 'shared').mkdir()
        bin_dir = self.path / 'bin'
        bin_dir.mkdir()
        (bin_dir / 'ssh').write_text(SSH)
        (bin_dir / 'ssh').chmod(0o755)
        self.ssh_log = self.path / 'ssh.log'
        self.env = {**os.environ, 'PATH': f"{bin_dir}:{os.environ['PATH']}",
                    'XDG_STATE_HOME': str(self.path / 's'),
                    'SSH_LOG': str(self.ssh_log),
                    'FAKE_CLUSTER': str(self.path / 'shared'), **env}

    def write(self, text):
        """The file, with fake nodes."""
        if self.fake and '[cluster]' not in text:
            text = '[cluster]\n' + text
        if self.fake:
            text = text.replace('[cluster]\n',
                                f'[cluster]\nqemu = "{QEMU}"\n')
        self.file.write_text(text)

    def tool(self, verb, *args, status=0, **more):
        """Call the tool; its result, whose exit status must be this one."""
        done = subprocess.run(
            [str(self.program), verb, str(self.file), *args], env=self.env,
            text=True, timeout=SECONDS, check=False,
            **({'stdin': subprocess.DEVNULL, 'capture_output': True} | more))
        if done.returncode != status or 'Traceback' in done.stderr:
            raise Problem(f'{verb}: exit status {done.returncode}:\n'
                          f'{done.stdout}{done.stderr}')
        return done

    def status(self, status=0):
        """Nodes of `status --json`."""
        return json.loads(self.tool('status', '--json',
                                    status=status).stdout)

    def states(self):
        """Directories of this cluster, of all hosts."""
        return sorted((self.path / 's').rglob('distkvm/*/*-*'))

    def pids(self):
        records = [json.loads(p.read_text()) for d in self.states()
                   for p in d.glob('node-*.json')]
        return [r['pid'] for r in records if 'pid' in r]


def alive(pid):
    with contextlib.suppress(OSError):
        stat = Path(f'/proc/{pid}/stat').read_text()
        return stat.rpartition(')')[2].split()[0] != 'Z'
    return False


def await_end(pids, seconds=SECONDS):
    end = time.monotonic() + seconds
    while any(map(alive, pids)):
        if time.monotonic() > end:
            raise Problem(f'processes live on: {pids}')
        time.sleep(0.05)


def console_of(found):
    """The tool at the console, on a terminal; its process and the other end
    of the terminal."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [str(TOOL), 'console', str(found.file)], env=found.env, stdin=theirs,
        stdout=theirs, stderr=theirs)
    os.close(theirs)
    return process, ours


def read_until(fd, words):
    """What a terminal or a pipe shows, up to these words."""
    text, end = b'', time.monotonic() + SECONDS
    while words not in text:
        ready, _, _ = select.select([fd], [], [], SECONDS)
        if not ready or time.monotonic() > end:
            raise Problem(f'it does not show {words}: {text}')
        data = os.read(fd, 1000)
        if not data:
            raise Problem(f'it ends without {words}: {text}')
        text += data
    return text


@contextlib.contextmanager
def place(text=LOCAL, fake=True, **env):
    """A Place; the processes that are left end with it."""
    found = Place(text, fake, **env)
    try:
        yield found
    finally:
        # Only processes of this place have its directory in their environment.
        for process in Path('/proc').iterdir():
            with contextlib.suppress(OSError, ValueError):
                if f'={found.path}/'.encode() in \
                        (process / 'environ').read_bytes():
                    os.kill(int(process.name), 9)
        shutil.rmtree(found.path, ignore_errors=True)


def two_hosts(found):
    """A place whose second node is on another host, with keys."""
    ports = free_ports(2)
    found.write(re.sub(r'PORT(\d)', lambda m: str(ports[int(m.group(1))]),
                       HOSTS).replace('/KEYS', str(found.path / 'keys')))
    found.tool('keys')


def on_other_host(found, text):
    """Python that runs ahead of the tool on all hosts but this one."""
    (found.path / 'sitecustomize.py').write_text(text)
    ssh = found.path / 'bin' / 'ssh'
    ssh.write_text(ssh.read_text().replace(
        'exec', f'export PYTHONPATH={found.path}\nexec'))


def made(path, *more):
    """An image of QEMU's own program."""
    if not QEMU_IMG.exists():
        pytest.skip(f'needs {QEMU_IMG}: scripts/distkvm build')
    subprocess.run([QEMU_IMG, 'create', '-q', '-f', 'qcow2', *more, path],
                   check=True, cwd=path.parent)
