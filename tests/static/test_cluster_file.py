# SPDX-License-Identifier: GPL-2.0-or-later
"""Cluster files: errors with their lines, and the command lines of nodes."""

import subprocess
import sys

import pytest

from distkvm import cluster_command, cluster_devices, cluster_file
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
    'disks of a node': ('cap = "1200M"', 'disks = ["/x"]', '14: key '
                        'node[0].disks: is unknown, write [[node.disk]]'),
    'a kernel of a node': ('cap = "1200M"', 'kernel = "/x"', '14: key '
                           "node[0].kernel: is the guest's, and node 0's"),
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
    'an argument with two dashes': (
        'cpu = "EPYC"', 'arguments = ["--enable-kvm"]',
        '6: key guest.arguments: "--enable-kvm" is common to all nodes'),
    'a node that leaves': ('cpu = "EPYC"', 'arguments = ["-daemonize"]',
                           '6: key guest.arguments: "-daemonize" takes QEMU '
                           'away'),
    'one port in two ways': ('"hostA:7700"', '"hostB:07701"', '19: key '
                             "node[1].address: 'hostB:07701' is no address"),
    'an address like an option': ('"hostA:7700"', '"-h:7700"', '19: key '
                                  "node[1].address: '-h:7700' is no address"),
    'a number without end': ('vcpus = 2', f'vcpus = {"9" * 5000}',
                             'is no TOML: '),
    'after quotes in a comment': ('name = "one"', 'name = "one" # """',
                                  None),
    'after quotes in quotes': ('name = "one"', "name = 'one' # \"\"\"'",
                               None),
    'after quotes in a text': ('"EPYC"', '\'a"""b\'', None),
    'after an escaped quote': ('"EPYC"', r'"a\"" # """', None),
    'after a text in single quotes': (
        '"EPYC"', "'''a\"\"\"b'''", None),
    'after a quote in a long text': ('memory = 1"""', 'a = \\"""\nb"""',
                                     None),
    'after other ends of lines': ('"EPYC"', '"a\u2028b\x85c"', None),
    'in a table in quotes': ('[guest]', '["guest"]', None),
    'a relative path elsewhere': ('"/etc/distkvm/keys"', '"keys"', 'key '
                                  'node[0].keys: is a relative path on '
                                  'another host'),
    'no TOML': ('cpu =', 'cpu ', '6: is no TOML:'),
    'a control character': ('"EPYC"', r'"a\u0001"', '6: key guest.cpu: is '
                            'empty or has a control character'),
    'a control character in a list': (
        'cpu = "EPYC"', r'disks = ["a\u001f"]',
        '6: key guest.disks: has an empty text or a control character'),
    'a NUL': ('"EPYC"', r'"a\u0000"', '6: key guest.cpu: is empty or'),
}


# Of both nodes; the second one's are in its last lines.
DEVICES = """
[[node.disk]]
file = "/a.qcow2"
[[node.disk]]
file = "/b,c.img"
bus = "scsi"
boot = 1
cache = "none"
[[node.interface]]
mac = "52:54:00:00:00:01"
[[node.interface]]
tap = "tap0"
model = "e1000e"
"""
DEVICE_MISTAKES = {
    'a wrong key of a disk': ('cache =', 'chace =', '30: key node[1].disk[1]'
                              '.chace: is unknown, write "cache"'),
    'a disk without a file': ('file = "/a.qcow2"', '', '24: key '
                              'node[1].disk[0].file: is missing'),
    'a wrong bus': ('"scsi"', '"ide"', "28: key node[1].disk[1].bus: 'ide' "
                    'is unknown, write "virtio", "scsi"'),
    'a CD on virtio': ('file = "/a.qcow2"', 'file = "/a"\nbus = "virtio"\n'
                       'cdrom = true', '26: key node[1].disk[0].bus: a CD '
                       'cannot be on "virtio"'),
    'a CD that is written': ('file = "/a.qcow2"', 'file = "/a"\ncdrom = true'
                             '\nreadonly = false', '27: key node[1].disk[0]'
                             '.readonly: nothing writes a CD'),
    'one disk twice': ('/a.qcow2', '/b,c.img', "27: key node[1].disk[1].file:"
                       " '/b,c.img' is that of node[1].disk[0].file, too"),
    'one disk of two kinds': (
        'vmi = "kvm"\n', 'vmi = "kvm"\ndisk = [{file = "/a"}, {file = "/a", '
        'readonly = true}]\n', "23: key node[1].disk[1].file: '/a' is that"),
    'one place in the order twice': (
        'file = "/a.qcow2"', 'file = "/a"\nboot = 1', '30: key '
        'node[1].disk[1].boot: 1 is that of node[1].disk[0].boot, too'),
    'an order from 0': ('boot = 1', 'boot = 0', '29: key '
                        'node[1].disk[1].boot: 0 is out of range'),
    'an address of many': ('52:54', '53:54', '32: key '
                           "node[1].interface[0].mac: '53:54:00:00:00:01' is "
                           'no address of an interface'),
    'one address twice': ('tap = "tap0"', 'mac = "52:54:00:00:00:01"',
                          '34: key node[1].interface[1].mac: '
                          '52:54:00:00:00:01 is that of '
                          'node[1].interface[0].mac, too'),
    'one tap twice': ('mac = "52:54:00:00:00:01"', 'tap = "tap0"', '34: key '
                      'node[1].interface[1].tap: tap0 is that of '),
    'no name of a tap': ('"tap0"', '"tap0,script=/x"', '34: key '
                         "node[1].interface[1].tap: 'tap0,script=/x' is no "
                         'name of a tap device'),
    'a disk that is no table': (
        'vmi = "kvm"', 'vmi = "kvm"\ninterface = "/x"', '23: key '
        'node[1].interface: is not a list of tables, write '
        '[[node.interface]]'),
    'too many devices': (
        'vmi = "kvm"', 'vmi = "kvm"\ninterface = [' + '{}, ' * 32 + ']',
        '23: key node[1].interface: 32 PCI devices are too many'),
}


def load(tmp_path, text):
    path = tmp_path / 'c.toml'
    path.write_text(text)
    return cluster_file.load(path)


# The mistake of a file that has none yet, in its last line.
AFTER = 'vmi = "kvm"\n', 'vmi = "kvmm"\n'


@cases('old, new, expected', {f'static: cluster file: {name}': mistake
                   for name, mistake in MISTAKES.items()})
def test_mistake(tmp_path, old, new, expected):
    assert HOSTS.count(old) == 1
    text = HOSTS.replace(old, new)
    if expected is None:
        text = text.replace(*AFTER)
        last = len(text.split('\n')) - 1
        expected = f"{last}: key node[1].vmi: 'kvmm' is unknown"
    with pytest.raises(cluster_file.FileErrors) as raised:
        load(tmp_path, text)
    errors = raised.value.errors
    assert len(errors) == 1 and expected in errors[0], errors
    assert errors[0].startswith(f'{tmp_path}/c.toml:')


@cases('old, new, expected', {f'static: cluster file: devices: {name}':
                              mistake for name, mistake in
                              DEVICE_MISTAKES.items()})
def test_device(tmp_path, old, new, expected):
    text = HOSTS + DEVICES
    if old.startswith('vmi'):
        text = HOSTS
    assert text.count(old) == 1
    with pytest.raises(cluster_file.FileErrors) as raised:
        load(tmp_path, text.replace(old, new))
    errors = raised.value.errors
    assert len(errors) == 1 and expected in errors[0], errors


@named('static: cluster file: devices of nodes are arguments')
def test_devices(tmp_path):
    file = load(tmp_path, HOSTS.replace('[[node]]\nid = 0', """
[[node.disk]]
file = "/cd.iso"
cdrom = true
[[node.interface]]
[[node]]
id = 0""") + DEVICES)
    first, second = (cluster_command.command(file, n, '/run/x')
                     for n in (0, 1))
    assert second[second.index('-display') + 2:] == [
        '-device', 'virtio-scsi-pci,id=scsi',
        '-drive', 'file=/cd.iso,format=raw,if=none,id=drive0,readonly=on',
        '-device', 'scsi-cd,bus=scsi.0,drive=drive0,id=disk0',
        '-netdev', 'user,id=net0', '-device',
        'virtio-net-pci,netdev=net0,id=nic0,mac=' +
        cluster_devices.mac_of(file, file.nodes[1], 0)]
    assert first[first.index('-append') + 2:] == [
        '-device', 'virtio-scsi-pci,id=scsi',
        '-drive', 'file=/a.qcow2,format=qcow2,if=none,id=drive0',
        '-device', 'virtio-blk-pci,drive=drive0,id=disk0',
        '-drive', 'file=/b,,c.img,format=raw,if=none,id=drive1,cache=none',
        '-device', 'scsi-hd,bus=scsi.0,drive=drive1,id=disk1,bootindex=1',
        '-netdev', 'user,id=net0', '-device',
        'virtio-net-pci,netdev=net0,id=nic0,mac=52:54:00:00:00:01',
        '-netdev', 'tap,ifname=tap0,script=no,downscript=no,id=net1',
        '-device', 'e1000e,netdev=net1,id=nic1,mac=' +
        cluster_devices.mac_of(file, file.nodes[0], 1)]
    # No two processes have QEMU's own address.
    macs = {cluster_devices.mac_of(file, file.nodes[n], i)
            for n, i in ((0, 1), (1, 0))}
    assert len(macs) == 2 and all(cluster_devices.MAC.fullmatch(m)
                                  for m in macs)


@named('static: cluster file: relative paths of disks, and shared ones')
def test_disk_paths(tmp_path):
    file = load(tmp_path, SMALLEST + 'disk = [{file = "b.img"}, {file = '
                '"c.iso", cdrom = true}, {file = "c.iso", readonly = true}]')
    assert [d.file for d in file.nodes[1].disks] == \
        [f'{tmp_path}/{n}' for n in ('b.img', 'c.iso', 'c.iso')]
    with pytest.raises(cluster_file.FileErrors, match=r"6: key node\[1\]"
                       r'.disk\[0\].file: .* is that of guest.disks, too'):
        load(tmp_path, SMALLEST + 'disk = [{file = "disk.img"}]')


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


@named('static: cluster file: a screen')
def test_screen(tmp_path):
    file = load(tmp_path, SMALLEST.replace('[[node]]', 'graphics = "vnc"\n'
                                           '[[node]]', 1))
    first, second = (cluster_command.command(file, n, '/run,x')
                     for n in (0, 1))
    assert first[first.index('-vnc') + 1] == 'unix:/run,,x/vnc'
    assert 'VGA' in first and 'usb-tablet,bus=usb.0' in first
    assert '-vnc' not in second


@named('static: cluster file: check ends with 2 and one line an error')
def test_verb(tmp_path):
    path = tmp_path / 'c.toml'
    for text, status, lines in ((SMALLEST, 0, 0), ('[guest]\n', 2, 2),
                                ('\0', 2, 1), ('a = ' + '[' * 9999, 2, 1),
                                ('node = 3', 2, 2), ('guest = []', 2, 2)):
        path.write_text(text)
        done = subprocess.run(
            [sys.executable, TOP / 'scripts' / 'distkvm', 'check',
             '--offline', path],
            capture_output=True, text=True, check=False)
        assert done.returncode == status, (text[:20], done)
        assert len(done.stderr.splitlines()) == lines, (text[:20], done)
