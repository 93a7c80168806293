# SPDX-License-Identifier: GPL-2.0-or-later
"""Cluster files: errors with their lines, and the command lines of nodes."""

import subprocess
import sys

import pytest

from distkvm import cluster_command, cluster_devices, cluster_file
from distkvm.cluster import Cluster, Shape
from distkvm.common import QEMU, TOP
from mistakes import (DEVICE_MISTAKES, DEVICES, FILES, HOSTS, MISTAKES,
                      SMALLEST)
from naming import cases, named


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


@cases('text, expected', {f'static: cluster file: {name}': mistake
                          for name, mistake in FILES.items()})
def test_file(tmp_path, text, expected):
    with pytest.raises(cluster_file.FileErrors) as raised:
        load(tmp_path, text)
    errors = raised.value.errors
    assert len(errors) == 1 and expected in errors[0], errors


@named('static: cluster file: a cap that just fits')
def test_cap(tmp_path):
    """The share is rounded down, and may be less than a whole unit."""
    for cap in ('40M', '41M'):
        load(tmp_path, f'[guest]\nmemory = "66M"\n[[node]]\n[[node]]\ncap = '
             f'"{cap}"\n')


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
