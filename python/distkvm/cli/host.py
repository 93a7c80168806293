# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm host: the part of the tool that runs on each host of a cluster."""

import json
import sys

from ..common import Problem
from ..operate import host, reach
from ..operate.state import State


def main(args):
    if args.what == 'answer':
        try:
            request = json.load(sys.stdin)
        except ValueError as error:
            raise Problem(f'no request: {error}') from None
        print(json.dumps({**host.answer(request), 'format': host.FORMAT}))
    elif args.what == 'listen':
        reach.listen(args.address)
    elif args.what == 'console':
        host.relay(State(args.cluster))
    else:
        host.follow(State(args.cluster), args.name, args.follow)
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'host', help='answer this tool on another host, which calls it by ssh')
    parts = verb.add_subparsers(dest='what', required=True)
    parts.add_parser('answer', help='read a request as JSON, write an answer')
    console = parts.add_parser('console', help="bytes of the guest's console")
    log = parts.add_parser('log', help='a log, by the number of its node')
    for part in (console, log):
        part.add_argument('cluster')
    log.add_argument('name')
    log.add_argument('--follow', action='store_true')
    listen = parts.add_parser('listen', help='listen in the place of nodes')
    listen.add_argument('address', nargs='+')
    verb.set_defaults(function=main)
