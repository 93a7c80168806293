# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM nodes on machines that play hosts, with stock kernels and kvm-amd."""

import threading

from .common import Problem
from .outer import Outer

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


def outer_run(name, commands, seconds):
    """What such a machine says while it runs commands."""
    outer = Outer(name, JOB + commands)
    timer = threading.Timer(seconds, outer.process.kill)
    timer.start()
    try:
        outer.console.drain()
    finally:
        timer.cancel()
        outer.end()
    text = outer.console.text
    if 'outer: job ended with 0' not in text:
        raise Problem(f'it did not end within {seconds} s; the last it said: '
                      f'{text[-400:]}')
    return text


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


def run(results, full):
    results.run('kvm: tiny kernel under nested kvm-amd', tiny, 'kvm-tiny',
                ('kvm kvm',))
    if full:
        results.run('kvm: tiny kernel under nested kvm-amd and TCG', tiny,
                    'kvm-tiny-mixed', ('kvm tcg', 'tcg kvm'))
