# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM nodes on machines that play hosts, with stock kernels and kvm-amd."""

import re

from .cluster import free_ports
from .common import Problem
from .nested import JOB, Run, distkvm, ended, host, stock
from .outer import Outer, cable, root_image
from .suite_guest import COMPLAINTS, LITMUS
from .testing import Beside

TINY_SAYS = 'tiny: passed'
STOCK = 'kvm: stock kernel over two KVM nodes'
# Tests that are under way, by name.
BESIDE = {}
# Under two emulations, one in the other; and on machines that do more besides.
TINY_SECONDS = 600
STOCK_SECONDS = 2400
FULL_SECONDS = 5400

# A host of its own for each node.
HOST_JOB = '''
ip link set eth0 up
ip addr add 10.7.7.$host/24 dev eth0
export UCX_TLS=tcp,self UCX_NET_DEVICES=eth0
peers=10.7.7.1:7700/10.7.7.2:7700
'''


def tiny(name, pairs):
    """The tiny kernel under real nested paging, KVM alone and with TCG."""
    outer = Outer(name, JOB + ''.join(
        f"{distkvm(pair)}run '{pair}' 2 2 -kernel /boot/tiny\n"
        for pair in pairs))
    text = ended([outer], TINY_SECONDS)[0]
    for pair in pairs:
        Run(text, pair).expect(TINY_SAYS)
    if 'count as writes on AMD' not in text:
        raise Problem('the host does not say what page walks cost on it')
    return ', '.join(pairs)


def two_hosts(name):
    """Two machines, each with a kernel and a node of its own."""
    ports = free_ports(2)
    args = ('-kernel /boot/tiny -serial stdio', '')
    outers = [Outer(f'{name}-{n}',
                    f"host={n + 1}\n{JOB}{HOST_JOB}{distkvm('kvm kvm')}"
                    f'node {n} 2 {args[n]} 2>&1\n', 1, cable(ports, n))
              for n in range(2)]
    text = ended(outers, TINY_SECONDS)[0]
    if TINY_SAYS not in text:
        raise Problem(f'the guest did not pass: {text[-400:]}')


def check_stock(run, *says):
    """The stock kernel came up with all CPUs, and has nothing to complain of."""
    run.expect('guest-init: up', 'Power down', *says)
    # The guest's lines have the host's time in front, QEMU's have not.
    for line in re.findall(r'^[\d.]+ .*$', run.text, re.M):
        if COMPLAINTS.search(line):
            raise Problem(f'{run.name}: the guest complains: {line}')
    if 'job: node 1 ended with 0' not in run.text:
        raise Problem(f'{run.name}: {run.text[-400:]}')


def boot(name, vmis, smp=2, script='plain', append='', says=(),
         seconds=STOCK_SECONDS):
    """A stock kernel over two nodes of one host."""
    outer = host(name, f"{distkvm(vmis)}run '{vmis}' 2 {smp} "
                 f"{stock(script, f'loglevel=7 {append}')}\n", (script,))
    run = Run(ended([outer], seconds)[0], vmis)
    check_stock(run, *(says or ('guest-plain: right on',)))
    memory = [run.answers(n)[0]['memory'] for n in range(2)]
    unchanged = sum(m['unchanged-pages-sent'] for m in memory)
    return f"init after {run.seconds_to('guest-init: up'):.1f} s of the " \
           f'host, {unchanged} page tables went by unchanged'


def run_full(results):
    results.run('kvm: tiny kernel under nested kvm-amd and TCG', tiny,
                'kvm-tiny-mixed', ('kvm tcg', 'tcg kvm'))
    for i in range(9):
        results.run(f'{STOCK}, again {i + 1}', boot,
                    'kvm-stock-again', 'kvm kvm')
    for i in range(2):
        results.run(f'{STOCK}, litmus {i + 1}', boot, 'kvm-litmus',
                    'kvm kvm', 2, 'litmus', 'litmus.n=5000', LITMUS,
                    FULL_SECONDS)
        for vmis in ('kvm tcg', 'tcg kvm'):
            results.run(f'kvm: stock kernel over {vmis}, {i + 1}', boot,
                        'kvm-mixed', vmis)
        results.run(f'kvm: stock kernel over 2+2 vCPUs, {i + 1}', boot,
                    'kvm-2-2', 'kvm kvm', 4, 'plain', '', (), FULL_SECONDS)


def begin(results):
    """The longest test, on one CPU of this machine."""
    if results.wants(STOCK) and not results.passed_earlier(STOCK):
        root_image()
        BESIDE[STOCK] = Beside(boot, 'kvm-stock', 'kvm kvm')


def run(results, full):
    results.run('kvm: tiny kernel under nested kvm-amd', tiny, 'kvm-tiny',
                ('kvm kvm',))
    results.run('kvm: tiny kernel over two hosts with kvm-amd', two_hosts,
                'kvm-two-hosts')
    results.run(STOCK, lambda: BESIDE[STOCK].result())
    if full:
        run_full(results)
