# SPDX-License-Identifier: GPL-2.0-or-later
"""libvirt domains that are made of cluster files."""

import shutil
import subprocess
import xml.etree.ElementTree as ET
from pathlib import Path
from types import SimpleNamespace

import pytest

from commands import tool
from distkvm import cluster_file, libvirt
from distkvm.cli import xml
from distkvm.common import TOP, Problem
from distkvm.libvirt_devices import letters
from naming import cases, named

EXAMPLES = TOP / 'docs' / 'libvirt'
SCHEMA = Path('/usr/share/libvirt/schemas/domain.rng')
ARG = f'{{{libvirt.QEMU_SCHEMA}}}arg'
SMALL = '[guest]\nmemory = "1G"\n[[node]]\nvcpus = 2\n[[node]]\n'
# The element of a disk, by its kind.
SOURCE = {'file': 'file', 'block': 'dev'}
# All keys that make elements.
LARGE = '''[cluster]
name = "large"
credentials = "x509"
keys = "/keys"
[guest]
memory = "3G"
machine = "pc"
cpu = "EPYC,-svm"
firmware = "/f.fd"
kernel = "/k"
initrd = "/i"
append = "a <b> & c"
graphics = "vnc"
disks = ["/a.raw", "/b,c.qcow2"]
arguments = ["-nic", "user,model=virtio-net-pci", "-cdrom", "/d.iso",
             "-device", "virtio-rng-pci"]
[[node]]
address = "hostA:7700"
vmi = "kvm"
[[node.disk]]
file = "/e.raw"
bus = "scsi"
[[node]]
host = "hostB"
[[node.disk]]
file = "/dev/vg/f"
boot = 7
cache = "none"
[[node.disk]]
file = "/g.iso"
cdrom = true
[[node.interface]]
mac = "52:54:00:00:00:01"
[[node.interface]]
tap = "tap0"
[[node.interface]]
tap = "tap1"
model = "e1000e"
'''


def domains(tmp_path, text):
    path = tmp_path / 'c.toml'
    path.write_text(text)
    file = cluster_file.load(path)
    return [libvirt.domain(file, node) for node in file.nodes]


def parsed(tmp_path, text):
    return [ET.fromstring(d) for d in domains(tmp_path, text)]


def disks(domain):
    """Of each: device, format, path, name, bus, order, and whether it is only
    read."""
    return [(d.get('device'), d.find('driver').get('type'),
             d.find('source').get(SOURCE[d.get('type')]),
             d.find('target').get('dev'), d.find('target').get('bus'),
             d.find('boot').get('order'), d.find('readonly') is not None)
            for d in domain.iter('disk')]


def arguments(domain):
    return [e.get('value') for e in domain.iter(ARG)]


@named('static: xml: the examples are what the command writes')
def test_examples(tmp_path):
    file = EXAMPLES / 'three.toml'
    done = tool('xml', str(file), '--dir', str(tmp_path))
    assert done.returncode == 0, done.stderr
    made = {p.name: p.read_text() for p in tmp_path.iterdir()}
    assert made == {p.name: p.read_text() for p in EXAMPLES.glob('*.xml')}
    assert len(made) == 3
    one = tool('xml', str(file), '--node', '1')
    assert one.stdout == made['three-1.xml']
    for args in ([], ['--node', '3'], ['--node', '-1']):
        assert tool('xml', str(file), *args).returncode == 1


@named('static: xml: directories and files in which it cannot write')
def test_unwritable(monkeypatch, tmp_path):
    file = tmp_path / 'c.toml'
    file.write_text(SMALL)
    for directory, wanted in (
            (file, f'--dir: {file} is no directory, write the path of one'),
            (file / 'x', f'{file / "x"}: Not a directory'),
            ('/proc/x', '/proc/x: No such file or directory')):
        done = tool('xml', str(file), '--dir', str(directory))
        assert (done.returncode, done.stderr) == (1, f'distkvm: {wanted}\n')
    # A file that was there stays whole when the disk is full.
    path = tmp_path / 'c-0.xml'
    path.write_bytes(b'\xff')

    def full(*_):
        raise OSError(28, 'No space left on device')

    with monkeypatch.context() as patch:
        patch.setattr(Path, 'replace', full)
        with pytest.raises(Problem, match=f'^{path}: No space left'):
            xml.write(path, 'text')
    assert path.read_bytes() == b'\xff'
    assert sorted(p.name for p in tmp_path.iterdir()) == ['c-0.xml', 'c.toml']
    done = tool('xml', str(file), '--dir', str(tmp_path))
    assert done.returncode == 0 and 'c-0.xml changed' in done.stderr
    assert path.read_text().startswith('<domain')


@named('static: xml: nodes of one machine')
def test_small(tmp_path):
    first, second = parsed(tmp_path, SMALL)
    for key, value in (('memory', '1048576'), ('vcpu', '3')):
        assert first.find(key).text == second.find(key).text == value
    assert [d.find('name').text for d in (first, second)] == ['c-0', 'c-1']
    # "virsh define" of the same file replaces the domain.
    again = parsed(tmp_path, SMALL)
    assert [d.find('uuid').text for d in (first, second)] == \
        [d.find('uuid').text for d in again]
    assert first.find('uuid').text != second.find('uuid').text
    assert arguments(second) == [
        '-accel', 'distkvm,vmi=tcg,node=1,peers=unix:2:/var/lib/libvirt/qemu/'
        'distkvm-c,vcpus=2/1']


@named('static: xml: devices are elements, each of its node')
def test_large(tmp_path):
    first, second = parsed(tmp_path, LARGE)
    system, devices = first.find('os'), first.find('devices')
    assert [system.find(t).text for t in ('loader', 'kernel', 'initrd',
                                          'cmdline')] == \
        ['/f.fd', '/k', '/i', 'a <b> & c']
    assert disks(first) == [
        ('disk', 'raw', '/a.raw', 'vda', 'virtio', '1000', False),
        ('disk', 'qcow2', '/b,c.qcow2', 'vdb', 'virtio', '1001', False),
        ('cdrom', 'raw', '/d.iso', 'hdc', 'ide', '1003', True),
        ('disk', 'raw', '/e.raw', 'sda', 'scsi', '1002', False)]
    # No order is that of two disks, on all nodes.
    assert disks(second) == [
        ('disk', 'raw', '/dev/vg/f', 'vda', 'virtio', '7', False),
        ('cdrom', 'raw', '/g.iso', 'sda', 'scsi', '2001', True)]
    assert second.find('devices/disk/driver').get('cache') == 'none'
    assert devices.find('interface/model').get('type') == 'virtio'
    # vhost, which libvirt prefers, cannot work.
    assert [(i.get('type'), i.find('model').get('type'),
             i.find('target') is not None, i.find('driver') is not None)
            for i in second.iter('interface')] == [
        ('user', 'virtio', False, False),
        ('ethernet', 'virtio', True, True),
        ('ethernet', 'e1000e', True, False)]
    assert second.find('devices/interface/mac').get('address') == \
        '52:54:00:00:00:01'
    assert first.get('type') == 'kvm' and second.get('type') == 'qemu'
    assert arguments(first)[-4:] == ['-cpu', 'EPYC,-svm', '-device',
                                     'virtio-rng-pci']
    assert arguments(second)[-2:] == ['-cpu', 'EPYC,-svm']
    assert 'tls-creds-x509,id=distkvm-key,dir=/keys' in arguments(second)[1]
    assert [(e.tag, e.get('type')) for e in devices
            if e.tag not in ('disk', 'interface', 'emulator')] == [
        ('controller', 'usb'), ('controller', 'scsi'), ('serial', 'pty'),
        ('console', 'pty'), ('input', 'tablet'), ('graphics', 'vnc'),
        ('video', None), ('memballoon', None)]
    assert first.find('devices/graphics/listen').get('address') == '127.0.0.1'
    # A follower has nothing that the guest would see twice.
    assert [(e.tag, e.get('model')) for e in second.find('devices')
            if e.tag not in ('disk', 'interface', 'emulator')] == \
        [('controller', 'none'), ('controller', 'virtio-scsi'),
         ('memballoon', 'none')]


@cases('old, new, changed', {
    'static: xml: a disk of one node changes no other domain':
        ('disks = ["/a.raw", ', 'disks = ["/z", "/a.raw", ', [0]),
    'static: xml: a disk of node 0 that comes first':
        ('bus = "scsi"', 'boot = 1', [0]),
    'static: xml: a disk of a follower that comes first':
        ('file = "/g.iso"', 'file = "/g.iso"\nboot = 1', [1])})
def test_orders(tmp_path, old, new, changed):
    """The command says which domains are to be defined again."""
    path = tmp_path / 'c.toml'
    for text, wanted in ((LARGE, []), (LARGE, []),
                         (LARGE.replace(old, new), changed)):
        path.write_text(text)
        done = tool('xml', str(path), '--dir', str(tmp_path))
        assert done.returncode == 0, done.stderr
        assert done.stderr == ''.join(
            f'distkvm: large-{n}.xml changed: define this domain again\n'
            for n in wanted)
    assert text != LARGE
    (tmp_path / 'large-1.xml').unlink()
    assert tool('xml', str(path), '--dir', str(tmp_path)).stderr == \
        'distkvm: large-1.xml is new: define this domain\n'


@named('static: xml: changes are said, also when a later file is not written')
def test_half_way(monkeypatch, tmp_path):
    """The next call finds no change in the files that were."""
    path = tmp_path / 'c.toml'
    path.write_text(SMALL)
    args = ['xml', str(path), '--dir', str(tmp_path)]
    other = tmp_path / 'c-1.xml'
    other.mkdir()
    for text, said in ((SMALL, 'is new: define this domain'),
                       (SMALL.replace('vcpus = 2', 'vcpus = 3'),
                        'changed: define this domain again')):
        path.write_text(text)
        done = tool(*args)
        assert (done.returncode, done.stderr) == (
            1, f'distkvm: c-0.xml {said}\ndistkvm: {other}: Is a directory\n')
    # Nor is any written if not all can be made.
    made = libvirt.domain

    def domain(file, node, sockets):
        if node.id:
            raise Problem('no domain')
        return made(file, node, sockets)

    monkeypatch.setattr(libvirt, 'domain', domain)
    before = (tmp_path / 'c-0.xml').read_text()
    path.write_text(SMALL)
    with pytest.raises(Problem, match='no domain'):
        xml.main(SimpleNamespace(file=path, node=None, dir=tmp_path,
                                 socket_dir=None))
    assert (tmp_path / 'c-0.xml').read_text() == before


@named('static: xml: block devices')
def test_block(tmp_path):
    first, _ = parsed(tmp_path, SMALL.replace(
        '[[node]]', 'disks = ["/dev/vg/lv", "/a.raw"]\n[[node]]', 1))
    assert [(d.get('type'), d.find('source').attrib)
            for d in first.iter('disk')] == [
        ('block', {'dev': '/dev/vg/lv'}), ('file', {'file': '/a.raw'})]


@named('static: xml: an empty disk is filled from a CD')
def test_cdrom(tmp_path):
    """The guest tries the disk first, as it does without libvirt."""
    for path, wanted in (('/d.iso', '/d.iso'), ('d.iso', f'{tmp_path}/d.iso')):
        first, second = parsed(tmp_path, SMALL.replace(
            '[[node]]', f'arguments = ["-cdrom", "{path}"]\n'
            'disks = ["/a.raw"]\n[[node]]', 1))
        assert disks(first) == [
            ('disk', 'raw', '/a.raw', 'vda', 'virtio', '1000', False),
            ('cdrom', 'raw', wanted, 'sda', 'sata', '1001', True)]
        assert not disks(second)


@named('static: xml: a console of the user')
def test_own_console(tmp_path):
    first, _ = parsed(tmp_path, SMALL.replace(
        '[[node]]', 'arguments = ["-serial", "null"]\n[[node]]', 1))
    assert not list(first.iter('serial')) and not list(first.iter('console'))
    assert arguments(first)[-2:] == ['-serial', 'null']


@named('static: xml: files of one name do not replace each other')
def test_same_name(tmp_path):
    """libvirt refuses a domain whose name another UUID has."""
    found = {}
    for name in ('', 'name = "n"\n'):
        for directory in ('a', 'b'):
            (tmp_path / directory).mkdir(exist_ok=True)
            domain, _ = parsed(tmp_path / directory,
                               f'[cluster]\n{name}{SMALL}')
            found[name, directory] = domain.find('uuid').text
    # A name is the user's word for one cluster, wherever its file is.
    assert len(set(found.values())) == 3
    assert found['name = "n"\n', 'a'] == found['name = "n"\n', 'b']


@cases('old, new, wanted', {
    'static: xml: refused: a part of a MiB': (
        '"1G"', '"1000008K"', ':2: key guest.memory: libvirt gives whole MiB'),
    'static: xml: refused: more vCPUs than IDs': (
        'vcpus = 2', 'vcpus = 255', ':1: key guest: libvirt asks for an '
        'element <iommu> for 256 vCPUs')})
def test_refused(tmp_path, old, new, wanted):
    path = tmp_path / 'c.toml'
    path.write_text(SMALL.replace(old, new))
    done = tool('xml', str(path), '--node', '0')
    assert done.returncode == 2 and wanted in done.stderr, done.stderr
    assert done.stdout == ''


@named('static: xml: the directory of sockets is absolute')
def test_socket_dir(tmp_path):
    path = tmp_path / 'c.toml'
    path.write_text(SMALL)
    done = tool('xml', str(path), '--node', '0', '--socket-dir', 'x',
                cwd=tmp_path)
    assert f'peers=unix:2:{tmp_path}/x,' in done.stdout, done.stderr


@named('static: xml: names of many disks')
def test_letters():
    assert [letters(n) for n in (0, 25, 26, 27, 701, 702)] == \
        ['a', 'z', 'aa', 'ab', 'zz', 'aaa']


@cases('text', {'static: xml: the schema has a small file': SMALL,
                'static: xml: the schema has a large file': LARGE,
                'static: xml: the schema has the examples':
                    (EXAMPLES / 'three.toml').read_text()})
def test_valid(tmp_path, text):
    if not shutil.which('virt-xml-validate') or not SCHEMA.exists():
        pytest.skip("needs libvirt's virt-xml-validate, and its schema: "
                    'apt-get install libvirt-clients')
    for number, domain in enumerate(domains(tmp_path, text)):
        path = tmp_path / f'{number}.xml'
        path.write_text(domain)
        done = subprocess.run(['virt-xml-validate', path, 'domain'],
                              capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
