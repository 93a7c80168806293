# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm keys: a shared key for all hosts of a cluster file."""

import contextlib

from .. import cluster_file
from ..cluster_file import FileErrors
from ..common import Problem, say
from ..keys import new_psk
from ..operate.remote import Hosts


def places(file, hosts):
    """A node for each directory of each host."""
    return {(hosts.key(n), n.keys): n for n in file.nodes}.values()


def step(file, hosts, name, done=None, **more):
    """A step of keys.put_psk in all places: its answers, by node; FileErrors
    when all have tried.  `done` gets the nodes of places that took it, also
    if it ends by Ctrl-C."""
    answers, problems = {}, []
    for node in places(file, hosts):
        found, errors = hosts.each(lambda _, node=node: {
            'verb': 'psk', 'directory': node.keys, 'step': name, **more},
            [hosts.key(node)])
        problems += errors.values()
        if not errors:
            answers[node.id] = found[hosts.key(node)]['exists']
            if done is not None:
                done.append(node)
    if problems:
        raise FileErrors(problems)
    return answers


def put(file, hosts, key):
    """The new key beside the old one, on all hosts or none."""
    try:
        step(file, hosts, 'put', key=key)
    except BaseException:
        with contextlib.suppress(Problem):
            step(file, hosts, 'drop', key=key)
        say('no key was changed')
        raise


def use(file, hosts, key):
    """The new key in place of the old one."""
    done = []
    try:
        step(file, hosts, 'use', done, key=key)
    except BaseException:
        left = [n for n in places(file, hosts) if n not in done]
        for words, nodes in (('has the new key', done),
                             ('may have the old key', left)):
            for node in nodes:
                say(f'{node.host} {words} in {node.keys}')
        say('hosts may have different keys: write keys --renew again, for a '
            'key that is the same on all')
        raise


def refuse_overwriting(file, there):
    errors = [file.node_error(file.nodes[n], 'keys',
                              f'{file.nodes[n].keys} has a key already',
                              'write --renew to replace it on all hosts')
              for n, exists in there.items() if exists]
    if errors:
        raise FileErrors(errors)


def main(args):
    file = cluster_file.load(args.file)
    if file.credentials != 'psk':
        raise FileErrors([file.error(
            ('cluster', 0, 'credentials'), f'"{file.credentials}" have no '
            'shared key', 'write credentials = "psk"; docs/security.rst '
            'shows how certificates are made')])
    hosts = Hosts(file)
    there = step(file, hosts, 'look')
    if not args.renew:
        refuse_overwriting(file, there)
    key = new_psk()
    put(file, hosts, key)
    use(file, hosts, key)
    for number in there:
        node = file.nodes[number]
        say(f'{node.keys}/keys.psk is new on {node.host}')
    if any(there.values()):
        say('nodes that run go on with the old key')
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'keys', help='make a shared key on all hosts of a cluster file')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--renew', action='store_true',
                      help='replace a key that is there')
    verb.set_defaults(function=main)
