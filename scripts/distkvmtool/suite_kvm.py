# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM nodes on machines that play hosts, with stock kernels and kvm-amd."""

import threading

from .cluster import free_ports
from .common import Problem
from .outer import Outer, cable

TINY_SAYS = 'tiny: passed'
# Under two emulations, one in the other.
TINY_SECONDS = 400

# A guest over two nodes: "run VMI0 VMI1 SMP ARGUMENTS...", its console out.
JOB = '''
peers=127.0.0.1:7700/127.0.0.1:7701
node() {
    n=$1; vmi=$2; smp=$3; shift 3
    /qemu -L /share -machine q35 -m 128M -smp $smp -nodefaults \\
        -display none -no-reboot \\
        -accel distkvm,vmi=$vmi,node=$n,peers=$peers "$@"
}
run() {
    vmi0=$1; vmi1=$2; smp=$3; shift 3
    echo "job: $vmi0 and $vmi1, $smp vCPUs"
    node 1 $vmi1 $smp >/tmp/node-1.log 2>&1 &
    follower=$!
    node 0 $vmi0 $smp -serial stdio "$@" 2>/tmp/node-0.log |
        while read -r line; do
            read up rest </proc/uptime
            echo "$up $line"
        done
    wait $follower
    echo "job: node 1 ended with $?"
    sed 's/^/node 0: /' /tmp/node-0.log
    sed 's/^/node 1: /' /tmp/node-1.log
}
'''
# The same on a host of its own, one node for each.
HOST_JOB = '''
ip link set eth0 up
ip addr add 10.7.7.$host/24 dev eth0
export UCX_TLS=tcp,self UCX_NET_DEVICES=eth0
peers=10.7.7.1:7700/10.7.7.2:7700
'''


def ended(outers, seconds):
    """What such machines said while they ran to their ends."""
    timers = [threading.Timer(seconds, o.process.kill) for o in outers]
    drains = [threading.Thread(target=o.console.drain) for o in outers]
    for thread in timers + drains:
        thread.start()
    try:
        for drain in drains:
            drain.join()
    finally:
        for timer in timers:
            timer.cancel()
        for outer in outers:
            outer.end()
    texts = [o.console.text for o in outers]
    for text in texts:
        if 'outer: job ended with 0' not in text:
            raise Problem(f'it did not end within {seconds} s; the last it '
                          f'said: {text[-400:]}')
    return texts


def outer_run(name, commands, seconds):
    return ended([Outer(name, JOB + commands)], seconds)[0]


def tiny(name, pairs):
    """The tiny kernel under real nested paging, KVM alone and with TCG."""
    text = outer_run(name, ''.join(f'run {pair} 2 -kernel /boot/tiny\n'
                                   for pair in pairs), TINY_SECONDS)
    parts = text.split('job: ')
    for pair in pairs:
        label = pair.replace(' ', ' and ')
        part = next((p for p in parts if p.startswith(label)), '')
        if TINY_SAYS not in part:
            raise Problem(f'{label}: {part[-400:] or "nothing"}')
    if 'count as writes on AMD' not in text:
        raise Problem('the host does not say what page walks cost on it')
    return ', '.join(pairs)


def two_hosts(name):
    """Two machines, each with a kernel and a node of its own."""
    ports = free_ports(2)
    args = ('-kernel /boot/tiny -serial stdio', '')
    outers = [Outer(f'{name}-{n}',
                    f'host={n + 1}\n{JOB}{HOST_JOB}'
                    f'node {n} kvm 2 {args[n]} 2>&1\n', 1, cable(ports, n))
              for n in range(2)]
    text = ended(outers, TINY_SECONDS)[0]
    if TINY_SAYS not in text:
        raise Problem(f'the guest did not pass: {text[-400:]}')


def run(results, full):
    results.run('kvm: tiny kernel under nested kvm-amd', tiny, 'kvm-tiny',
                ('kvm kvm',))
    results.run('kvm: tiny kernel over two hosts with kvm-amd', two_hosts,
                'kvm-two-hosts')
    if full:
        results.run('kvm: tiny kernel under nested kvm-amd and TCG', tiny,
                    'kvm-tiny-mixed', ('kvm tcg', 'tcg kvm'))
