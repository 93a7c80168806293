# SPDX-License-Identifier: GPL-2.0-or-later
"""A host's share of a cluster that runs: a directory of the user's own.

It is below XDG_STATE_HOME (~/.local/state), not below XDG_RUNTIME_DIR: that is
removed with the user's last session, while nodes go on.

node-K.json   the process, its wrapper, and the run that started it;
              node-K.pid and node-K.exit are the wrapper's
cancelled     runs that have been ended: a start that comes late refuses
node-K.log    words of the node; node-K.log.old has those of before
qmp-K         QMP
console       serial port of the guest; node 0's host only
console.log   its words; console.log.old has those of before
net           Unix sockets of the cluster
lock, reader  whose process id they have starts or ends nodes, reads the console
hosts         those of the file at the last start; where that was only"""

import contextlib
import fcntl
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import stat
import subprocess
import time
from pathlib import Path

from ..cluster_command import CONSOLE
from ..common import Problem
from .process import Process, identify, session, state_and_start

# Bytes of a Unix socket's path, without the final zero.
SOCKET_PATH_MAX = 107
LONGEST = 'net/node-63.sock'
# Read whole: a shell reads a file as it goes, and a newer tree may replace it.
WRAPPER = Path(__file__).with_name('wrapper.sh').read_text(encoding='ascii')
# A log that is longer becomes log.old.
LOG_BYTES, LOG_SECONDS = 16 << 20, 5
FORK_SECONDS = 30
SETTLE_SECONDS = 10
# Longer than a start takes, and shorter than the time for an answer.
LOCK_SECONDS = FORK_SECONDS + 10
# Exit statuses that a shell gives for signals begin above.
SIGNALS = 128
MACHINE_ID = Path('/etc/machine-id')
MACHINE = re.compile(r'[\da-f]{32}')
HOST_DIGITS = 8


def host_name():
    """A name of this host, which hosts that share a home directory need."""
    text = ''
    with contextlib.suppress(OSError, UnicodeError):
        text = MACHINE_ID.read_text(encoding='ascii').strip()
    # Images of containers have an empty one, or a word in its place.
    if not MACHINE.fullmatch(text):
        text = platform.node()
    return hashlib.sha256(text.encode()).hexdigest()[:HOST_DIGITS]


def base():
    """Where the clusters of this user on this host are."""
    home = Path(os.environ.get('XDG_STATE_HOME', ''))
    # QEMU has another working directory than the tool.
    if not home.is_absolute():
        home = Path.home() / '.local' / 'state'
    return home / 'distkvm' / host_name()


@contextlib.contextmanager
def hold(path, seconds, words):
    """A lock that says whose it is; a Problem of these words, with the holder
    in place of {}, if it is not free within some seconds."""
    end = time.monotonic() + seconds
    with open(path, 'a+', encoding='ascii') as lock:
        while True:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > end:
                    lock.seek(0)
                    pid = lock.read().strip()
                    raise Problem(words.format(
                        f' (process {pid} of {platform.node()})' if pid
                        else '')) from None
            time.sleep(0.05)
        lock.truncate(0)
        lock.write(f'{os.getpid()}\n')
        lock.flush()
        yield


class State:
    """The directory of one cluster on this host."""

    def __init__(self, name):
        if '/' in name or name.startswith('.'):
            raise Problem(f"'{name}' is no name of a cluster")
        self.path = base() / name

    # -------------------------------------------------------------- paths

    def file(self, node, suffix):
        return self.path / f'node-{node}.{suffix}'

    def log(self, node):
        return self.file(node, 'log')

    def qmp(self, node):
        return self.path / f'qmp-{node}'

    @property
    def console(self):
        return self.path / CONSOLE

    @property
    def console_log(self):
        return self.path / f'{CONSOLE}.log'

    def make(self):
        """The directory, which only we enter."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            self.path.mkdir(mode=0o700)
        self.examine()

    def examine(self):
        """Whether it is fit, or will be when it is there."""
        if len(os.fsencode(self.path / LONGEST)) > SOCKET_PATH_MAX:
            raise Problem(f'{self.path} is too long for Unix sockets, set '
                          'XDG_STATE_HOME to a shorter path')
        try:
            found = self.path.lstat()
        except FileNotFoundError:
            return
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() \
                or stat.S_IMODE(found.st_mode) & 0o077:
            raise Problem(f'{self.path} is no directory that you alone may '
                          f'enter: remove it, or chmod 700 {self.path}')

    def unwritable(self):
        """Why the directory cannot be made or written to, as facts.py has
        reasons."""
        path = self.path
        while not path.exists() and path != path.parent:
            path = path.parent
        if os.access(path, os.W_OK | os.X_OK):
            return None
        return (f'{path} cannot be written, where logs of nodes are kept',
                'set XDG_STATE_HOME there to another directory')

    @contextlib.contextmanager
    def locked(self):
        """One start or end at a time, also of other tools."""
        self.make()
        with hold(self.path / 'lock', LOCK_SECONDS, (
                'another distkvm{} starts or ends nodes of this cluster, and '
                'does not come to its end: end that process')):
            yield

    # -------------------------------------------------------------- hosts

    def keep_hosts(self, hosts):
        """Pairs of a host and the path of its tool, on the host where the
        cluster is started from."""
        self.make()
        self.put('hosts', hosts)

    def kept_hosts(self):
        with contextlib.suppress(OSError, ValueError):
            return json.loads((self.path / 'hosts').read_text())
        return []

    def drop_hosts(self):
        (self.path / 'hosts').unlink(missing_ok=True)

    def put(self, name, words):
        """A file of JSON, whole or not at all."""
        partial = self.path / f'{name}.partial'
        partial.write_text(json.dumps(words))
        partial.replace(self.path / name)

    # -------------------------------------------------------------- nodes

    def record(self, node):
        """What was written of a node when it was started."""
        with contextlib.suppress(OSError, ValueError):
            words = json.loads(self.file(node, 'json').read_text())
            if isinstance(words, dict):
                return words
        return {}

    def write(self, node, record):
        self.put(f'node-{node}.json', record)

    def run(self, node):
        """The run that has started a node."""
        return self.record(node).get('run', '')

    def wrapper(self, node):
        try:
            return Process(**self.record(node)['wrapper'])
        except (TypeError, KeyError):
            return None

    def process(self, node):
        """The process of a node, which may have ended; None if the node was
        not started."""
        words = self.record(node)
        with contextlib.suppress(KeyError):
            return Process(words['pid'], words['start'], words['boot'])
        wrapper = self.wrapper(node)
        # The tool has ended while it started the node.
        with contextlib.suppress(OSError, ValueError):
            pid = int(self.file(node, 'pid').read_text())
            if wrapper and not wrapper.of_another_boot() and \
                    session(pid) == wrapper.pid:
                return identify(pid)
        return wrapper

    def signal(self, node, number):
        process = self.process(node)
        if process and process == self.wrapper(node):
            self.signal_group(process, number)
        elif process:
            process.signal(number)

    @staticmethod
    def signal_group(wrapper, number):
        """A signal for a wrapper that lives, and for its node."""
        if wrapper and wrapper.alive():
            with contextlib.suppress(ProcessLookupError):
                os.killpg(wrapper.pid, number)

    def alive(self, node):
        process = self.process(node)
        return bool(process and process.alive())

    def exit_status(self, node):
        """Status of a node that has ended, negative for a signal; None if
        nobody knows."""
        try:
            status = int(self.file(node, 'exit').read_text())
        except (OSError, ValueError):
            return None
        return SIGNALS - status if status > SIGNALS else status

    def settled_status(self, node):
        """The same, a moment after its end: its wrapper writes it, and ends."""
        end = time.monotonic() + SETTLE_SECONDS
        wrapper = self.wrapper(node)
        while self.exit_status(node) is None and wrapper and wrapper.alive() \
                and time.monotonic() < end:
            time.sleep(0.02)
        return self.exit_status(node)

    def started(self):
        return sorted(int(p.stem.removeprefix('node-'))
                      for p in self.path.glob('node-*.json'))

    def running(self, runs=None):
        """Nodes that run, of these runs if any are named."""
        return [n for n in self.started()
                if (runs is None or self.run(n) in runs) and self.alive(n)]

    def cancel(self, runs):
        """Let these runs start nothing from now on; a line of 17 bytes for
        each time that a cluster is ended."""
        self.make()
        with contextlib.suppress(OSError), \
                open(self.path / 'cancelled', 'a', encoding='ascii') as file:
            file.write(''.join(f'{run}\n' for run in runs))

    def admit(self, run, nodes):
        """A Problem unless a run may start these nodes."""
        with contextlib.suppress(FileNotFoundError):
            if run in (self.path / 'cancelled').read_text().split():
                raise Problem('this start has been given up')
        for node in nodes:
            if self.alive(node):
                raise Problem(f'node {node} runs already, as process '
                              f'{self.process(node).pid}: end it with '
                              'distkvm down')

    def start(self, node, command, cwd, run):
        """Start a node that goes on when the tool has ended."""
        self.admit(run, [node])
        self.forget(node)
        console = os.devnull if node else self.console_log
        for log in (self.log(node), Path(console)):
            if log.is_file():
                log.replace(f'{log}.old')
        # The wrapper may empty it at any time.
        fd = os.open(self.log(node), os.O_WRONLY | os.O_CREAT | os.O_EXCL |
                     os.O_APPEND, 0o600)
        with open(fd, 'wb') as file:
            file.write(f'$ {shlex.join(command)}\n'.encode())
            file.flush()
            # The wrapper lives on.
            # pylint: disable=consider-using-with
            wrapper = subprocess.Popen(
                ['sh', '-c', WRAPPER, str(self.path / f'node-{node}'),
                 str(LOG_BYTES), str(LOG_SECONDS), str(console),
                 *command], stdin=subprocess.PIPE, stdout=file,
                stderr=file, cwd=cwd, umask=0o077, start_new_session=True)
        try:
            record = {'run': run, 'wrapper': identify(wrapper.pid).as_json()}
            self.write(node, record)
            with wrapper.stdin:
                wrapper.stdin.write(b'start\n')
            self.write(node, {**record,
                              **self.wrapped(node, wrapper).as_json()})
        except BaseException:
            # Nobody has waited for the wrapper yet: its group is still it.
            with contextlib.suppress(ProcessLookupError):
                os.killpg(wrapper.pid, signal.SIGKILL)
            wrapper.wait()
            self.forget(node)
            raise

    def wrapped(self, node, wrapper):
        """The process that the wrapper has started."""
        end = time.monotonic() + FORK_SECONDS
        while True:
            with contextlib.suppress(OSError):
                text = self.file(node, 'pid').read_text()
                if text.endswith('\n'):
                    break
            if state_and_start(wrapper.pid)[0] in ('Z', None) or \
                    time.monotonic() > end:
                raise Problem(f'node {node} could not be started: see '
                              f'{self.log(node)}')
            time.sleep(0.01)
        # One that has ended at once has left its status, and no process.
        return identify(int(text)) or Process(int(text), 0, '')

    def forget(self, node):
        """Remove all but the logs of a node that has ended."""
        # A wrapper that is late would write the status of the next node.
        self.signal_group(self.wrapper(node), signal.SIGKILL)
        for suffix in ('json', 'pid', 'exit', 'new', 'json.partial'):
            self.file(node, suffix).unlink(missing_ok=True)
        self.qmp(node).unlink(missing_ok=True)

    def forget_runs(self, runs):
        """Forget the nodes of these runs that have ended; with the last one
        only logs stay."""
        for node in self.started():
            if self.run(node) in runs and not self.alive(node):
                self.forget(node)
        if self.started():
            return
        self.console.unlink(missing_ok=True)
        shutil.rmtree(self.path / 'net', ignore_errors=True)
