# SPDX-License-Identifier: GPL-2.0-or-later
"""distkvm cpu-baseline: nodes take what it finds, and it drops no more."""

import copy
import json
import tempfile
from pathlib import Path

import pytest

from distkvm.cluster import COMMON_CPU, Cluster, Shape
from distkvm.common import BUILD, QEMU_BUILD, Problem
from distkvm.cli.cpu_baseline import Host, combine, tried
from distkvm.cpu_describe import (ADDED, MASKED, VERSION, describe, expand,
                                  flag_names, plain_qemu)
from commands import tool
from naming import named

HEADLESS = ['-nodefaults', '-display', 'none', '-S']
# Words of QEMU for a CPU that lacks what was asked for.
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


@named('cpu: distkvm masks what cpu-baseline knows')
def test_masks():
    """What distkvm masks and adds is what this believes it does."""
    with plain_qemu() as plain:
        features, _ = expand(plain, 'max', flag_names(),
                             **{name: False for name in MASKED})
    described = set(describe('tcg')['features'].split())
    differ = described ^ (features | set(ADDED))
    if differ:
        raise Problem(f'differ: {sorted(differ)}')


@named('cpu: baseline of TCG')
def test_alone(note):
    baseline = check('cpu-tcg', [Host('tcg', describe('tcg'), here=True)])
    if any(why.startswith('not on') for why in baseline.minus.values()):
        raise Problem(f'{baseline.model} does not fit: {baseline.minus}')
    note(baseline.model)


@named('cpu: a host with fewer features')
def test_fewer_features():
    """Exactly what the other host lacks is dropped, and it is named."""
    hosts = twins()
    before = combine(hosts)
    hosts[1].about['features'] = ' '.join(hosts[1].features - REMOVED)
    baseline = check('cpu-features', hosts)
    dropped = before.features - baseline.features
    if dropped != REMOVED or baseline.features - before.features:
        raise Problem(f'dropped {sorted(dropped)}, not {sorted(REMOVED)}')
    if not REMOVED <= set(baseline.lacks['other']) or baseline.lacks['tcg']:
        raise Problem(f'it blames {baseline.lacks}')


@named('cpu: a host with fewer address bits')
def test_fewer_bits():
    hosts = twins()
    hosts[1].about['phys-bits'] = FEW_BITS
    baseline = check('cpu-bits', hosts)
    if f'phys-bits={FEW_BITS}' not in baseline.cpu.split(','):
        raise Problem(f'not the minimum: {baseline.cpu}')


@named('cpu: a host with another XSAVE layout')
def test_other_layout():
    """A feature whose registers lie elsewhere is for no host."""
    hosts = twins()
    if 'pku' not in hosts[0].features:
        raise Problem('TCG has no pku to test this with')
    hosts[1].about['xsave']['9'] = PKRU_OF_AMD
    baseline = check('cpu-xsave', hosts)
    if 'pku' in baseline.features or 'avx' not in baseline.features:
        raise Problem(f'wrong: {sorted(baseline.features)}')


@named('cpu: a description of another version')
def test_other_format():
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


@named('cpu: baseline as printed')
def test_as_a_user():
    """The verb itself: what it prints can be given to nodes as it is."""
    result = tool('cpu-baseline', '--json', 'tcg', timeout=60)
    if result.returncode:
        raise Problem(f'exit status {result.returncode}: {result.stderr}')
    found = json.loads(result.stdout)
    if not found['tried-here']['tcg']['holds']:
        raise Problem(f'it does not hold: {found}')
    joins('cpu-printed', found['cpu'])


@pytest.mark.kvm
@named('cpu: baseline of KVM and TCG')
def test_with_kvm(note):
    """A KVM node and a TCG node in one guest."""
    note(check('cpu-kvm-tcg', [Host('local', describe('local'), here=True),
                               Host('tcg', describe('tcg'), here=True)],
               'kvm,tcg').model)


@pytest.mark.kvm
@named('cpu: a KVM that cannot set the TSC')
def test_old_kvm():
    """Where KVM cannot set the TSC, nobody is told to rely on it."""
    target = 'tests/qtest/distkvm/distkvm-old-kvm.so'
    shape = Shape(nodes=2, memory='64M', vmi='tcg,kvm', cpu=COMMON_CPU,
                  env={'LD_PRELOAD': str(QEMU_BUILD / target)})
    with Cluster(shape, BUILD / 'log' / 'cpu-old-kvm') as cluster:
        for node in (1, 0):
            cluster.start(node, HEADLESS)
        if cluster.wait(20)[1] != 1:
            raise Problem('the nodes became one')
        log = cluster.log(1).read_text(errors='replace')
        for wanted in ('does not set the TSC', 'invtsc=off',
                       'node 1 lacks invtsc', 'cpu-baseline'):
            if wanted not in log:
                raise Problem(f"it does not say '{wanted}': {log}")
    joins('cpu-old-kvm', f'{COMMON_CPU},invtsc=off', 'kvm,tcg', shape.env)
