# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm top: what the nodes of a cluster file execute and wait for."""

import itertools
import json
import sys
import time

from .. import cluster_file
from ..common import Problem
from ..operate.remote import Hosts
from ..operate.view import observe, top_row, top_table

INTERVAL_MAX = 86400
# Of a terminal: to the left upper corner; clear from there on.
HOME, CLEAR = '\x1b[H', '\x1b[J'


def show(file, found, as_json):
    if as_json:
        print(json.dumps({'time': time.time(), 'nodes': found}), flush=True)
        return
    text = f'{file.path}, {time.strftime("%H:%M:%S")}\n{top_table(found)}'
    for r in found:
        if r['reason']:
            text += f"\nnode {r['node']}: {r['reason']}"
    if sys.stdout.isatty():
        text = HOME + CLEAR + text
    print(text, flush=True)


def main(args):
    file = cluster_file.load(args.file)
    # NaN is not between any numbers.
    if not 0 < args.interval <= INTERVAL_MAX:
        raise Problem('--interval: write a number of seconds above 0, and up '
                      f'to {INTERVAL_MAX}')
    hosts = Hosts(file)
    before = {}
    # Rates need two looks.
    for number in itertools.count():
        after = observe(hosts)
        if number:
            show(file, [top_row(n, before.get(n.id), after[n.id])
                        for n in file.nodes], args.json)
        if all(f['state'] in ('absent', 'ended') for f in after.values()):
            raise Problem('no node runs')
        if number == args.count:
            return 0
        before = after
        time.sleep(args.interval)
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'top', help='show what the nodes of a cluster file wait for',
        epilog='RUN% and WAIT% are parts of the time of a node\'s vCPUs: what '
               'they executed, and what they waited for pages of other nodes. '
               'READ, WRITE and UPGRADE are faults, SENT pages given to other '
               'nodes, TAKEN pages that were taken from the node, OUT and IN '
               'bytes, each in a second.  HELD is guest memory present.')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--interval', type=float, default=2, metavar='S',
                      help='seconds between two looks (default: 2)')
    verb.add_argument('--count', type=int, default=-1, metavar='N',
                      help='end after N looks (default: at Ctrl-C)')
    verb.add_argument('--json', action='store_true',
                      help='a line of JSON for each look')
    verb.set_defaults(function=main)
