# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm check: the errors of a cluster file, before anything starts."""

import json
import shlex
from pathlib import Path

from .. import cluster_command, cluster_file
from ..cluster_file import LOCAL, FileErrors
from ..common import BUILD, CALL, INSTALLED, Problem, say
from ..operate.check import HostCheck
from ..operate.remote import Hosts
from .cpu_baseline import Host, combine, parse


def checked(file):
    """Hosts of a file, and their facts; FileErrors if one has an error."""
    hosts = Hosts(file)
    check = HostCheck(file, hosts)
    for warning in check.warnings:
        say(f'warning: {warning}')
    if check.errors:
        raise FileErrors(check.errors)
    return hosts, check.facts


def described(hosts):
    """Descriptions of all hosts' CPUs: TCG's is the same on all."""
    answers = hosts.all(lambda nodes: {'verb': 'cpu', 'which': sorted(
        {'tcg' if n.vmi == 'tcg' else 'local' for n in nodes})})
    found = {}
    for key, answer in answers.items():
        for which, about in answer['cpus'].items():
            name = 'tcg' if which == 'tcg' else ' '.join(
                [LOCAL] if key == LOCAL else key)
            found[name] = Host(name, parse(json.dumps(about), name))
    return list(found.values())


def show_cpu(file, hosts):
    """The best CPU of all hosts, and whether the file names it."""
    try:
        best = combine(described(hosts))
    except FileErrors:
        raise
    except Problem as problem:
        raise FileErrors([file.error(
            ('guest', 0, 'cpu'), f'no CPU is known for all hosts: {problem}',
            f'see {CALL} cpu-baseline')]) from None
    for warning in best.warnings:
        say(f'warning: {warning}')
    named = ', as the file has it' if file.guest.get('cpu') == best.cpu else ''
    print(f'the best CPU that all hosts give{named}:\ncpu = "{best.cpu}"')


def differ(file, hosts):
    """May hosts give the guest different CPUs?"""
    return len(hosts.hosts) > 1 and any(n.vmi != 'tcg' for n in file.nodes)


def main(args):
    file = cluster_file.load(args.file)
    if args.commands:
        run_dir = args.run_dir or \
            (Path('/run/distkvm') if INSTALLED else BUILD / 'run') / \
            file.path.stem
        for node in file.nodes:
            print(f'# node {node.id}, on {node.host}')
            print(shlex.join(cluster_command.command(file, node.id, run_dir)))
        return 0
    if args.offline:
        print(f'{args.file}: {len(file.nodes)} nodes, no errors in the file; '
              'hosts were not asked')
        return 0
    hosts, _ = checked(file)
    if args.cpu or differ(file, hosts):
        show_cpu(file, hosts)
    print(f'{args.file}: {len(file.nodes)} nodes, no errors in the file nor '
          f'on {len(hosts.hosts)} host{"s" if len(hosts.hosts) > 1 else ""}')
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'check', help='find the errors of a cluster file')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--offline', action='store_true',
                      help='read the file only, ask no host')
    verb.add_argument('--cpu', action='store_true',
                      help='also find the best CPU that all hosts can give, '
                           'as without it for KVM nodes of several hosts')
    verb.add_argument('--commands', action='store_true',
                      help="print QEMU's command line of each node, ask no "
                           'host')
    verb.add_argument('--run-dir', metavar='D',
                      help='directory of QMP and Unix sockets in these '
                           'command lines (default: build/run/FILE; '
                           '/run/distkvm/FILE of the package)')
    verb.set_defaults(function=main)
