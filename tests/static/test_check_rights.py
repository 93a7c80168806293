# SPDX-License-Identifier: GPL-2.0-or-later
"""check: the right to userfaultfd, and the CPU of all hosts."""

import json
import os
import re

import pytest

from distkvm import cluster_file
from distkvm.common import TOP
from distkvm.cpu_describe import FORMAT, VERSION
from distkvm.operate import check, facts
from distkvm.operate.remote import Hosts
from naming import cases, named
from operating import on_other_host, place, two_hosts

pytestmark = pytest.mark.overlaps

USER = 1000
REFUSED = 'key node[0].host: this user has no access to {}, run there: chgrp'


@cases('mode, user, sysctl, refused', {
    'static: check: a user may open userfaultfd': (True, USER, '0', False),
    'static: check: root needs no device for it': (None, 0, '0', False),
    'static: check: the sysctl lets all users do it': (False, USER, '1', False),
    'static: check: a user may not open userfaultfd':
        (False, USER, '0', True),
    'static: check: a kernel without the device': (None, USER, None, True)})
def test_userfaultfd(monkeypatch, tmp_path, mode, user, sysctl, refused):
    """`mode`: whether the device lets the user in; None if there is none."""
    device, setting = tmp_path / 'userfaultfd', tmp_path / 'sysctl'
    if mode is not None:
        device.touch()
    if sysctl is not None:
        setting.write_text(f'{sysctl}\n')
    access = os.access

    def asked(path, how, **more):
        # Root, who runs this, may open all.
        return access(path, how, **more) and (path != device or bool(mode))

    monkeypatch.setattr(facts, 'USERFAULTFD', device)
    monkeypatch.setattr(facts, 'UNPRIVILEGED', setting)
    with place() as found:
        for name in ('PATH', 'XDG_STATE_HOME', 'FAKE_CLUSTER'):
            monkeypatch.setenv(name, found.env[name])
        file = cluster_file.load(found.file)
        monkeypatch.setattr(os, 'access', asked)
        monkeypatch.setattr(os, 'geteuid', lambda: user)
        errors = check.HostCheck(file, Hosts(file)).errors
    assert [REFUSED.format(device) in error for error in errors] == \
        [True] * refused, errors


# Features of hosts, and of models.
OLD, NEW = 'lm sse2 avx', 'lm sse2 avx avx2'
FEATURES = {'here': NEW, 'there': OLD}
MODELS = {'Elder-v1': OLD, 'Younger-v1': NEW}
DESCRIBES = '''
import json, sys
sys.path.insert(0, {python!r})
from distkvm.operate import facts, host


def describe(which):
    with open({log!r}, 'a') as log:
        print({name!r}, which, file=log)
    return json.loads({about!r})


host.describe = describe
# This machine may have none.
facts.kvm = facts.shadows = facts.slow_kvm = lambda: None
'''


def description(name, vmi='kvm', **more):
    """What cpu-baseline --describe says of a host."""
    return {'format': FORMAT, 'version': VERSION, 'host': name, 'vmi': vmi,
            'processor': 'p', 'qemu': '10', 'distkvm': '0', 'vendor':
            'AuthenticAMD', 'phys-bits': 40, 'tsc-khz': 1000000,
            'tsc-scaling': True, 'xsave': {}, 'features': FEATURES[name],
            'models': {model: {'vendor': 'AuthenticAMD', 'deprecated': False,
                               'features': features, 'masked': ''}
                       for model, features in MODELS.items()}, **more}


@pytest.fixture
def described():
    """A function for the place of two hosts that are described as given."""
    with place() as found:
        two_hosts(found)
        found.asked = found.path / 'asked'

        def describes(about):
            return DESCRIBES.format(
                python=str(TOP / 'python'), log=str(found.asked),
                name=about['host'], about=json.dumps(about))

        def make(**there):
            """`there`: what differs on the other host."""
            here = found.path / 'here'
            here.mkdir()
            (here / 'sitecustomize.py').write_text(
                describes(description('here')))
            found.env['PYTHONPATH'] = str(here)
            on_other_host(found, describes(description('there', **there)))
            return found
        yield make


BEST = 'Elder-v1,phys-bits=40'


def with_kvm(found):
    """Nodes of the file run KVM from now on."""
    found.file.write_text(found.file.read_text().replace(
        '[[node]]\n', '[[node]]\nvmi = "kvm"\n'))


@named('static: check --cpu: nodes with TCG')
def test_cpu_tcg(described):
    """It gives the same CPU everywhere."""
    found = described()
    assert 'the best CPU' not in found.tool('check').stdout
    assert not found.asked.exists()
    found.tool('check', '--cpu')
    assert sorted(found.asked.read_text().splitlines()) == \
        ['here tcg', 'there tcg']


@cases('args', {'static: check --cpu: the best CPU of two hosts': ['--cpu'],
                'static: check: the best CPU of two hosts with KVM': []})
def test_cpu(described, args):
    found = described()
    with_kvm(found)
    assert f'give:\ncpu = "{BEST}"\n' in found.tool('check', *args).stdout
    assert sorted(found.asked.read_text().splitlines()) == \
        ['here local', 'there local']
    found.file.write_text(found.file.read_text().replace(
        '[guest]', f'[guest]\ncpu = "{BEST}"'))
    said = found.tool('check', *args).stdout
    assert f'give, as the file has it:\ncpu = "{BEST}"\n' in said


@named('static: check: two hosts with KVM and no CPU in common')
def test_no_cpu(described):
    found = described(qemu='9')
    with_kvm(found)
    said = found.tool('check', status=2).stderr
    assert re.search(r'c\.toml:\d+: key guest.*: no CPU is known for all '
                     'hosts: .*different versions of qemu', said), said


@named('static: check: a warning about the CPU of two hosts')
def test_cpu_warning(described):
    """Clocks of other speeds, which one host cannot adjust."""
    found = described(**{'tsc-khz': 2000000, 'tsc-scaling': False})
    with_kvm(found)
    assert re.search('warning: time stamp counters run at different',
                     found.tool('check').stderr)
