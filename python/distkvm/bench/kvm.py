# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm bench kvm: a stock boot over KVM nodes, against one node with as many
vCPUs, on the same emulated host with AMD's nested paging.

All times are the host's own, which counts instructions (nested.py)."""

from concurrent.futures import ThreadPoolExecutor

from ..guests.nested import Run, distkvm, ended, host, stock
from ..guests.outer import root_image

SECONDS = 3600
INIT = 'guest-init: up'
# Name, processes, how they execute.  QEMU refuses local APICs of its own under
# plain KVM, so the second is what those cost.
CASES = (
    ('plain KVM, local APICs of the kernel', 1,
     'accel() { echo -accel kvm; }\n'),
    ('both vCPUs on one node', 2, distkvm('kvm kvm', ',vcpus=2/0')),
    ('two nodes', 2, distkvm('kvm kvm')),
    ('two nodes, no walk prefetch', 2, distkvm('kvm kvm', ',walk-prefetch=off')),
    ('two nodes, whole pages', 2, distkvm('kvm kvm', ',delta-pages=0')),
)
# The run that ratios are to.
BASE = 1
EXITS = ('exits', 'io_exits', 'mmio_exits', 'halt_exits', 'irq_exits',
         'irq_window_exits', 'signal_exits', 'pf_taken', 'irq_injections')


def measured(number, case):
    name, count, accel = case
    outer = host(f'bench-kvm-{number}', f"{accel}run '{name}' {count} 2 "
                 f"{stock('plain', 'loglevel=7')}\n", ('plain',))
    run = Run(ended([outer], SECONDS)[0], name)
    run.expect('guest-plain: right on')
    return run


def exits(run, node, seconds):
    """Lines of exits a second, of each vCPU that runs here."""
    _, vcpus = run.answers(node)
    for number, vcpu in enumerate(vcpus or []):
        values = {s['name']: s['value'] for s in vcpu['stats']}
        print(f'  process {node}, its vCPU {number}: ' + ', '.join(
            f"{name.replace('_', ' ')} {values[name] / seconds:.0f}/s"
            for name in EXITS if name in values))


def faults(run, node, seconds):
    info = run.answers(node)[0]
    if not info:
        return
    memory = info['memory']
    print(f'  node {node}: ' + ', '.join(
        f'{what} {memory[key] / seconds:.0f}/s' for what, key in (
            ('read faults', 'faults-read'), ('write faults', 'faults-write'),
            ('upgrades', 'faults-upgrade'), ('revocations', 'revocations'),
            ('pages sent', 'pages-sent'),
            ('of them unchanged', 'unchanged-pages-sent'))))


def main():
    root_image()
    with ThreadPoolExecutor(2) as pool:
        runs = list(pool.map(measured, range(len(CASES)), CASES))
    base = runs[BASE].seconds_to(INIT)
    for (name, count, _), run in zip(CASES, runs):
        seconds = run.seconds_to(INIT)
        print(f'{name}: {seconds:.2f} s of the host to init; '
              f'ratio to {CASES[BASE][0]} {seconds / base:.2f}')
        for node in range(count):
            exits(run, node, seconds)
            faults(run, node, seconds)
    return 0
