# SPDX-License-Identifier: GPL-2.0-or-later
"""A libvirtd of the system in a place of its own, and virsh.

It has mounts and process ids of its own: it sees no domain of this host's
libvirt, and nothing of it outlives its test.  It sees no systemd and no control
groups either: machined would take its process ids for those of the host."""

import contextlib
import os
import pty
import re
import select
import shlex
import shutil
import signal
import subprocess
import tempfile
import termios
import time
from pathlib import Path

from distkvm.cluster import TIED
from distkvm.common import TOP, Problem

LIBVIRTD = '/usr/sbin/libvirtd'
SECONDS = 60
LOG_CHARACTERS = 4000
RUNNING = r'running \(.*\)'
PAUSED = r'paused \(.*\)'
# Directories that libvirtd calls its own, wherever its sockets are.
OWN = ('/etc/libvirt', '/run/libvirt', '/var/lib/libvirt', '/var/log/libvirt',
       '/var/cache/libvirt')
DAEMON_CONF = '''unix_sock_dir = "{path}"
auth_unix_ro = "none"
auth_unix_rw = "none"
'''
# Of docs/libvirt/README.rst, and of a machine without virtlogd.
QEMU_CONF = '''user = "{user}"
group = "{user}"
stdio_handler = "file"
security_driver = "none"
{devices}
'''
# Debian's libvirt wants its user, whom the package libvirt-daemon-system makes.
NAMES = {'passwd': 'libvirt-qemu:x:64055:64055::/var/lib/libvirt:/bin/false\n',
         'group': 'libvirt-qemu:x:64055:\n'}
# Rights that such a user needs, beside the list of devices.
RIGHTS = '''chmod 711 {path}
mount -t tmpfs tmpfs /mnt
cp -a /dev/userfaultfd /mnt
chown root:64055 /mnt/userfaultfd
chmod 660 /mnt/userfaultfd
mount --bind /mnt/userfaultfd /dev/userfaultfd
'''
# A shell is the first process, waits for those that libvirtd leaves, and starts
# it again.
SCRIPT = '''set -e
mount --make-rprivate /
{before}
umount -R -l /sys/fs/cgroup 2>/dev/null || true
for hidden in /run/dbus /run/systemd; do
    [ ! -d $hidden ] || mount -t tmpfs tmpfs $hidden
done
unset DBUS_SYSTEM_BUS_ADDRESS
for own in {own}; do
    mkdir -p "$own"
    mount -t tmpfs tmpfs "$own"
done
cp {path}/qemu.conf /etc/libvirt/
for names in passwd group; do
    grep -q ^libvirt-qemu: /etc/$names && continue
    cp /etc/$names {path}/
    cat {path}/$names.user >>{path}/$names
    mount --bind {path}/$names /etc/$names
done
while true; do
    {libvirtd} -f {path}/libvirtd.conf -p {path}/pid || true
    sleep 0.2
done
'''


def missing():
    """Why there can be no libvirtd here, or None."""
    if not Path(LIBVIRTD).exists() or not shutil.which('virsh'):
        return 'needs libvirtd: apt-get install libvirt-daemon libvirt-clients'
    return None


def device_list():
    """The list of devices in the documentation, exactly."""
    text = (TOP / 'docs' / 'libvirt' / 'README.rst').read_text()
    block = re.search(r'    cgroup_device_acl = \[\n(.*?)\n    \]', text, re.S)
    return block.group(0)


class Libvirtd:
    """virsh() talks to it from outside; files in `path` are seen by both.

    `prefix` is a command that enters a host, `before` commands of a shell that
    runs ahead of the daemon, in its namespaces.  `user` is that of nodes."""

    def __init__(self, path, prefix=TIED, before='', user='root'):
        self.path = Path(path)
        self.prefix, self.before, self.user = prefix, before, user
        self.events_log = self.path / 'events'
        self.process = self.events = None

    def start(self):
        (self.path / 'libvirtd.conf').write_text(
            DAEMON_CONF.format(path=self.path))
        (self.path / 'qemu.conf').write_text(
            QEMU_CONF.format(devices=device_list(), user=self.user))
        for name, line in NAMES.items():
            (self.path / f'{name}.user').write_text(line)
        script = SCRIPT.format(own=' '.join(OWN), path=self.path,
                               libvirtd=LIBVIRTD, before=self.before)
        with open(self.path / 'log', 'ab') as log:
            self.process = subprocess.Popen(
                [*self.prefix, 'unshare', '--mount', '--pid', '--fork',
                 '--kill-child=KILL', '--mount-proc', 'sh', '-c', script],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        self.wait_ready()

    def wait_ready(self):
        end = time.monotonic() + SECONDS
        while self.virsh('list', check=False).returncode:
            if time.monotonic() > end or self.process.poll() is not None:
                words = (self.path / 'log').read_text()[-LOG_CHARACTERS:]
                raise Problem(f'libvirtd does not start: {words}')
            time.sleep(0.1)

    def restart(self, booted=False):
        """Like after an upgrade, or with `booted` after a boot of the host."""
        # Children of the first process are the daemon, and nodes.
        for child in self.children(self.inner()):
            if Path(f'/proc/{child}/exe').resolve() == Path(LIBVIRTD):
                if booted:
                    self.inside('run/libvirt/qemu/autostarted').unlink()
                os.kill(child, signal.SIGTERM)
                end = time.monotonic() + SECONDS
                while Path(f'/proc/{child}').exists():
                    if time.monotonic() > end:
                        raise Problem('libvirtd does not end')
                    time.sleep(0.05)
        self.wait_ready()
        if self.events:
            # Its connection ended with the daemon.
            self.events.kill()
            self.events.wait()
            self.watch()

    def watch(self):
        """Events of domains go to a log from now on."""
        with open(self.events_log, 'ab') as log:
            self.events = subprocess.Popen(
                [*TIED, *self.command('event', '--all', '--loop')],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def end(self):
        for process in (self.events, self.process):
            if process:
                process.kill()
                process.wait()

    # ---------------------------------------------------------------- virsh

    @property
    def uri(self):
        return f'qemu+unix:///system?socket={self.path}/libvirt-sock'

    def command(self, *args):
        return ['virsh', '-q', '-c', self.uri, *args]

    def virsh(self, *args, check=True):
        done = subprocess.run(self.command(*args), text=True, check=False,
                              capture_output=True, stdin=subprocess.DEVNULL,
                              timeout=SECONDS)
        if check and done.returncode:
            raise Problem(f'virsh {shlex.join(map(str, args))}: {done.stderr}')
        return done

    def refused(self, *args):
        """The error of a call that must fail."""
        done = self.virsh(*args, check=False)
        if not done.returncode:
            raise Problem(f'virsh {shlex.join(map(str, args))} succeeds: '
                          f'{done.stdout}')
        return done.stderr

    def state(self, domain):
        """State and reason, as "running (booted)"."""
        return self.virsh('domstate', '--reason', domain).stdout.strip()

    def wait_state(self, domain, wanted):
        end = time.monotonic() + SECONDS
        while not re.fullmatch(wanted, self.state(domain)):
            if time.monotonic() > end:
                raise Problem(f'{domain} is {self.state(domain)}, not {wanted}'
                              f'; its log:\n{self.log(domain)}')
            time.sleep(0.1)

    def log(self, domain):
        """The last words of a node."""
        path = self.inside(f'var/log/libvirt/qemu/{domain}.log')
        with contextlib.suppress(OSError):
            return path.read_text(errors='replace')[-LOG_CHARACTERS:]
        return ''

    def inside(self, path):
        """A file of its own, seen from here."""
        return Path(f'/proc/{self.inner()}/root') / path

    @staticmethod
    def children(pid):
        text = Path(f'/proc/{pid}/task/{pid}/children').read_text()
        return [int(word) for word in text.split()]

    def inner(self):
        """The first process of its namespaces, a shell."""
        pid = self.process.pid
        while Path(f'/proc/{pid}/comm').read_text() != 'sh\n':
            pid, = self.children(pid)
        return pid

    def pid(self, domain):
        """Of a node, as this side counts processes."""
        for child in self.children(self.inner()):
            words = Path(f'/proc/{child}/cmdline').read_bytes()
            if f'guest={domain},'.encode() in words:
                return child
        raise Problem(f'{domain} has no process')

    def wait_event(self, pattern):
        end = time.monotonic() + SECONDS
        while not re.search(pattern, self.events_log.read_text()):
            if time.monotonic() > end:
                raise Problem(f"no event '{pattern}':\n"
                              f'{self.events_log.read_text()}')
            time.sleep(0.1)


@contextlib.contextmanager
def libvirtd(user='root'):
    # Paths of Unix sockets are short.
    with tempfile.TemporaryDirectory(prefix='dk-virt-') as path:
        found = Libvirtd(path, user=user, before='' if user == 'root' else
                         RIGHTS.format(path=path))
        try:
            found.start()
            yield found
        finally:
            found.end()


@contextlib.contextmanager
def console(daemon, domain):
    """virsh at the guest's console: a terminal that echoes nothing itself."""
    ours, theirs = pty.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[3] &= ~(termios.ECHO | termios.ICANON)
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    process = subprocess.Popen(daemon.command('console', domain, '--force'),
                               stdin=theirs, stdout=theirs, stderr=theirs,
                               start_new_session=True)
    os.close(theirs)
    try:
        yield ours
        # Its way to leave.
        os.write(ours, b'\x1d')
        process.wait(SECONDS)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


def answers_at(terminal, domain):
    """The guest runs: it says each byte that it is told, once it listens."""
    end = time.monotonic() + SECONDS
    while time.monotonic() < end:
        os.write(terminal, b'~')
        if select.select([terminal], [], [], 0.5)[0] and \
                b'~' in os.read(terminal, 1000):
            return
    raise Problem(f'{domain}: the guest does not answer at its console')


def answers(daemon, domain):
    with console(daemon, domain) as terminal:
        answers_at(terminal, domain)
