# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm status: the nodes of a cluster file."""

import json

from pathlib import Path

from .. import cluster_file
from ..common import Problem, WholeFile
from ..operate import prometheus
from ..operate.remote import Hosts
from ..operate.view import WELL, observe, rows, status_table

# The collector of node_exporter is another user.
READABLE = 0o644
EXIT_WELL, EXIT_TROUBLE, EXIT_ABSENT = 0, 1, 3
# States of a guest that somebody has stopped on purpose.
STOPPED = {'paused', 'prelaunch', 'suspended', 'shutdown'}


def exit_status(found):
    states = {r['state'] for r in found}
    if all(r['state'] == 'absent' or r['state'] == 'ended' and r['exit'] == 0
           for r in found):
        return EXIT_ABSENT
    return EXIT_WELL if states <= WELL | STOPPED else EXIT_TROUBLE


def main(args):
    file = cluster_file.load(args.file)
    if args.output and not args.prometheus:
        raise Problem('-o: is for --prometheus')
    seen = observe(Hosts(file))
    found = rows(file, seen)
    if args.output:
        with WholeFile(args.output, READABLE) as output:
            output.write(prometheus.text(file, seen))
    elif args.prometheus:
        print(prometheus.text(file, seen), end='')
    else:
        print(json.dumps(found, indent=1) if args.json
              else status_table(found))
    return exit_status(found)


def add_verb(verbs):
    verb = verbs.add_parser(
        'status', help='show the nodes of a cluster file',
        epilog='Exit status: 0 if all nodes live and know of no loss, whether '
               'the guest runs or is paused; 3 if none was started, or all '
               'have ended in good order; else 1.')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--json', action='store_true',
                      help='print the nodes for tools')
    verb.add_argument('--prometheus', action='store_true',
                      help="print metrics in Prometheus' text format")
    verb.add_argument('-o', '--output', type=Path, metavar='X.prom',
                      help='write them to this file, whole or not at all, as '
                           'the textfile collector of node_exporter reads it')
    verb.set_defaults(function=main)
