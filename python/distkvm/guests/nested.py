# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests on emulated hosts with stock kernels and kvm-amd: what such a host
runs, and what it says about it.

Time is that of the host, which counts instructions: it depends little on how
busy the machine below is, and says nothing in seconds, only in ratios."""

import hashlib
import json
import re
import shutil
import threading

from .. import guests
from ..common import GUEST, Problem, quiet
from ..keys import PSK_USER
from ..network import KEYS
from .outer import Outer

# All of a host's CPUs are executed by one thread, so a second one is no gain.
CPUS = 1
ICOUNT = ('-icount', 'shift=0,sleep=off')
MEMORY = '128M'

# "run NAME COUNT SMP ARGUMENTS...": a guest of COUNT processes, its console
# out behind the host's time.  "accel N" says how process N executes it;
# process 1 also gets $devices; "working" is called when the guest says that it
# works.
JOB = '''
mkdir -p /tmp/stock
[ ! -e /dev/vdc ] || mount -t ext4 -o ro /dev/vdc /tmp/stock
# While the host waits for its disk its clock runs away.
cat /qemu /lib/x86_64-linux-gnu/*.so* /boot/* /tmp/stock/* >/dev/null 2>&1
peers=unix:2:/tmp/nodes
keys=
devices=
now() { read up rest </proc/uptime; echo "$up $*"; }
qmp() {
    port=880$1; shift
    { for command in '"qmp_capabilities"' "$@"; do
          echo "{\\"execute\\":$command}"
      done; sleep 0.5; } | nc 127.0.0.1 $port | tr -d '\\n\\r'
}
ask() {
    for n in $(seq 0 $(($1 - 1))); do
        echo "stats $n: $(qmp $n '"query-distkvm"' \\
            '"query-stats","arguments":{"target":"vcpu"}')"
    done
}
node() {
    n=$1; smp=$2; shift 2
    exec /qemu -L /share -machine q35 -m ''' + MEMORY + ''' -smp $smp \\
        -nodefaults -display none -no-reboot $keys $(accel $n) \\
        -qmp tcp:127.0.0.1:880$n,server=on,wait=off "$@"
}
first() {
    smp=$1; shift
    (node 0 $smp -serial stdio "$@" 2>/tmp/node-0.log)
    echo "host: node 0 ended with $?"
}
watch() {
    while read -r line; do
        now "$line"
        case $line in
        *"guest-init: up"*) ask $1 & ;;
        *"guest-busy: working"*) working & ;;
        esac
    done
    wait
}
run() {
    name=$1; count=$2; smp=$3; shift 3
    now "job: $name"
    follower=
    if [ $count = 2 ]; then
        node 1 $smp $devices >/tmp/node-1.log 2>&1 &
        follower=$!
    else
        : >/tmp/node-1.log
    fi
    first $smp "$@" | watch $count
    if [ "$follower" ]; then
        wait $follower
        echo "host: node 1 ended with $?"
    fi
    for n in 0 1; do sed "s/^/node $n: /" /tmp/node-$n.log; done
}
'''
# A host of its own for each node, of which it is number $host, from 1; $psk is
# the key that both have.
HOST_JOB = '''
ip link set eth0 up
ip addr add 10.7.7.$host/24 dev eth0
until [ "$(cat /sys/class/net/eth0/operstate)" = up ]; do sleep 0.1; done
mkdir -m 700 /tmp/keys
(umask 077; echo USER:$psk >/tmp/keys/keys.psk)
keys='-object tls-creds-psk,id=KEYS,dir=/tmp/keys,endpoint=server'
peers=10.7.7.1:7700/10.7.7.2:7700,tls-creds=KEYS
'''.replace('USER', PSK_USER).replace('KEYS', KEYS)
# Modules that a guest's script needs.
MODULES = {'disk': ['virtio_pci', 'virtio_blk', 'crc32c_generic', 'ext4'],
           'plain': ['nvme']}
STOCK = '-kernel /tmp/stock/kernel -initrd /tmp/stock/{script} -append ' \
    '"console=ttyS0 panic=-1 {append}"'


def distkvm(vmis, options=''):
    """Nodes, by what executes their vCPUs."""
    return 'accel() { case $1 in ' + ' '.join(
        f'{n}) echo -accel distkvm,vmi={vmi},node={n},peers=$peers{options}'
        ';;' for n, vmi in enumerate(vmis.split())) + ' esac; }\n'


def host_job(number, psk):
    """What makes a host of one of two machines, from 0, joined by a cable."""
    return f'host={number + 1}\npsk={psk}\n{JOB}{HOST_JOB}'


@guests.one_at_a_time
def stock_image(scripts, unpacked):
    """A disk with the stock kernel, and an initramfs for each script."""
    files = {'kernel': guests.unpacked() if unpacked else guests.vmlinuz(),
             **{script: guests.initramfs(script, MODULES.get(script, ()))
                for script in scripts}}
    state = hashlib.sha256(' '.join(f'{name} {path}' for name, path in
                                    sorted(files.items())).encode())
    image = GUEST / f'stock-{state.hexdigest()[:12]}.img'
    if not image.exists():
        root = GUEST / 'root-stock'
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        for name, path in files.items():
            shutil.copy(path, root / name)
        partial = image.with_suffix('.partial')
        partial.unlink(missing_ok=True)
        quiet(['mke2fs', '-q', '-t', 'ext4', '-d', root, partial, '128M'])
        shutil.rmtree(root)
        partial.rename(image)
    return image


def ended(outers, seconds):
    """What such machines said while they ran to their ends."""
    timers = [threading.Timer(seconds, o.process.kill) for o in outers]
    drains = [threading.Thread(target=o.console.drain) for o in outers]
    for thread in timers + drains:
        # An interrupted run does not wait for them.
        thread.daemon = True
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
            why = 'its job failed' if 'outer: job ended' in text else \
                f'it did not end within {seconds} s'
            raise Problem(f'{why}; the last it said: {text[-400:]}')
    return texts


def host(name, commands, scripts=(), extra=(), unpacked=False):
    """One host that runs guests, each with the stock kernel if scripts; one that
    is unpacked already needs a quarter of a boot less."""
    return Outer(name, JOB + commands, CPUS,
                 [*ICOUNT, *stock_drive(scripts, unpacked), *extra])


def stock_drive(scripts, unpacked=False):
    if not scripts:
        return []
    return ['-drive', f'file={stock_image(scripts, unpacked)},format=raw,'
                      'if=virtio,readonly=on']


def stock(script, append='quiet'):
    """Arguments for a stock guest."""
    return STOCK.format(script=script, append=append)


class Run:
    """What one guest said, and what its processes knew of it."""

    def __init__(self, text, name):
        parts = re.split(r'^([\d.]+) job: (.*)$', text, flags=re.M)
        found = {parts[i + 1].strip(): (float(parts[i]), parts[i + 2])
                 for i in range(1, len(parts), 3)}
        if name not in found:
            raise Problem(f'{name}: it did not start; {text[-400:]}')
        self.started, self.text = found[name]
        self.name = name

    def expect(self, *patterns):
        for pattern in patterns:
            if not re.search(pattern, self.text):
                raise Problem(f"{self.name}: it did not say '{pattern}': "
                              f'{self.text[-400:] or "nothing"}')

    def seconds_to(self, words):
        """From the start of its processes, in the host's time."""
        found = re.search(rf'^([\d.]+) .*{words}', self.text, re.M)
        if not found:
            raise Problem(f"{self.name}: it did not say '{words}': "
                          f'{self.text[-400:]}')
        return float(found.group(1)) - self.started

    def answers(self, node, after=''):
        """What QMP said, after some words; None where a command failed."""
        found = re.search(rf'{after}[^\0]*?^stats {node}: (.*)$', self.text,
                          re.M)
        if not found:
            raise Problem(f'{self.name}: no answer from process {node}')
        decoder, text, answers = json.JSONDecoder(), found.group(1), []
        while text.strip():
            answer, end = decoder.raw_decode(text)
            text = text[end:].strip()
            if 'QMP' not in answer and 'event' not in answer:
                answers.append(answer.get('return'))
        return answers[1:]
