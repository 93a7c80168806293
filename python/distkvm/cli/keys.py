# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm keys: a shared key or certificates, on all hosts of a cluster
file."""

import contextlib

from .. import cluster_file
from ..cluster_file import FileErrors
from ..common import Problem, say
from ..keys import PSK, PSK_USER, X509, new_certificates, new_psk
from ..operate.facts import host_port
from ..operate.remote import Hosts

DAYS, DAYS_MAX = 365, 3650
# Words for the keys of a kind.
WORDS = {'psk': 'a key', 'x509': 'certificates'}


def places(file, hosts):
    """The nodes of each directory of each host, by that."""
    found = {}
    for node in file.nodes:
        found.setdefault((hosts.key(node), node.keys), []).append(node)
    return found


def step(file, hosts, name, files, done=None):
    """A step of keys.put_files in all places, which get these files each: its
    answers, by the number of the place; FileErrors when all have tried.
    `done` gets the nodes of places that took it, also if it ends by Ctrl-C."""
    answers, problems = [], []
    for (key, directory), each in zip(places(file, hosts), files):
        found, errors = hosts.each(lambda _, each=each, to=directory: {
            'verb': 'keys', 'directory': to, 'step': name, 'files': each},
            [key])
        problems += errors.values()
        if not errors:
            answers.append(found[key]['exists'])
            if done is not None:
                done.append((key, directory))
    if problems:
        raise FileErrors(problems)
    return answers


def put(file, hosts, files):
    """The new keys beside the old ones, in all places or none."""
    try:
        for name in ('put', 'hold'):
            step(file, hosts, name, files)
    except BaseException:
        with contextlib.suppress(Problem):
            step(file, hosts, 'drop', files)
        say('no key was changed')
        raise


def use(file, hosts, files):
    """The new keys in place of the old ones."""
    done = []
    try:
        step(file, hosts, 'use', files, done)
    except BaseException:
        for place, nodes in places(file, hosts).items():
            new = 'has the new key' if place in done else \
                'may have the old key'
            say(f'{nodes[0].host} {new} in {nodes[0].keys}')
        say('hosts may have different keys: write keys --renew again, for '
            'keys that fit on all')
        raise


def refuse_overwriting(file, hosts, there):
    errors = [file.node_error(nodes[0], 'keys', f'{nodes[0].keys} has '
                              f'{WORDS[file.credentials]} already',
                              'write --renew to replace it on all hosts (no '
                              'copy is kept)')
              for nodes, exists in zip(places(file, hosts).values(), there)
              if exists]
    if errors:
        raise FileErrors(errors)


def make(file, hosts, days):
    """Files of new keys, for each place."""
    found = places(file, hosts).values()
    if file.credentials == 'psk':
        return [{PSK: f'{PSK_USER}:{new_psk()}\n'}] * len(found)
    return new_certificates(
        file.cluster.get('name', 'distkvm'),
        [[host_port(n.address)[0] for n in nodes] for nodes in found], days)


def main(args):
    file = cluster_file.load(args.file)
    if file.credentials not in WORDS:
        raise FileErrors([file.error(
            ('cluster', 0, 'credentials'), f'"{file.credentials}" have no '
            'keys', 'write credentials = "psk" or "x509"')])
    if not 1 <= args.days <= DAYS_MAX:
        raise Problem(f'--days: write a number from 1 to {DAYS_MAX}')
    hosts = Hosts(file)
    found = places(file, hosts)
    names = {'psk': [PSK], 'x509': X509}[file.credentials]
    there = step(file, hosts, 'look', [dict.fromkeys(names, '')] * len(found))
    if not args.renew:
        refuse_overwriting(file, hosts, there)
    files = make(file, hosts, args.days)
    put(file, hosts, files)
    use(file, hosts, files)
    for nodes in found.values():
        where = f'{nodes[0].keys} on {nodes[0].host}'
        if file.credentials == 'psk':
            say(f'a new key is in {where}')
        else:
            say(f'a new certificate is in {where}, for '
                f'{", ".join(dict.fromkeys(n.address for n in nodes))} and '
                f'{args.days} days')
    if file.credentials == 'x509':
        say("their authority's key is kept nowhere: write keys --renew for "
            'others')
    if any(there):
        say('nodes that run go on with the old keys')
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'keys', help='make keys on all hosts of a cluster file',
        epilog='A shared key for credentials = "psk", for "x509" an authority '
               'and a certificate for each host.')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--renew', action='store_true',
                      help='replace keys that are there')
    verb.add_argument('--days', type=int, default=DAYS, metavar='N',
                      help=f'how long certificates hold (default: {DAYS})')
    verb.set_defaults(function=main)
