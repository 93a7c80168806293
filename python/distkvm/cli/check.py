# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm check: the errors of a cluster file, before anything starts."""

import shlex
import sys

from .. import cluster_command, cluster_file
from ..common import BUILD

EXIT_ERRORS = 2


def main(args):
    try:
        file = cluster_file.load(args.file)
    except cluster_file.FileErrors as errors:
        print('\n'.join(errors.errors), file=sys.stderr)
        return EXIT_ERRORS
    if args.commands:
        run_dir = args.run_dir or BUILD / 'run' / file.path.stem
        for node in file.nodes:
            print(f'# node {node.id}, on {node.host}')
            print(shlex.join(cluster_command.command(file, node.id, run_dir)))
        return 0
    print(f'{args.file}: {len(file.nodes)} nodes, no errors in the file; '
          'hosts were not asked')
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'check', help='find the errors of a cluster file')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--commands', action='store_true',
                      help="print QEMU's command line of each node")
    verb.add_argument('--run-dir', metavar='D',
                      help='directory of QMP and Unix sockets in these '
                           'command lines (default: build/run/FILE)')
    verb.set_defaults(function=main)
