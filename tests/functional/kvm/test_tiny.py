# SPDX-License-Identifier: GPL-2.0-or-later
"""KVM nodes on machines that play hosts, with stock kernels and kvm-amd."""

import pytest

from distkvm.common import Problem
from distkvm.keys import new_psk
from distkvm.guests.nested import JOB, Run, distkvm, ended, host_job
from distkvm.network import free_ports
from distkvm.guests.outer import Outer, cable
from naming import cases, named

X2APIC = ' -cpu qemu64,x2apic=on'
TINY_SAYS = 'tiny: passed'
# Under two emulations, one in the other; and on machines that do more besides.
TINY_SECONDS = 1800
# A host takes one CPU, for minutes: that is best beside suites that wait.
pytestmark = [pytest.mark.beside, pytest.mark.timeout(TINY_SECONDS + 600)]


@cases('name, pairs, options', {
    'kvm: tiny kernel under nested kvm-amd':
        ('kvm-tiny', ('kvm kvm',), ('', X2APIC))}, {
    'kvm: tiny kernel under nested kvm-amd and TCG':
        ('kvm-tiny-mixed', ('kvm tcg', 'tcg kvm'), ('',))})
def test_tiny(name, pairs, options, note):
    """The tiny kernel under real nested paging, KVM alone and with TCG."""
    cases = [(pair, option) for pair in pairs for option in options]
    outer = Outer(name, JOB + ''.join(
        f"{distkvm(pair, option)}run '{pair}{option}' 2 2 -kernel /boot/tiny\n"
        for pair, option in cases))
    text = ended([outer], TINY_SECONDS)[0]
    for pair, option in cases:
        Run(text, pair + option).expect(TINY_SAYS)
    if X2APIC in options and 'tiny: x2APIC mode' not in text:
        raise Problem('the guest has no x2APIC')
    if 'count as writes on AMD' not in text:
        raise Problem('the host does not say what page walks cost on it')
    note(', '.join(pairs))


@named('kvm: tiny kernel over two hosts with kvm-amd')
def test_two_hosts():
    """Two machines, each with a kernel and a node of its own."""
    ports, psk = free_ports(2), new_psk()
    args = ('-kernel /boot/tiny -serial stdio', '')
    outers = [Outer(f'kvm-two-hosts-{n}',
                    host_job(n, psk) + distkvm('kvm kvm') +
                    f'node {n} 2 {args[n]} 2>&1\n', 1, cable(ports, n))
              for n in range(2)]
    text = ended(outers, TINY_SECONDS)[0]
    if TINY_SAYS not in text:
        raise Problem(f'the guest did not pass: {text[-400:]}')
