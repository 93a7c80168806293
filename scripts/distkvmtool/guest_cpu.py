# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm cpu-baseline: nodes take what it finds, and it drops no more."""

import copy
import json
import tempfile
from pathlib import Path

from distkvm import build
from distkvm.cluster import Cluster, Shape
from distkvm.common import BUILD, QEMU_BUILD, Problem
from distkvm.cli.cpu_baseline import Host, combine, tried
from distkvm.cpu_describe import (ADDED, MASKED, VERSION, describe, expand,
                                  flag_names, plain_qemu)
from .guest_run import tool
from .guest_tiny import COMMON_CPU, need_kvm

HEADLESS = ['-nodefaults', '-display', 'none', '-S']
# What QEMU says of a CPU that is not as it was asked for.
NOT_AS_ASKED = "doesn't support requested feature"
# Some that the model has for TCG, and some that are added.
REMOVED = {'aes', 'clwb', 'popcnt', 'rdrand', 'sha-ni'}
FEW_BITS = 36
# Where AMD's processors without AVX-512 have it.
PKRU_OF_AMD = [8, 2432]


def joins(name, cpu, vmi='tcg', env=None):
    """Two nodes with this CPU become one machine, and are not warned."""
    with Cluster(Shape(nodes=2, memory='64M', cpu=cpu, vmi=vmi,
                       env=env or {}), BUILD / 'log' / name) as cluster:
        for node in (1, 0):
            cluster.start(node, HEADLESS)
        cluster.wait_formed()
        for node in (0, 1):
            if NOT_AS_ASKED in cluster.log(node).read_text(errors='replace'):
                raise Problem(f'node {node} cannot give {cpu}')


def twins():
    """TCG here, and another host that a test makes different."""
    about = describe('tcg')
    return [Host('tcg', about, here=True), Host('other', copy.deepcopy(about))]


def check(name, hosts, vmi='tcg'):
    baseline = combine(hosts)
    wrong = [text for text in tried(hosts, baseline).values() if text]
    if wrong:
        raise Problem('; '.join(wrong))
    joins(name, baseline.cpu, vmi)
    return baseline


def masks():
    """What distkvm masks and adds is what this believes it does."""
    with plain_qemu() as plain:
        features, _ = expand(plain, 'max', flag_names(),
                             **{name: False for name in MASKED})
    described = set(describe('tcg')['features'].split())
    differ = described ^ (features | set(ADDED))
    if differ:
        raise Problem(f'differ: {sorted(differ)}')


def alone(name):
    baseline = check(name, [Host('tcg', describe('tcg'), here=True)])
    if any(why.startswith('not on') for why in baseline.minus.values()):
        raise Problem(f'{baseline.model} does not fit: {baseline.minus}')
    return baseline.model


def fewer_features(name):
    """Exactly what the other host lacks is dropped, and it is named."""
    hosts = twins()
    before = combine(hosts)
    hosts[1].about['features'] = ' '.join(hosts[1].features - REMOVED)
    baseline = check(name, hosts)
    dropped = before.features - baseline.features
    if dropped != REMOVED or baseline.features - before.features:
        raise Problem(f'dropped {sorted(dropped)}, not {sorted(REMOVED)}')
    if not REMOVED <= set(baseline.lacks['other']) or baseline.lacks['tcg']:
        raise Problem(f'it blames {baseline.lacks}')


def fewer_bits(name):
    hosts = twins()
    hosts[1].about['phys-bits'] = FEW_BITS
    baseline = check(name, hosts)
    if f'phys-bits={FEW_BITS}' not in baseline.cpu.split(','):
        raise Problem(f'not the minimum: {baseline.cpu}')


def other_layout(name):
    """A feature whose registers lie elsewhere is for no host."""
    hosts = twins()
    if 'pku' not in hosts[0].features:
        raise Problem('TCG has no pku to test this with')
    hosts[1].about['xsave']['9'] = PKRU_OF_AMD
    baseline = check(name, hosts)
    if 'pku' in baseline.features or 'avx' not in baseline.features:
        raise Problem(f'wrong: {sorted(baseline.features)}')


def other_format():
    """A file of another version is refused by name, with the remedy."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / 'old.json'
        about = describe('tcg')
        about['version'] = VERSION + 1
        path.write_text(json.dumps(about))
        result = tool('cpu-baseline', str(path), timeout=60)
    if result.returncode != 1 or result.stdout:
        raise Problem(f'exit status {result.returncode}: {result.stdout}')
    for wanted in (str(path), f'version {VERSION + 1}', '--describe'):
        if wanted not in result.stderr:
            raise Problem(f"it does not say '{wanted}': {result.stderr}")


def as_a_user(name):
    """The verb itself: what it prints can be given to nodes as it is."""
    result = tool('cpu-baseline', '--json', 'tcg', timeout=60)
    if result.returncode:
        raise Problem(f'exit status {result.returncode}: {result.stderr}')
    found = json.loads(result.stdout)
    if not found['tried-here']['tcg']['holds']:
        raise Problem(f'it does not hold: {found}')
    joins(name, found['cpu'])


def with_kvm(name):
    """A KVM node and a TCG node in one guest."""
    need_kvm('kvm')
    return check(name, [Host('local', describe('local'), here=True),
                        Host('tcg', describe('tcg'), here=True)],
                 'kvm,tcg').model


def old_kvm(name):
    """Where KVM cannot set the TSC, nobody is told to rely on it."""
    need_kvm('kvm')
    target = 'tests/qtest/distkvm/distkvm-old-kvm.so'
    build.build_qemu(target)
    shape = Shape(nodes=2, memory='64M', vmi='tcg,kvm', cpu=COMMON_CPU,
                  env={'LD_PRELOAD': str(QEMU_BUILD / target)})
    with Cluster(shape, BUILD / 'log' / name) as cluster:
        for node in (1, 0):
            cluster.start(node, HEADLESS)
        if cluster.wait(20)[1] != 1:
            raise Problem('the nodes became one')
        log = cluster.log(1).read_text(errors='replace')
        for wanted in ('does not set the TSC', 'invtsc=off',
                       'node 1 lacks invtsc', 'cpu-baseline'):
            if wanted not in log:
                raise Problem(f"it does not say '{wanted}': {log}")
    joins(name, f'{COMMON_CPU},invtsc=off', 'kvm,tcg', shape.env)


def run(results, full):
    del full
    results.run('cpu: distkvm masks what cpu-baseline knows', masks)
    results.run('cpu: baseline of TCG', alone, 'cpu-tcg')
    results.run('cpu: baseline as printed', as_a_user, 'cpu-printed')
    results.run('cpu: a host with fewer features', fewer_features,
                'cpu-features')
    results.run('cpu: a host with fewer address bits', fewer_bits, 'cpu-bits')
    results.run('cpu: a host with another XSAVE layout', other_layout,
                'cpu-xsave')
    results.run('cpu: a description of another version', other_format)
    results.run('cpu: baseline of KVM and TCG', with_kvm, 'cpu-kvm-tcg')
    results.run('cpu: a KVM that cannot set the TSC', old_kvm, 'cpu-old-kvm')
