# SPDX-License-Identifier: GPL-2.0-or-later
"""What CPUs a host can give to a guest.

A node that is started with the model `max` says in its hello what nodes
compare: features after all that distkvm masks, vendor, layout of the XSAVE
area, width of addresses.  So that is asked, over the socket that peers use.
"""

import contextlib
import os
import platform
import re
import subprocess
import tempfile
import time
from pathlib import Path

from . import wire
from .cluster import Cluster, Qmp, Shape
from .common import GET, QEMU, Problem, say

FORMAT = 'distkvm-cpu'
# Raised by every change that a reader must know of.
VERSION = 1

PATIENCE = 30
RETRY_SECONDS = 0.1

# Features that accel_compat of accel.c switches off in every model.
MASKED = ('kvm', 'svm', 'tcg-cpuid', 'tsc-deadline', 'vmx', 'x2apic')
# And on.
ADDED = ('invtsc',)
# How CPUs are arranged: QEMU sets these as -smp and the vendor demand.
ARRANGEMENT = {'ht', 'cmp-legacy'}
# All that can be had and that may differ between starts of one guest: named
# models have no performance counters, and `max` leaves topoext to who asks.
EVERYTHING = 'max,migratable=on,pmu=off,topoext=on'
# Features that some KVMs claim and then refuse to set, by the MSR QEMU names.
REFUSED_MSRS = {'0x10a': 'arch-capabilities'}
# Not what a guest could name and have.
NO_MODELS = {'max', 'host', 'base'}

KVM = Path('/dev/kvm')
MODULES = Path('/sys/module')
# Whether KVM walks the guest's page tables, and whether walks write.
KVM_PARAMETERS = ('npt', 'ept', 'eptad')


def need_qemu():
    if not QEMU.exists():
        raise Problem(f'there is no QEMU at {QEMU}: {GET}')


# ------------------------------------------------------------ a node

def why_ended(log):
    """The errors in a node's log, which begins with its command."""
    lines = log.read_text(errors='replace').splitlines()[1:]
    return '; '.join(line for line in lines if not re.search(
        r': (warning|info): ', line)) or 'it does not say why'


def accepted(cluster, node, listener):
    """The connection of a node that dials."""
    end = time.monotonic() + PATIENCE
    listener.settimeout(RETRY_SECONDS)
    while True:
        if cluster.process[node].poll() is not None:
            raise Problem('a node cannot start here: '
                          + why_ended(cluster.log(node)))
        with contextlib.suppress(TimeoutError):
            stream, _ = listener.accept()
            stream.settimeout(PATIENCE)
            return stream
        if time.monotonic() > end:
            raise Problem(f'a node does not dial within {PATIENCE} s')


@contextlib.contextmanager
def lone_node(vmi, cpu):
    """A node that takes us for its peer: cluster, and the node's hello.

    It is node 1, since the later one dials and says first what it is; none
    tells that to a caller who has not proved to belong."""
    need_qemu()
    with tempfile.TemporaryDirectory(prefix='distkvm-cpu-') as logs:
        with Cluster(Shape(nodes=2, memory='64M', vmi=vmi, cpu=cpu),
                     logs) as cluster, \
                wire.listening(cluster.net, 0) as listener:
            cluster.start(1, ['-S'])
            with accepted(cluster, 1, listener) as peer:
                yield cluster, wire.dialed_hello(peer, cluster.net.kind)


# ------------------------------------------------------------ models

def flag_names():
    """QEMU's names of CPUID's bits, each once: expansions have aliases too."""
    text = subprocess.run([str(QEMU), '-cpu', 'help'], capture_output=True,
                          text=True, check=True).stdout
    _, found, names = text.partition('CPUID flags:')
    if not found:
        raise Problem("'-cpu help' of this QEMU does not name CPUID's flags")
    return set(names.split())


@contextlib.contextmanager
def plain_qemu():
    """QMP of a QEMU without a machine, where distkvm masks nothing."""
    with tempfile.TemporaryDirectory(prefix='distkvm-qmp-') as directory:
        path = Path(directory) / 'qmp'
        with subprocess.Popen(
                [str(QEMU), '-machine', 'none', '-S', '-nodefaults',
                 '-display', 'none', '-accel', 'tcg', '-qmp',
                 f'unix:{path},server=on,wait=off'],
                stdin=subprocess.DEVNULL) as process:
            try:
                with contextlib.closing(Qmp(path)) as qmp:
                    yield qmp
            finally:
                process.kill()


def expand(qmp, model, flags, **props):
    """Features that a model has, and its vendor."""
    values = qmp.execute('query-cpu-model-expansion', type='full', model={
        'name': model, 'props': props})['model']['props']
    return {name for name in flags if values.get(name) is True} - \
        ARRANGEMENT, values['vendor']


def named_models(qmp):
    """Versioned models and whether they are deprecated."""
    return {m['name']: m['deprecated']
            for m in qmp.execute('query-cpu-definitions')
            if m['name'] not in NO_MODELS and 'alias-of' not in m}


def describe_models(node, flags):
    """Each model: as this node would start it, and what QEMU alone adds."""
    models = {}
    masks = {name: False for name in MASKED}
    with plain_qemu() as plain:
        for name, deprecated in sorted(named_models(plain).items()):
            started, _ = expand(node, name, flags)
            # KVM shows its host's vendor.
            whole, vendor = expand(plain, name, flags)
            rest, _ = expand(plain, name, flags, **masks)
            models[name] = {'vendor': vendor, 'deprecated': deprecated,
                            'features': ' '.join(sorted(started)),
                            'masked': ' '.join(sorted(whole - rest))}
    return models


# -------------------------------------------------------------- hosts

def processor():
    with contextlib.suppress(OSError):
        found = re.search(r'^model name\s*: (.*)$',
                          Path('/proc/cpuinfo').read_text(), re.M)
        if found:
            return found.group(1)
    return 'unknown'


def kvm_parameters():
    """Parameters of KVM's modules that decide how memory is translated."""
    modules = {}
    for module in sorted(MODULES.glob('kvm*')):
        modules[module.name] = {}
        for name in KVM_PARAMETERS:
            with contextlib.suppress(OSError):
                modules[module.name][name] = \
                    (module / 'parameters' / name).read_text().strip()
    return modules


def xsave_layout(text):
    """Bytes and offset of each component, from the hello's text."""
    return {number: [int(size), int(offset)] for number, size, offset in
            re.findall(r'(\d+): (\d+) at (\d+)', text)}


def chosen_vmi(what):
    """'local' is KVM where there is one."""
    if what == 'tcg':
        return 'tcg'
    if not KVM.exists():
        say(f'this host has no {KVM}: its nodes run with TCG')
        return 'tcg'
    if not os.access(KVM, os.R_OK | os.W_OK):
        raise Problem(f"no access to {KVM}: add yourself to its group "
                      "(usermod -aG kvm USER), or say 'tcg' if nodes here "
                      'run with vmi=tcg')
    return 'kvm'


def ask_node(vmi, flags, cpu=EVERYTHING):
    """Its models and its hello."""
    try:
        with lone_node(vmi, cpu) as (cluster, hello):
            return describe_models(cluster.qmp(1), flags), hello
    except Problem as problem:
        found = re.search(r'failed to set MSR (\w+) ', str(problem))
        refused = found and REFUSED_MSRS.get(found.group(1))
        if not refused or refused in cpu:
            raise
    say(f'KVM says that it has {refused}, and refuses to set it: left out')
    return ask_node(vmi, flags, f'{cpu},{refused}=off')


def describe(what='local'):
    """What this host's nodes can give, as it goes into a file."""
    need_qemu()
    vmi = chosen_vmi(what)
    flags = flag_names()
    try:
        models, hello = ask_node(vmi, flags)
    except Problem as problem:
        otherwise = '' if vmi == 'tcg' else \
            "; say 'tcg' if nodes here run with vmi=tcg"
        raise Problem(f'{problem}{otherwise}') from None
    cpu, facts = hello['cpu'], hello['facts']
    return {
        'format': FORMAT, 'version': VERSION,
        'host': platform.node(), 'vmi': vmi, 'processor': processor(),
        'kernel': platform.release(), 'kvm': kvm_parameters(),
        'qemu': facts['QEMU version'], 'distkvm': facts['distkvm version'],
        'vendor': cpu['vendor'], 'phys-bits': cpu['address-bits'],
        'tsc-khz': hello['tsc-khz'], 'tsc-scaling': hello['tsc-scaling'],
        'xsave': xsave_layout(cpu['xsave']),
        'features': ' '.join(sorted(flags & set(cpu['features'])
                                    - ARRANGEMENT)),
        'models': models}
