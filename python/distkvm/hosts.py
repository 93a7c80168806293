# SPDX-License-Identifier: GPL-2.0-or-later
"""Hosts that are network namespaces of this one."""

import os
import subprocess

from .common import quiet


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
