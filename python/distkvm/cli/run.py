# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm run: any guest over several nodes on this host."""

import argparse
import shlex
import sys
import time

from .. import build
from ..cluster import SHARED, Cluster, Shape, check_nodes, last_words
from ..common import BUILD, Problem, parse_size, say


def check_shared(args):
    for arg in args:
        if arg in SHARED:
            raise Problem(f"'{arg}' is common to all nodes: use "
                          f"{SHARED[arg]} before the '--'")


def number(option, text):
    # QEMU takes none of the other forms that int() does.
    if not text.isascii() or not text.isdigit():
        raise Problem(f"{option}: '{text}' is not a number")
    return int(text)


def smp_and_vcpus(args):
    """The values of -smp and vcpus=, which must fit."""
    smp, nodes = args.smp, args.nodes
    if not args.vcpus:
        return smp or str(nodes), None
    shares = [number('--vcpus', v) for v in args.vcpus.split(',')]
    if len(shares) != nodes:
        raise Problem(f'--vcpus names {len(shares)} nodes of {nodes}')
    # Without a number of CPUs QEMU computes it from sockets and cores.
    named = [v.replace('cpus=', '') for v in (smp or '').split(',')
             if v.startswith('cpus=') or '=' not in v]
    if smp and named and number('--smp', named[0]) != sum(shares):
        raise Problem(f'--vcpus sums up to {sum(shares)}, --smp is {smp}')
    return smp or str(sum(shares)), '/'.join(str(s) for s in shares)


def shape_of(args):
    nodes = args.nodes
    check_nodes(nodes)
    vmi = args.vmi.split(',')
    if len(vmi) not in (1, nodes):
        raise Problem(f'--vmi names {len(vmi)} nodes of {nodes}')
    smp, vcpus = smp_and_vcpus(args)
    mem = None
    if args.mem_share:
        shares = args.mem_share.split(',')
        if len(shares) != nodes:
            raise Problem(f'--mem-share names {len(shares)} nodes of {nodes}')
        if sum(map(parse_size, shares)) != parse_size(args.memory):
            raise Problem(f'--mem-share does not sum up to {args.memory}')
        mem = '/'.join(shares)
    return Shape(nodes=nodes, smp=smp, memory=args.memory,
                 machine=args.machine, cpu=args.cpu, vmi=args.vmi,
                 vcpus=vcpus, mem=mem, sandbox=True,
                 options=f',{args.options}' if args.options else '')


def node_args(args):
    """Extra arguments of each node, from --node K:ARGS and after '--'."""
    extra = [[] for _ in range(args.nodes)]
    for item in args.node:
        number, colon, text = item.partition(':')
        if not colon or not number.isdigit() or int(number) >= args.nodes:
            raise Problem(f"--node {item}: write K:ARGS with K below "
                          f'{args.nodes}')
        extra[int(number)] += shlex.split(text)
    extra[0] += args.qemu[1:] if args.qemu[:1] == ['--'] else args.qemu
    for each in extra:
        check_shared(each)
    return extra


def describe(node, status, cluster):
    how = f'signal {-status}' if status < 0 else f'exit status {status}'
    try:
        last = last_words(cluster.log(node))
    except OSError:
        last = []
    return '\n  '.join([f'node {node} ended with {how}'
                        + (':' if last else ''), *last])


def watch(cluster, keep):
    """Until all have ended; 0 only if all ended well."""
    while True:
        ended = [(n, p.poll()) for n, p in enumerate(cluster.process)
                 if p.poll() is not None]
        bad = [(n, status) for n, status in ended if status]
        if bad:
            for node, status in bad:
                say(describe(node, status, cluster))
            if keep and cluster.alive():
                say(f'keeping nodes {cluster.alive()} for inspection; logs '
                    f'in {cluster.log_dir}; end them with Ctrl-C')
                while cluster.alive():
                    time.sleep(0.2)
            return 1
        if len(ended) == len(cluster.process):
            return 0
        time.sleep(0.05)


def main(args):
    shape = shape_of(args)
    extra = node_args(args)
    build.ensure()
    cluster = Cluster(shape, args.log_dir or BUILD / 'log' / 'run')
    say(f'{shape.nodes} nodes; logs in {cluster.log_dir}')
    try:
        for node in range(1, shape.nodes):
            cluster.start(node, extra[node])
        cluster.start(0, extra[0], stdin=sys.stdin, stdout=sys.stdout)
        return watch(cluster, args.keep)
    finally:
        cluster.end()


def add_verb(verbs):
    verb = verbs.add_parser('run', help='run any guest over several nodes')
    verb.add_argument('--nodes', type=int, required=True, metavar='N',
                      help='how many, 2 to 64')
    verb.add_argument('--smp', metavar='S',
                      help='vCPUs in all (default: one per node)')
    verb.add_argument('--memory', default='1G', metavar='M',
                      help='RAM in all (default: 1G)')
    verb.add_argument('--machine', default='q35', metavar='MACHINE',
                      help='q35 or pc (default: q35)')
    verb.add_argument('--cpu', metavar='MODEL',
                      help="the same for all nodes (default: QEMU's)")
    verb.add_argument('--vmi', default='tcg', metavar='tcg|kvm|auto',
                      help='what executes the vCPUs, for all nodes or a list; '
                           'auto takes KVM where it is usable (default: tcg)')
    verb.add_argument('--vcpus', metavar='A,B,...',
                      help='vCPUs of each node (default: even)')
    verb.add_argument('--mem-share', metavar='SIZE,SIZE,...',
                      help='RAM of each node, which then holds no more; sums '
                           'up to --memory (default: even, and any amount)')
    verb.add_argument('--options', metavar='NAME=VALUE,...',
                      help='further options of -accel distkvm')
    verb.add_argument('--log-dir', metavar='D',
                      help="where nodes' messages go (default: "
                           'build/log/run)')
    verb.add_argument('--keep', action='store_true',
                      help='when a node is lost, leave the others')
    verb.add_argument('--node', action='append', default=[], metavar='K:ARGS',
                      help="further QEMU arguments of node K")
    verb.add_argument('qemu', nargs=argparse.REMAINDER,
                      help='-- QEMU arguments of node 0')
    verb.set_defaults(function=main)
