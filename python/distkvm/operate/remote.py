# SPDX-License-Identifier: GPL-2.0-or-later
"""The hosts of a cluster file: this one, and others by ssh.

On another host the same tool answers (operate/host.py), at the path `distkvm`
of the file.  A Hosts object has each host once, whatever number of nodes it
has."""

import contextlib
import hashlib
import json
import re
import shlex
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from ..cluster_file import LOCAL, FileErrors
from ..common import GET, TOP, Problem, say
from . import host as this_host
from .state import State

CONNECT_SECONDS = 10
# For an answer, on a host under load.
ANSWER_SECONDS = 120
# A user's ssh_config is for sessions: connections that they share know nothing
# of these limits, two sessions cannot forward the same port, and a command of
# its own would run in place of ours.
OPTIONS = {'BatchMode': 'yes', 'ConnectTimeout': CONNECT_SECONDS,
           # ssh notices within 15 s that the network or the host is gone.
           'ServerAliveInterval': 5, 'ServerAliveCountMax': 3,
           'ControlPath': 'none', 'ClearAllForwardings': 'yes',
           'ForwardAgent': 'no', 'ForwardX11': 'no', 'RemoteCommand': 'none'}
SSH = ['ssh', '-T', *(word for key, value in OPTIONS.items()
                      for word in ('-o', f'{key}={value}')), '--']
SSH_FAILED, NOT_EXECUTABLE, NOT_FOUND = 255, 126, 127
MACHINE_ID = Path('/etc/machine-id')
THREADS = 64


class HostProblem(Problem):
    """A host that gives no answer, or none that helps; `key` of the file is to
    blame.  A reason that has its remedy needs no other."""

    def __init__(self, key, reason, remedy=''):
        self.key, self.reason, self.remedy = key, reason, remedy
        # There was no answer.
        self.silent = bool(remedy)
        super().__init__(f'{reason}, {remedy}' if remedy else reason)


def cluster_name(file):
    """Name of its directory on all hosts: the same for each use of a file,
    another for files of one name."""
    machine = MACHINE_ID.read_text(encoding='ascii') \
        if MACHINE_ID.exists() else ''
    path = Path(file.path).resolve()
    digest = hashlib.sha256(f'{machine}{path}'.encode()).hexdigest()
    stem = re.sub(r'[^\w-]', '_', path.stem, flags=re.A)[:24] or 'cluster'
    return f'{stem}-{digest[:8]}'


def place(key):
    """A host, as users read it."""
    return 'this host' if key == LOCAL else key[0]


class Here:
    """This host."""

    def __init__(self, path):
        self.path = path

    def answer(self, request):
        return this_host.answer(request)

    @staticmethod
    def problem(status, words):
        last = (words.strip().splitlines() or [f'exit status {status}'])[-1]
        return HostProblem('host', f'the tool failed on this host: {last}',
                           'see that its Python is there, and memory')

    def stream(self, args, **popen):
        """A process of the tool that reads and writes bytes."""
        return subprocess.Popen([sys.executable, str(TOP / 'scripts' /
                                                     'distkvm'),
                                 'host', *args], **popen)


class There:
    """A host that ssh reaches."""

    def __init__(self, target, path):
        self.target = target
        self.path = path

    def command(self, args):
        words = ' '.join(shlex.quote(a) for a in [self.path, 'host', *args])
        return [*SSH, self.target, words]

    def answer(self, request):
        try:
            done = subprocess.run(
                self.command(['answer']), input=json.dumps(request),
                capture_output=True, text=True, check=False,
                # Ctrl-C is for us, who then end the nodes by ssh.
                start_new_session=True, timeout=ANSWER_SECONDS, errors='replace')
        except FileNotFoundError:
            raise HostProblem('host', 'there is no ssh here', 'apt-get '
                              'install openssh-client') from None
        except subprocess.TimeoutExpired:
            raise HostProblem('host', f'{self.target} did not answer within '
                              f'{ANSWER_SECONDS} s', 'see what keeps it '
                              'busy') from None
        if done.returncode:
            raise self.problem(done.returncode, done.stderr)
        try:
            # Profiles of shells may print lines before.
            found = json.loads(done.stdout.splitlines()[-1])
            if found['format'] == this_host.FORMAT:
                return found
        except (ValueError, IndexError, TypeError, KeyError):
            pass
        raise HostProblem('distkvm', f'{self.path} on {self.target} did not '
                          'answer as this tool does', 'use the same distkvm '
                          'on all hosts')

    def problem(self, status, words):
        last = (words.strip().splitlines() or [f'exit status {status}'])[-1]
        if status == SSH_FAILED:
            return HostProblem('host', f'{self.target} cannot be reached: '
                               f'{last}', f"see that 'ssh -o BatchMode=yes "
                               f"{self.target} true' works (ssh-copy-id "
                               f'{self.target} gives it your key)')
        if status in (NOT_FOUND, NOT_EXECUTABLE):
            return HostProblem('distkvm', f'{self.path} is no program on '
                               f'{self.target}', f'{GET} there, or write '
                               'distkvm = "PATH" of the tool on that host')
        return HostProblem('distkvm', f'{self.path} failed on {self.target}: '
                           f'{last}', 'use the same distkvm on all hosts')

    def stream(self, args, **popen):
        return subprocess.Popen(self.command(args), **popen)


class Hosts:
    """All hosts of a file, and requests to them at the same time."""

    def __init__(self, file):
        self.file = file
        self.name = cluster_name(file)
        self.hosts = {}
        # Nodes of each host, by the host's place in the file; a former host
        # has none.
        self.nodes = {}
        # Errors of hosts that are not asked again; None: each is, each time.
        self.given_up = None
        for node in file.nodes:
            key = self.key(node)
            self.nodes.setdefault(key, []).append(node)
            if key not in self.hosts:
                self.hosts[key] = Here(node.distkvm) if node.host == LOCAL \
                    else There(node.host, node.distkvm)

    @staticmethod
    def key(node):
        return node.host if node.host == LOCAL else (node.host, node.distkvm)

    def of(self, node):
        return self.hosts[self.key(node)]

    def remember(self):
        """Keep the hosts for recall(), whatever becomes of the file."""
        pairs = [[key, host.path] if key == LOCAL else list(key)
                 for key, host in self.hosts.items()]
        with self.kept() as state:
            state.keep_hosts(pairs)

    def recall(self):
        """Also ask hosts that were remembered and that the file does not name
        any more; their keys."""
        named = {node.host for node in self.file.nodes}
        # The nodes of a host have one directory, whichever tool looks there.
        former = {LOCAL if host == LOCAL else (host, path): path
                  for host, path in State(self.name).kept_hosts()
                  if host not in named}
        for key, path in former.items():
            self.hosts[key] = Here(path) if key == LOCAL else There(*key)
            self.nodes[key] = []
        return list(former)

    def drop(self):
        """Let recall() find none, unless a node runs somewhere, as another
        start has it."""
        if not State(self.name).kept_hosts():
            return
        with self.kept() as state:
            answers, errors = self.each(lambda nodes: {'verb': 'runs'})
            if not errors and not any(
                    nodes for found in answers.values()
                    for nodes in found['runs'].values()):
                state.drop_hosts()

    @contextlib.contextmanager
    def kept(self):
        """The state where the hosts are kept, for one tool at a time."""
        state = State(self.name)
        try:
            with state.locked():
                yield state
        except OSError as error:
            raise Problem(f'the hosts of the cluster cannot be kept in '
                          f'{state.path}: {error.strerror}: see that it may be '
                          'written, and has space') from None

    def give_up(self):
        """From now on a host that gives no answer is asked once."""
        if self.given_up is None:
            self.given_up = {}

    def problem(self, key, problem):
        """A HostProblem as an error of the file."""
        if not self.nodes[key]:
            return f'{self.file.path} does not name {place(key)} any more, ' \
                f'where nodes may run: {problem}'
        return self.file.node_error(self.nodes[key][0], problem.key,
                                    problem.reason, problem.remedy)

    def each(self, make, keys=None):
        """Answers by host, and by host the errors of those that gave none.

        `make` gives the request for a host's nodes, None to leave it out."""
        answers, wanted = {}, {}
        keys = list(self.hosts if keys is None else keys)
        errors = {key: error for key, error in (self.given_up or {}).items()
                  if key in keys}
        for key in keys:
            request = make(self.nodes[key])
            if request is not None and key not in errors:
                wanted[key] = {'cluster': self.name, **request}
        with ThreadPoolExecutor(THREADS) as pool:
            jobs = {key: pool.submit(self.ask, key, request)
                    for key, request in wanted.items()}
        for key, job in jobs.items():
            try:
                found = job.result()
                if 'problem' in found:
                    where = '' if key == LOCAL else f'on {key[0]}: '
                    raise HostProblem(found.get('key', 'host'),
                                      where + found['problem'])
                answers[key] = found
            except HostProblem as problem:
                errors[key] = self.problem(key, problem)
                if self.given_up is not None and problem.silent:
                    say(errors[key])
                    self.given_up[key] = errors[key]
        return answers, errors

    def ask(self, key, request):
        """The answer of a host, and between which times of this host it was
        made."""
        before = time.time()
        found = self.hosts[key].answer(request)
        return {**found, 'between': (before, time.time())}

    def all(self, make):
        """Answers of all hosts; FileErrors if one has none."""
        answers, errors = self.each(make)
        if errors:
            raise FileErrors(list(errors.values()))
        return answers
