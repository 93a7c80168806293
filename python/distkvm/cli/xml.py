# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm xml: libvirt domains of a cluster file."""

import os
from pathlib import Path

from .. import cluster_file, libvirt
from ..common import Problem, WholeFile, say


def write(path, text):
    """The text of the file that was there, or None."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # It may be a file of somebody else, in any encoding.
        before = path.read_text(encoding='utf-8', errors='replace') \
            if path.exists() else None
    except FileExistsError:
        raise Problem(f'--dir: {path.parent} is no directory, write the path '
                      'of one') from None
    except OSError as error:
        raise Problem(f'{error.filename or path}: {error.strerror}') from None
    with WholeFile(path) as file:
        file.write(text)
    return before


def say_changes(changed, new):
    """Names of files whose domains libvirt does not have yet."""
    for names, are, again in ((changed, ('changed', 'changed'), ' again'),
                              (new, ('is new', 'are new'), '')):
        if names:
            many = len(names) > 1
            say(f'{", ".join(names)} {are[many]}: define '
                f'{"these domains" if many else "this domain"}{again}')


def write_all(file, directory, domains):
    """A file of each domain; names those that are new or changed, also when a
    later one cannot be written: the next call would find them as they should
    be."""
    changed, new = [], []
    try:
        for node, text in domains:
            path = Path(directory) / f'{libvirt.name_of(file)}-{node.id}.xml'
            before = write(path, text)
            if before is None:
                new.append(path.name)
            elif before != text:
                changed.append(path.name)
            print(f'{path}, for {node.host}')
    finally:
        # The first time all of them are.
        say_changes(changed, new if len(new) < len(domains) else ())


def main(args):
    file = cluster_file.load(args.file)
    nodes = file.nodes
    if args.node is not None:
        if not 0 <= args.node < len(nodes):
            raise Problem(f'there is no node {args.node}: write 0 to '
                          f'{len(nodes) - 1}')
        nodes = [nodes[args.node]]
    elif not args.dir:
        raise Problem('write --node K for the domain of one node, or --dir D '
                      'for a file of each')
    # QEMU has another working directory.
    sockets = args.socket_dir and os.path.abspath(args.socket_dir)
    domains = [(node, libvirt.domain(file, node, sockets)) for node in nodes]
    if args.dir:
        write_all(file, args.dir, domains)
    else:
        print(domains[0][1], end='')
    return 0


def add_verb(verbs):
    verb = verbs.add_parser('xml', help='libvirt domains of a cluster file')
    verb.add_argument('file', metavar='FILE', help='cluster file (TOML)')
    verb.add_argument('--node', type=int, metavar='K',
                      help='print the domain of this node')
    verb.add_argument('--dir', metavar='D',
                      help='write the domain of each node to a file here')
    verb.add_argument('--socket-dir', metavar='D',
                      help='directory of Unix sockets on one host without '
                      f'addresses (default: {libvirt.SOCKETS}/distkvm-NAME)')
    verb.set_defaults(function=main)
