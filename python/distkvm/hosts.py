# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that are namespaces of this one."""

import os
import subprocess
import time
from pathlib import Path

from .cluster import TIED
from .common import Problem, quiet

HOLD_SECONDS = 10


def without_kvm(_):
    """A command before that of a node, for a host that has no KVM."""
    hide = 'mount --bind /dev/null /dev/kvm && exec "$@"'
    return ['unshare', '--mount', 'sh', '-c', hide, 'sh']


class Hosts:
    """Two hosts made of namespaces, joined by a veth pair."""

    def __init__(self):
        tag = f'dk{os.getpid() % 10000}'
        self.names = [f'{tag}a', f'{tag}b']
        self.links = [f'{tag}va', f'{tag}vb']
        self.addresses = ['10.231.7.1', '10.231.7.2']

    def __enter__(self):
        for name in self.names:
            quiet(['ip', 'netns', 'add', name])
        quiet(['ip', 'link', 'add', self.links[0], 'type', 'veth', 'peer',
               'name', self.links[1]])
        for name, link, address in zip(self.names, self.links,
                                       self.addresses):
            quiet(['ip', 'link', 'set', link, 'netns', name])
            inside = ['ip', '-n', name]
            quiet([*inside, 'address', 'add', f'{address}/24', 'dev', link])
            quiet([*inside, 'link', 'set', link, 'up'])
            quiet([*inside, 'link', 'set', 'lo', 'up'])
        return self

    def prefix(self, node):
        return ['ip', 'netns', 'exec', self.names[node], 'unshare', '--ipc',
                '--']

    def cut(self):
        quiet(['ip', '-n', self.names[0], 'link', 'set', self.links[0],
               'down'])

    def __exit__(self, *unused):
        for name in self.names:
            subprocess.run(['ip', 'netns', 'del', name], check=False)


class Bridged:
    """Hosts with networks, mounts, process ids and IPC of their own, joined by
    a bridge; each may have several nodes."""

    def __init__(self, count):
        self.addresses = [f'10.231.8.{n + 1}' for n in range(count)]
        self.holders = []
        self.pids = []

    def __enter__(self):
        try:
            for _ in self.addresses:
                self.hold()
            self.join()
        except BaseException:
            self.__exit__()
            raise
        return self

    def hold(self):
        """Namespaces, held by a process that does nothing."""
        # pylint: disable-next=consider-using-with
        holder = subprocess.Popen(
            [*TIED, 'unshare', '--net', '--mount', '--pid', '--ipc', '--fork',
             '--kill-child', '--mount-proc', 'sleep', 'infinity'],
            stdin=subprocess.DEVNULL)
        self.holders.append(holder)
        children = Path(f'/proc/{holder.pid}/task/{holder.pid}/children')
        end = time.monotonic() + HOLD_SECONDS
        while time.monotonic() < end:
            found = children.read_text().split()
            # Until then it is a copy of its parent, in other namespaces.
            if found and Path(f'/proc/{found[0]}/comm').read_text() == \
                    'sleep\n':
                self.pids.append(int(found[0]))
                return
            time.sleep(0.01)
        raise Problem('no namespaces come about')

    def ip(self, host, *args):
        quiet(['nsenter', f'--net=/proc/{self.pids[host]}/ns/net', 'ip',
               *args])

    def join(self):
        """The first host has the bridge, and is on it."""
        self.ip(0, 'link', 'add', 'bridge', 'type', 'bridge')
        for host, address in enumerate(self.addresses):
            self.ip(host, 'link', 'set', 'lo', 'up')
            link = 'bridge' if host == 0 else 'uplink'
            if host:
                self.ip(0, 'link', 'add', f'port{host}', 'type', 'veth',
                        'peer', 'name', link, 'netns', self.pids[host])
                self.ip(0, 'link', 'set', f'port{host}', 'master', 'bridge',
                        'up')
            self.ip(host, 'address', 'add', f'{address}/24', 'dev', link)
            self.ip(host, 'link', 'set', link, 'up')

    def cut(self, host):
        """Take a host off the bridge; it is not the first one."""
        self.ip(0, 'link', 'set', f'port{host}', 'down')

    def enter(self, host):
        """A command before one of a host; that one is killed with it."""
        return ['nsenter', '-t', str(self.pids[host]), '--net', '--mount',
                '--pid', '--ipc', '--', *TIED]

    def prefix(self, host, cpu):
        """A command before that of a node, which runs on one CPU."""
        return [*self.enter(host), 'taskset', '-c', str(cpu)]

    def __exit__(self, *unused):
        for holder in self.holders:
            holder.kill()
            holder.wait()
