# SPDX-License-Identifier: GPL-2.0-or-later
"""Cluster files: errors with their lines, and the command lines of nodes."""

import subprocess
import sys

import pytest

from distkvm import cluster_command, cluster_file
from distkvm.cluster import Cluster, Shape
from distkvm.common import QEMU, TOP
from naming import cases, named

SMALLEST = '''[guest]
memory = "2G"
disks = ["disk.img"]
[[node]]
[[node]]
'''
HOSTS = '''[cluster]
name = "one"
keys = "/etc/distkvm/keys"
[guest]
memory = "3G"
cpu = "EPYC"
kernel = "/boot/vmlinuz"
append = """
memory = 1"""
[[node]]
id = 1
host = "root@hostB"
memory = "1G"
cap = "1200M"
vcpus = 0
[[node]]
id = 0
host = "local"
address = "hostA:7700"
memory = "2G"
vcpus = 2
vmi = "kvm"
'''
# Text that is replaced, its replacement, and the one error that follows.
MISTAKES = {
    'a wrong key': ('cap =', 'cpa =', '14: key node[0].cpa: is unknown, '
                    'write "cap"'),
    'a wrong table': ('[cluster]', '[clutser]', '1: key clutser: is unknown, '
                      'write "cluster"'),
    'a wrong type': ('vcpus = 2', 'vcpus = "2"', '21: key node[1].vcpus: is '
                     'not a whole number, write a whole number'),
    'true is no number': ('vcpus = 2', 'vcpus = true', '21: key '
                          'node[1].vcpus: is not a whole number'),
    'a wrong size': ('"1200M"', '"1200"', "14: key node[0].cap: '1200' is "
                     'not a size'),
    'ids overlap': ('id = 1', 'id = 0', '17: key node[1].id: 0 is that of '
                    'node[0], too'),
    'an id too high': ('id = 1', 'id = 2', '11: key node[0].id: 2 is not '
                       'below the number of nodes, 2'),
    'an id is missing': ('id = 1\n', '', 'key node[0].id: is missing'),
    'addresses overlap': ('"hostA:7700"', '"hostB:7701"', '19: key '
                          "node[1].address: 'hostB:7701' is that of node[0]"),
    'a port out of range': ('hostA:7700', 'hostA:77000', '19: key '
                            'node[1].address: the port is out of range'),
    'no address here': ('address = "hostA:7700"\n', '', '16: key '
                        'node[1].address: is missing'),
    'an option of ssh': ('"root@hostB"', '"-oProxyCommand=x"', '12: key '
                         'node[0].host:'),
    'an unknown VMI': ('"kvm"', '"kvmm"', "22: key node[1].vmi: 'kvmm' is "
                       'unknown, write "tcg", "kvm", "auto"'),
    'devices on a node': ('cap = "1200M"', 'disks = ["/x"]', '14: key '
                          'node[0].disks: devices are those of node 0, name '
                          'them in [guest]'),
    'shm between hosts': ('name = "one"', 'transport = "shm"', '2: key '
                          'cluster.transport: "shm" is for one host'),
    'unknown credentials': ('name = "one"', 'credentials = "pks"', '2: key '
                            "cluster.credentials: 'pks' is unknown"),
    'keys of nothing': ('name = "one"', 'credentials = "insecure"', '3: key '
                        'cluster.keys: credentials = "insecure" have no'),
    'shares that do not fit': ('"3G"', '"4G"', '5: key guest.memory: 4G is '
                               "not the sum of the nodes' memory"),
    'memory is missing': ('memory = "3G"\n', '', '4: key guest.memory: is '
                          'missing'),
    'no vCPU on node 0': ('vcpus = 2', 'vcpus = 0', '21: key node[1].vcpus: '
                          'vCPU 0 must be on node 0'),
    'no kernel': ('kernel = "/boot/vmlinuz"\n', '', '7: key guest.append: '
                  'there is no kernel'),
    'an argument of all nodes': ('cpu = "EPYC"', 'arguments = ["-smp", "4"]',
                                 '6: key guest.arguments: "-smp" is common '
                                 'to all nodes'),
    'a relative path elsewhere': ('"/etc/distkvm/keys"', '"keys"', 'key '
                                  'node[0].keys: is a relative path on '
                                  'another host'),
    'no TOML': ('cpu =', 'cpu ', '6: is no TOML:'),
    'a NUL': ('"EPYC"', r'"a\u0000"', '6: key guest.cpu: is empty or'),
}


def load(tmp_path, text):
    path = tmp_path / 'c.toml'
    path.write_text(text)
    return cluster_file.load(path)


@cases('old, new, expected', {f'static: cluster file: {name}': mistake
                   for name, mistake in MISTAKES.items()})
def test_mistake(tmp_path, old, new, expected):
    assert HOSTS.count(old) == 1
    with pytest.raises(cluster_file.FileErrors) as raised:
        load(tmp_path, HOSTS.replace(old, new))
    errors = raised.value.errors
    assert len(errors) == 1 and expected in errors[0], errors
    assert errors[0].startswith(f'{tmp_path}/c.toml:')


@named('static: cluster file: all errors at once, in order')
def test_all(tmp_path):
    with pytest.raises(cluster_file.FileErrors) as raised:
        load(tmp_path, HOSTS.replace('cap =', 'cpa =').replace(
            '"kvm"', '"x"').replace('name =', 'nmae ='))
    assert [e.split(':')[1] for e in raised.value.errors] == \
        ['2', '14', '22']


@named('static: cluster file: one machine in five lines')
def test_smallest(tmp_path):
    file = load(tmp_path, SMALLEST)
    assert len(SMALLEST.splitlines()) == 5
    first, second = (cluster_command.command(file, n, '/run/x')
                     for n in (0, 1))
    assert first[0] == second[0] == str(QEMU)
    accel = second[second.index('-accel') + 1]
    assert accel == ('distkvm,vmi=tcg,node=1,peers=unix:2:/run/x/net,'
                     'vcpus=1/1')
    assert f'file={tmp_path}/disk.img,format=raw,if=virtio' in first
    assert not any('disk.img' in arg for arg in second)


@named('static: cluster file: nodes of two hosts')
def test_hosts(tmp_path):
    file = load(tmp_path, HOSTS)
    assert [n.host for n in file.nodes] == ['local', 'root@hostB']
    first, second = (cluster_command.command(file, n, '/run/x')
                     for n in (0, 1))
    assert second[second.index('-accel') + 1] == (
        'distkvm,vmi=tcg,node=1,peers=hostA:7700/hostB:7701,'
        'tls-creds=distkvm-key,vcpus=2/0,mem=2G/1G,cluster=one,cap=1200M')
    assert 'cap=' not in first[first.index('-accel') + 1]
    # A line of a text over several lines is no key.
    assert first[first.index('-append') + 1] == 'memory = 1'
    assert second[second.index('-object') + 1].startswith(
        'tls-creds-psk,id=distkvm-key,dir=/etc/distkvm/keys,')


@named('static: cluster file: run makes the same command lines')
def test_same(tmp_path):
    file = load(tmp_path, SMALLEST.replace('disks = ["disk.img"]', ''))
    ours = cluster_command.command(file, 1, '/run/x')
    cluster = Cluster(Shape(nodes=2, memory='2G', smp='2', vcpus='1/1',
                            sandbox=True), tmp_path)
    theirs = cluster.command(1)
    text = ' '.join(theirs[theirs.index(str(QEMU)):])
    text = text.replace(str(cluster.net.directory), '/run/x/net')
    text = text.replace(str(cluster.run_dir), '/run/x')
    cluster.end()
    assert ' '.join(ours) == text


@named('static: cluster file: commas in paths')
def test_commas(tmp_path):
    file = load(tmp_path, SMALLEST.replace('disk.img', '/a,readonly=on'))
    assert 'file=/a,,readonly=on,format=raw,if=virtio' in \
        cluster_command.command(file, 0, '/run/x')


@named('static: cluster file: check ends with 2 and one line an error')
def test_verb(tmp_path):
    path = tmp_path / 'c.toml'
    for text, status, lines in ((SMALLEST, 0, 0), ('[guest]\n', 2, 2),
                                ('\0', 2, 1), ('a = ' + '[' * 9999, 2, 1),
                                ('node = 3', 2, 2), ('guest = []', 2, 2)):
        path.write_text(text)
        done = subprocess.run(
            [sys.executable, TOP / 'scripts' / 'distkvm', 'check', path],
            capture_output=True, text=True, check=False)
        assert done.returncode == status, (text[:20], done)
        assert len(done.stderr.splitlines()) == lines, (text[:20], done)
