# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm run: any guest over several nodes on this host."""

import argparse
import shlex
import sys
import time

from . import build
from .cluster import Cluster, Shape
from .common import BUILD, Problem, parse_size, say

# Options of QEMU that all nodes must share, and ours that set them.
SHARED = {'-m': '--memory', '-smp': '--smp', '-M': '--machine',
          '-machine': '--machine', '-accel': '--vmi', '-cpu': '--cpu',
          '--m': '--memory', '--smp': '--smp', '--machine': '--machine',
          '--accel': '--vmi', '--cpu': '--cpu', '-enable-kvm': '--vmi'}


def check_shared(args):
    for arg in args:
        if arg in SHARED:
            raise Problem(f"'{arg}' is common to all nodes: use "
                          f"{SHARED[arg]} before the '--'")


def shape_of(args):
    nodes = args.nodes
    if nodes < 2:
        raise Problem('a cluster has at least 2 nodes')
    vmi = args.vmi.split(',')
    if len(vmi) not in (1, nodes):
        raise Problem(f'--vmi names {len(vmi)} nodes of {nodes}')
    smp = args.smp
    vcpus = None
    if args.vcpus:
        shares = [int(v) for v in args.vcpus.split(',')]
        if len(shares) != nodes:
            raise Problem(f'--vcpus names {len(shares)} nodes of {nodes}')
        if smp and int(smp.split(',')[0].replace('cpus=', '')) != sum(shares):
            raise Problem(f'--vcpus sums up to {sum(shares)}, --smp is {smp}')
        smp = smp or str(sum(shares))
        vcpus = '/'.join(str(s) for s in shares)
    mem = None
    if args.mem_share:
        shares = args.mem_share.split(',')
        if len(shares) != nodes:
            raise Problem(f'--mem-share names {len(shares)} nodes of {nodes}')
        if sum(map(parse_size, shares)) != parse_size(args.memory):
            raise Problem(f'--mem-share does not sum up to {args.memory}')
        mem = '/'.join(shares)
    return Shape(nodes=nodes, smp=smp or str(nodes), memory=args.memory,
                 machine=args.machine, cpu=args.cpu, vmi=args.vmi,
                 vcpus=vcpus, mem=mem,
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
        last = cluster.log(node).read_text(errors='replace').splitlines()[-1]
    except (OSError, IndexError):
        last = ''
    return f'node {node} ended with {how}: {last}'


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
    verb.add_argument('--nodes', type=int, required=True, metavar='N')
    verb.add_argument('--smp', metavar='S',
                      help='vCPUs in all (default: one per node)')
    verb.add_argument('--memory', default='1G', metavar='M')
    verb.add_argument('--machine', default='q35', help='q35 or pc')
    verb.add_argument('--cpu', metavar='MODEL')
    verb.add_argument('--vmi', default='tcg',
                      help='what executes the vCPUs: tcg, for all nodes or '
                           'a list')
    verb.add_argument('--vcpus', metavar='A,B,...', help='vCPUs of each node')
    verb.add_argument('--mem-share', metavar='SIZE,SIZE,...',
                      help='RAM of each node; sums up to --memory')
    verb.add_argument('--options', metavar='NAME=VALUE,...',
                      help='further options of -accel distkvm')
    verb.add_argument('--log-dir', metavar='D')
    verb.add_argument('--keep', action='store_true',
                      help='when a node is lost, leave the others')
    verb.add_argument('--node', action='append', default=[], metavar='K:ARGS',
                      help="further QEMU arguments of node K")
    verb.add_argument('qemu', nargs=argparse.REMAINDER,
                      help='-- QEMU arguments of node 0')
    verb.set_defaults(function=main)
