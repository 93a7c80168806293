# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands of a document, executed where they disturb nobody.

A block "code-block:: console" has commands after "# " or "hostA# ", their further
lines after "> ", and what they print."""

import contextlib
import os
import pty
import re
import shlex
import shutil
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from distkvm import apt
from distkvm.common import BUILD, TOP, Problem, quiet

BLOCK = re.compile(r'^\.\. code-block:: console\n\n((?:    .*\n|\n)+)', re.M)
COMMAND = re.compile(r'(host[A-Z])?# (.*)')
MORE = '> '
ANYTHING = '...'
SERVER = BUILD / 'download' / 'openssh-server'
# All that the commands change: /etc, /run, and the home directory of root.
ENTER = '''set -e
mount -t tmpfs tmpfs /run
mkdir {home}/etc
cp -a /etc/. {home}/etc
mount --bind {home}/etc /etc
sed -i '/^sshd:/d; s|^root:.*|root:x:0:0:root:{home}:/bin/bash|' /etc/passwd
echo 'sshd:x:65533:65534::/run/sshd:/usr/sbin/nologin' >>/etc/passwd
test -s /etc/machine-id || tr -d - </proc/sys/kernel/random/uuid >/etc/machine-id
exec bash --norc
'''


@dataclass
class Step:
    line: int
    host: str
    command: str
    wanted: list = field(default_factory=list)


def steps(path):
    """Commands of a document, in order, and what they shall print."""
    text, found = path.read_text(), []
    for block in BLOCK.finditer(text):
        first = text.count('\n', 0, block.start(1)) + 1
        for line, words in enumerate(block.group(1).splitlines(), first):
            words = words[4:]
            command = COMMAND.fullmatch(words)
            if command:
                found.append(Step(line, *command.groups()))
            elif words.startswith(MORE) and not found[-1].wanted:
                found[-1].command += '\n' + words.removeprefix(MORE)
            elif words:
                found[-1].wanted.append(words)
    return found


def sshd(folder):
    """A folder with sshd: of Debian's package, which is not installed, since
    that would start a server on this host."""
    installed = shutil.which('sshd', path='/usr/sbin')
    if installed:
        return Path(installed).parent
    for package in ('openssh-server', 'libwrap0'):
        root = SERVER / package
        if not root.exists():
            deb = apt.download_stock(SERVER / f'{package}-deb', package)
            quiet(['dpkg', '-x', deb, root])
    if (SERVER / 'openssh-server/usr/lib/openssh/sshd-session').exists():
        pytest.skip('sshd 9.8 or later finds its parts only where it is '
                    'installed: apt-get install openssh-server')
    library = next((SERVER / 'libwrap0').rglob('libwrap.so.0'))
    folder.mkdir()
    wrapper = folder / 'sshd'
    wrapper.write_text(f"""#!/bin/sh
exec env LD_LIBRARY_PATH={shlex.quote(str(library.parent))} \\
    {shlex.quote(str(SERVER / 'openssh-server/usr/sbin/sshd'))} "$@"
""")
    wrapper.chmod(0o755)
    return folder


class Shell:
    """Root's shell in namespaces of its own; all processes in them end with
    it."""

    def __init__(self, home):
        self.home = home
        # A line of its own, whatever was printed before.
        self.mark = f'-- the end of a command in {home} --'
        self.env = {
            'HOME': str(home), 'TERM': 'dumb', 'LANG': 'C.UTF-8',
            'PATH': f"{sshd(home / 'bin')}:{os.environ['PATH']}:"
                    '/usr/sbin:/sbin'}
        self.process = subprocess.Popen(
            ['unshare', '--mount', '--net', '--pid', '--ipc', '--fork',
             '--kill-child', '--mount-proc', 'sh', '-c',
             ENTER.format(home=shlex.quote(str(home)))],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT, text=True, cwd=TOP, errors='replace',
            env=self.env)

    def run(self, command):
        """What a command prints, and its exit status."""
        # A command must not read those that come after it.
        self.process.stdin.write(f'{{ {command}\n}} </dev/null\n'
                                 f'dk=$?; echo; echo "{self.mark} $dk"\n')
        self.process.stdin.flush()
        said = []
        for line in self.process.stdout:
            if line.startswith(self.mark):
                return (''.join(said).removesuffix('\n'),
                        int(line.removeprefix(self.mark)))
            said.append(line)
        raise Problem('the shell has ended: ' + ''.join(said))

    @contextlib.contextmanager
    def at_terminal(self, host, command):
        """A command's process at a host, and the other end of its terminal."""
        first, = Path(f'/proc/{self.process.pid}/task/{self.process.pid}/'
                      'children').read_text().split()
        ours, theirs = pty.openpty()
        process = subprocess.Popen(
            ['nsenter', '-t', first, '-m', '-n', '-p', '-i', f'--wd={TOP}',
             'setsid', '--ctty', '--wait', 'ip', 'netns', 'exec', host, 'bash',
             '--norc', '-c', command], stdin=theirs, stdout=theirs,
            stderr=theirs, env=self.env)
        os.close(theirs)
        try:
            yield process, ours
        finally:
            process.kill()
            process.wait()
            os.close(ours)

    def end(self):
        self.process.kill()
        self.process.wait()
        self.process.stdin.close()
        self.process.stdout.close()


@contextlib.contextmanager
def shell():
    # Paths of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix='dk-',
                                     ignore_cleanup_errors=True) as name:
        found = Shell(Path(name))
        try:
            yield found
        finally:
            found.end()


def pattern(wanted):
    """Lines of a document: "..." is anything, alone any lines, and any number
    of blanks is any other."""
    text = ''
    for line in wanted:
        if line.strip() == ANYTHING:
            text += r'(?:.*\n)*'
        else:
            text += ' *' + ' +'.join('.*'.join(map(
                re.escape, word.split(ANYTHING))) for word in line.split()) + \
                ' *\n'
    return re.compile(text)


def in_host(step):
    """The command of a step, in its host's namespace."""
    if not step.host:
        return step.command
    return f'ip netns exec {step.host} bash --norc -c ' + \
        shlex.quote(step.command)


def follow(path, inside, until=None):
    """Run the commands of a document, up to the one that has these words; how
    many there were."""
    found = steps(path)
    if until:
        found = found[:next(n for n, s in enumerate(found)
                            if until in s.command)]
    for step in found:
        said, status = inside.run(in_host(step))
        said = said.replace(str(inside.home), '/root')
        lines = ''.join(f'{line.rstrip()}\n' for line in
                        said.splitlines() if line.strip())
        # "..." would be a traceback as well.
        if status or 'Traceback' in said or \
                not pattern(step.wanted).fullmatch(lines):
            wanted = '\n'.join(step.wanted)
            raise Problem(f'{path.relative_to(TOP)}:{step.line}: '
                          f'{step.command}\nshould print:\n{wanted}\n'
                          f'and prints, with exit status {status}:\n'
                          f'{said}')
    return len(found)
