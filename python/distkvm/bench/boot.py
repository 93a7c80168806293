# SPDX-License-Identifier: GPL-2.0-or-later
"""A boot over several nodes, against plain QEMU of the same build."""

import json
import subprocess
import time

from .. import guests
from ..cluster import Cluster, Shape
from ..common import BUILD, QEMU, say
from ..console import Console

TIMEOUT = 300
HOTTEST = 20
FAULTS = ('faults-read', 'faults-write', 'faults-upgrade')
# Measures for pages that many CPUs write.
TREATMENTS = (('no hold', 'hold-us=0'), ('as it is', ''),
              ('hold of 1 ms', 'hold-us=1000'),
              ('whole pages', 'delta-pages=0'), ('no readahead', 'readahead=0'),
              ('no companions', 'companions=off'))


def timed_guest(process):
    """Seconds to init, of a short program, and of one that only computes."""
    console = Console(process)
    started = time.monotonic()
    console.until(r'guest-init: up', TIMEOUT)
    to_init = time.monotonic() - started
    console.until(r'guest-demo: working', TIMEOUT)
    started = time.monotonic()
    console.until(r'guest-demo: worked', TIMEOUT)
    forks = time.monotonic() - started
    console.until(r'guest-compute: working', TIMEOUT)
    started = time.monotonic()
    console.until(r'guest-compute: worked', TIMEOUT)
    return (to_init, forks, time.monotonic() - started), console


def plain(smp, args):
    process = subprocess.Popen(
        [str(QEMU), '-machine', 'q35', '-m', '512M', '-smp',
         str(smp), '-accel', 'tcg', *args], stdout=subprocess.PIPE,
        stdin=subprocess.DEVNULL)
    try:
        times, console = timed_guest(process)
        console.drain()
        return times
    finally:
        process.kill()
        process.wait()


def spread(nodes, args, options):
    with Cluster(Shape(nodes=nodes, memory='512M', options=options),
                 BUILD / 'log' / 'bench') as cluster:
        for node in range(1, nodes):
            cluster.start(node)
        process = cluster.start(0, args, stdout=subprocess.PIPE)
        times, console = timed_guest(process)
        infos = [cluster.info(n) for n in range(nodes)]
        console.drain()
        cluster.wait(20)
        return times, infos


def show_faults(total):
    for kind in ('read', 'write', 'upgrade'):
        faults = total[f'faults-{kind}']
        wait = total[f'wait-{kind}-ns']
        print(f'faults, {kind}: {faults}, waiting {wait / 1e9:.2f} s, '
              f'{wait / max(faults, 1) / 1e3:.0f} us each')
    print(f"first touches of a node's own pages: {total['faults-local']}; "
          f"pages that came along: {total['readahead-pages']}")


def hottest_pages(infos):
    """Page and faults of all nodes, most first."""
    heat = {}
    for info in infos:
        for hot in info['memory']['hot-pages']:
            heat[hot['page']] = heat.get(hot['page'], 0) + hot['faults']
    return sorted(heat.items(), key=lambda item: -item[1])[:HOTTEST]


def show_hot_pages(infos):
    hottest = hottest_pages(infos)
    print('hottest pages (number: faults): ' +
          ', '.join(f'{page:#x}: {faults}' for page, faults in hottest))


def show_sizes(infos):
    for node, info in enumerate(infos):
        memory = info['memory']
        pages = sum(i['memory']['home-pages'] for i in infos)
        print(f'node {node}: directory '
              f"{memory['directory-bytes'] / memory['home-pages']:.1f} bytes "
              'for each page it is home of, states '
              f"{memory['state-bytes'] / pages:.1f} bytes for each page, "
              f"snapshots {memory['snapshot-bytes'] >> 20} MiB")


def show_traffic(infos):
    total = {}
    for info in infos:
        for key, value in info['memory'].items():
            if isinstance(value, int):
                total[key] = total.get(key, 0) + value
    show_faults(total)
    show_hot_pages(infos)
    print(f"frames: {total['frames-sent']}, {total['bytes-sent'] >> 20} MiB; "
          f"{total['pages-sent']} pages and {total['zero-pages-sent']} zero "
          'pages')
    whole = total['bytes-sent'] + total['delta-bytes-saved']
    print(f"pages sent as blocks: {total['delta-pages-sent']}; bytes sent / "
          f'bytes with whole pages = {total["bytes-sent"] / whole:.2f}')


def boot(args):
    nodes = args.nodes
    guest_args = ['-nodefaults', '-display', 'none', '-serial', 'stdio',
                  *guests.kernel_args('quiet', 'compute')]
    say(f'booting plain QEMU with -smp {nodes}')
    reference = plain(nodes, guest_args)
    say(f'booting {nodes} nodes')
    options = f',{args.options}' if args.options else ''
    times, infos = spread(nodes, guest_args, options)
    transport = infos[0]['nodes'][1].get('transport')
    print(f'{nodes} nodes x 1 vCPU over {transport}, against plain QEMU '
          f'-smp {nodes}, same build, same run')
    for what, ours, theirs in zip(
            ('time to init', 'a second of forks and shared work',
             'a program that only computes'), times, reference):
        print(f'{what}: {ours:.1f} s / {theirs:.1f} s = {ours / theirs:.2f}')
    show_traffic(infos)
    show_sizes(infos)
    (BUILD / 'bench-boot.json').write_text(json.dumps(infos, indent=1))
    return 0


def treatments():
    """What each does to the twenty hottest pages of a boot."""
    args = ['-nodefaults', '-display', 'none', '-serial', 'stdio',
            *guests.kernel_args('quiet', 'compute')]
    print(f'{"treatment":14} {"to init":>8} {"faults":>8} {"of the 20":>10} '
          f'{"waited":>8} {"sent":>8}')
    for name, options in TREATMENTS:
        (to_init, *_), infos = spread(2, args, f',{options}' if options
                                      else '')
        memory = [info['memory'] for info in infos]
        faults = sum(m[kind] for m in memory for kind in FAULTS)
        hot = sum(count for _, count in hottest_pages(infos))
        waited = sum(m[kind.replace('faults', 'wait') + '-ns']
                     for m in memory for kind in FAULTS) / 1e9
        sent = sum(m['bytes-sent'] for m in memory) >> 20
        print(f'{name:14} {to_init:6.1f} s {faults:8} {hot:10} '
              f'{waited:6.1f} s {sent:4} MiB', flush=True)
    return 0
