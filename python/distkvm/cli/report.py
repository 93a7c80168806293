# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm report: a page about a cluster that runs."""

import contextlib
import json
from pathlib import Path

from .. import cluster_file
from ..common import Problem, WholeFile, say
from ..operate.remote import Hosts
from ..report import html, names
from ..report.sample import Sampler

SECONDS_MAX, LOOKS_MAX = 86400, 10000


def look(file, args):
    """The facts of the page; Ctrl-C ends the looks earlier."""
    sampler = Sampler(file, Hosts(file))
    say(f'looking at {len(file.nodes)} nodes for {args.seconds:g} s')
    sampler.run(args.seconds, args.interval)
    return sampler.result()


def main(args):
    file = cluster_file.load(args.file)
    # NaN is not between any numbers.
    if not 0 < args.seconds <= SECONDS_MAX:
        raise Problem('--seconds: write a number above 0, and up to '
                      f'{SECONDS_MAX}')
    if not args.seconds / LOOKS_MAX <= args.interval <= SECONDS_MAX:
        raise Problem('--interval: write a number of seconds above 0, so that '
                      f'there are {LOOKS_MAX} looks at most')
    symbols = names.load(args.symbols) if args.symbols else None
    output = args.output or Path(f'{file.path.stem}.html')
    with contextlib.ExitStack() as stack:
        # A place where nothing can be written is known before all looks.
        page = stack.enter_context(WholeFile(output))
        facts = args.json and stack.enter_context(WholeFile(args.json))
        sample = look(file, args)
        for hot in sample['hot'] if symbols else ():
            hot['name'] = names.name(symbols, hot['page'])
        page.write(html.page(sample))
        if facts:
            facts.write(json.dumps(sample) + '\n')
    say(f'{output} is written')
    return 0


def add_verb(verbs):
    verb = verbs.add_parser(
        'report', help='write an HTML page about a cluster that runs',
        epilog='The page needs no other file, no network and no script.  The '
               'nodes answer queries only: no memory of the guest is read.')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--seconds', type=float, default=30, metavar='N',
                      help='how long to look (default: 30)')
    verb.add_argument('--interval', type=float, default=1, metavar='S',
                      help='seconds between two looks (default: 1)')
    verb.add_argument('-o', '--output', type=Path, metavar='OUT',
                      help='the page (default: NAME.html here, for NAME.toml)')
    verb.add_argument('--symbols', type=Path, metavar='S',
                      help="System.map or vmlinuz of the guest's kernel, for "
                           'names of pages')
    verb.add_argument('--json', type=Path, metavar='J',
                      help='also write the facts of the page')
    verb.set_defaults(function=main)
