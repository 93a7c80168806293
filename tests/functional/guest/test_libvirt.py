# SPDX-License-Identifier: GPL-2.0-or-later
"""The nodes of a cluster file as domains of a real libvirtd.

The guest is a boot sector, on a disk that is node 1's: firmware finds it behind
a port that libvirt made."""

import os
import re
import signal
import subprocess
import time
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest

from commands import tool
from distkvm import guests
from distkvm.common import QEMU, QEMU_IMG, Problem, quiet
from distkvm.work import installed
from distkvm.work.image import fresh_disk
from distkvm.work.shell import Shell
from libvirtd import (PAUSED, RUNNING, SECONDS, answers, answers_at, console,
                      libvirtd, missing)
from naming import cases, named
from operating import read_until

pytestmark = pytest.mark.root('namespaces, and a libvirtd of the system')

DISK_BYTES = 1 << 20
TEXT = '''[cluster]
name = "NAME"
[guest]
memory = "128M"
graphics = "vnc"
[[node]]
[[node]]
[[node.disk]]
file = "DISK"
[[node.interface]]
'''
OVMF = 'firmware = "/usr/share/OVMF/OVMF_CODE_4M.fd"'
BOOT_SECONDS = 600
REBOOTS = 3
LIBVIRT_QEMU = 64055


@pytest.fixture(scope='module')
def daemon():
    if missing():
        pytest.skip(missing())
    with libvirtd() as found:
        found.watch()
        yield found


class Pair:
    """Two domains of one file, as the tool writes them."""

    def __init__(self, daemon, name, edit=lambda text: text):
        self.daemon, self.name = daemon, name
        self.path = daemon.path / name
        self.path.mkdir()
        disk = self.path / 'disk.img'
        disk.write_bytes(guests.boot_sector().read_bytes().ljust(DISK_BYTES,
                                                                 b'\0'))
        text = edit(TEXT).replace('NAME', name).replace('DISK', str(disk))
        (self.path / 'c.toml').write_text(text)
        done = tool('xml', str(self.path / 'c.toml'), '--dir', str(self.path))
        assert done.returncode == 0, done.stderr
        self.first, self.second = self.domains = f'{name}-0', f'{name}-1'

    def xml(self, domain):
        return self.path / f'{domain}.xml'

    def define(self):
        for domain in self.domains:
            self.daemon.virsh('define', self.xml(domain))

    def start(self, order=(0, 1)):
        for number in order:
            self.daemon.virsh('start', self.domains[number])
        self.wait(RUNNING)

    def wait(self, wanted):
        for domain in self.domains:
            self.daemon.wait_state(domain, wanted)

    def virsh(self, verb, node=0, *args):
        return self.daemon.virsh(verb, self.domains[node], *args).stdout


@pytest.fixture
def pair(daemon, test_name):
    """A function that defines a pair; its nodes end with the test."""
    made = []

    def make(edit=lambda text: text):
        name = re.sub(r'\W+', '-', test_name)[-24:].strip('-')
        made.append(Pair(daemon, name, edit))
        made[0].define()
        return made[0]

    yield make
    for found in made:
        for domain in found.domains:
            daemon.virsh('destroy', domain, check=False)
            daemon.virsh('undefine', domain, check=False)


@cases('begin', {'libvirt: the boot node starts first': 0,
                 'libvirt: a follower starts first': 1})
def test_life(daemon, pair, begin):
    found = pair()
    first = found.domains[begin]
    daemon.virsh('start', first)
    assert daemon.state(first) == 'paused (starting up)'
    found.start([1 - begin])
    answers(daemon, found.first)
    for domain in found.domains:
        # 2: libvirt asks for the sandbox by itself.
        assert 'Seccomp:\t2' in Path(
            f'/proc/{daemon.pid(domain)}/status').read_text()
    stats = found.virsh('domstats', 1)
    assert 'state.state=1' in stats and 'block.0.name=vda' in stats
    # The guest may be stopped on any node, and go on by any other.
    for node in (0, 1):
        found.virsh('suspend', node)
        found.wait(PAUSED)
        found.virsh('resume', 1 - node)
        found.wait(RUNNING)
    with console(daemon, found.first) as terminal:
        answers_at(terminal, found.first)
        found.virsh('reset', 1)
        # A power button that is pressed before the reset is forgotten by it.
        read_until(terminal, b'sector: up')
    # The power button of any node.
    found.virsh('shutdown', begin)
    found.wait(r'shut off \(shutdown\)')
    for domain in found.domains:
        daemon.wait_event(f"'{domain}': Shutdown Finished after guest request")


@named('libvirt: node 0 is rebooted, again and again')
def test_reboot(daemon, pair):
    """By its power button: libvirt then starts it anew."""
    found = pair()
    found.start()
    answers(daemon, found.first)
    with console(daemon, found.first) as terminal:
        for _ in range(REBOOTS):
            found.virsh('reboot', 0)
            read_until(terminal, b'sector: up')
    found.wait(RUNNING)
    answers(daemon, found.first)


@pytest.mark.full
@named('libvirt: a follower is rebooted, and all domains end')
def test_reboot_follower(daemon, pair):
    """Node 0's libvirt hears of a power-off alone; no domain stays as if the guest
    could go on."""
    found = pair()
    found.start()
    answers(daemon, found.first)
    found.virsh('reboot', 1)
    daemon.wait_event(f"'{found.first}': Shutdown Finished after guest request")
    found.wait(r'shut off \(.*\)')
    found.start()
    answers(daemon, found.first)


# Of a node that runs.
INTERFACE = """<interface type='user'><mac address='52:54:00:00:00:99'/>
<model type='virtio'/></interface>
"""
MEMORY = """<memory model='dimm'><target><size unit='MiB'>128</size></target>
</memory>
"""


@pytest.mark.full
@named('libvirt: verbs about memory, CPUs, interrupts and interfaces')
def test_other_verbs(daemon, pair):
    found = pair()
    found.start()
    answers(daemon, found.first)
    interface, memory = (found.path / name for name in ('i.xml', 'm.xml'))
    interface.write_text(INTERFACE)
    memory.write_text(MEMORY)
    for node in (0, 1):
        assert 'Max memory:     131072 KiB' in found.virsh('dominfo', node)
        found.virsh('attach-device', node, interface, '--live')
        assert '52:54:00:00:00:99' in found.virsh('domiflist', node)
        found.virsh('detach-device', node, interface, '--live')
        said = daemon.refused('attach-device', found.domains[node], memory,
                              '--live')
        assert 'maxMemory' in said, said
        found.virsh('inject-nmi', node)
        found.virsh('vcpupin', node, '--live', '0', '0')
        assert 'vcpu.current=2' in found.virsh('domstats', node)
    dump = found.path / 'dump'
    daemon.virsh('dump', found.first, dump, '--memory-only', '--live')
    assert dump.stat().st_size > 1 << 20
    answers(daemon, found.first)


@pytest.mark.full
@cases('node', {}, {f'libvirt: verbs about a disk of node {node}': node
                    for node in (0, 1)})
def test_disk_verbs(daemon, pair, node):
    """It comes, grows, gets a snapshot, which is merged, and goes."""
    found = pair()
    found.start()
    answers(daemon, found.first)
    disk, snapshot = (found.path / name for name in ('a.img', 'b.qcow2'))
    disk.write_bytes(bytes(DISK_BYTES))
    found.virsh('attach-disk', node, disk, 'vdb', '--targetbus', 'virtio')
    found.virsh('blockresize', node, 'vdb', '2M')
    assert disk.stat().st_size == 2 << 20
    found.virsh('snapshot-create-as', node, 's', '--disk-only',
                '--no-metadata', '--diskspec', f'vdb,file={snapshot}',
                *(('--diskspec', 'vda,snapshot=no') if node else ()))
    assert snapshot.exists()
    found.virsh('blockcommit', node, 'vdb', '--active', '--pivot', '--wait')
    daemon.refused('detach-disk', found.domains[node], 'vdy')
    found.virsh('detach-disk', node, 'vdb')
    answers(daemon, found.first)


@named('libvirt: definitions are stable, and have room for a viewer')
def test_define(daemon, pair):
    found = pair()
    for domain in found.domains:
        before = daemon.virsh('dumpxml', domain).stdout
        again = found.path / 'again.xml'
        again.write_text(before)
        subprocess.run(['virt-xml-validate', again, 'domain'], check=True,
                       capture_output=True)
        for path in (found.xml(domain), again):
            daemon.virsh('define', path)
            assert daemon.virsh('dumpxml', domain).stdout == before
    said = daemon.virsh('domcapabilities', '--emulatorbin', str(QEMU)).stdout
    kinds = ET.fromstring(said).findall("devices/graphics/enum/value")
    assert 'vnc' in [k.text for k in kinds]
    found.start()
    assert re.match(r'vnc://(localhost|127\.0\.0\.1):\d+',
                    found.virsh('domdisplay', 0))
    found.virsh('destroy', 1)
    found.virsh('undefine', 1)
    assert 'failed to get domain' in daemon.refused('dumpxml', found.second)


@named('libvirt: any node is destroyed, and the other one ends')
def test_destroy(daemon, pair):
    found = pair()
    for node in (0, 1):
        found.start((1 - node, node))
        found.virsh('destroy', node)
        other = found.domains[1 - node]
        daemon.wait_state(other, r'shut off \(shutdown\)')
        daemon.wait_event(f"'{other}': Shutdown Finished after host request")
        assert daemon.state(found.domains[node]) == 'shut off (destroyed)'


@named('libvirt: a node is lost, and the other one says so')
def test_loss(daemon, pair):
    found = pair()
    found.start()
    os.kill(daemon.pid(found.second), signal.SIGKILL)
    daemon.wait_state(found.second, r'shut off \(crashed\)')
    daemon.wait_state(found.first, r'crashed \(panicked\)')
    daemon.wait_event(f"'{found.second}': Stopped Failed")
    daemon.wait_event(f"'{found.first}': Crashed Panicked")
    # The reason is in its log, and its QMP answers.
    assert 'node 1' in daemon.log(found.first)
    said = found.virsh('qemu-monitor-command', 0, '--pretty',
                       '{"execute": "query-distkvm"}')
    assert '"lost-node": 1' in said
    for verb in ('resume', 'reset'):
        assert 'is lost' in daemon.refused(verb, found.first)
    # Alone it does not come back, and says why.  libvirt may have called it
    # started before that.
    daemon.virsh('start', found.second, check=False)
    daemon.wait_state(found.second, r'shut off \((crashed|failed)\)')
    assert 'node 1 is lost, and with it this guest' in \
        daemon.log(found.second)
    found.virsh('destroy', 0)
    # All of them start again.
    found.start()


@named('libvirt: a node that nobody joins')
def test_join_timeout(daemon, pair):
    """libvirt takes seconds to start a domain: a node that ends by then is one
    that could not be started."""
    found = pair(lambda text: text.replace('[guest]',
                                           'join-timeout = 15\n[guest]'))
    daemon.virsh('start', found.second)
    daemon.wait_state(found.second, r'shut off \(crashed\)')
    daemon.wait_event(f"'{found.second}': Stopped Failed")
    assert 'join' in daemon.log(found.second)


@named('libvirt: the daemon starts again, and starts domains by itself')
def test_autostart(daemon, pair):
    found = pair()
    for node in (0, 1):
        found.virsh('autostart', node)
    found.start()
    daemon.restart()
    found.wait(RUNNING)
    answers(daemon, found.first)
    found.virsh('destroy', 0)
    found.wait(r'shut off \(.*\)')
    daemon.restart(booted=True)
    found.wait(RUNNING)
    for node in (0, 1):
        found.virsh('autostart', node, '--disable')


@named('libvirt: a follower gets a disk')
def test_attach(daemon, pair):
    """Behind the port that libvirt keeps free; node 0 shows it to the guest."""
    found = pair()
    found.start()
    query = ('qemu-monitor-command', 0, '--pretty',
             '{"execute": "query-distkvm-pci"}')
    before = found.virsh(*query).count('"owner": 1')
    other = found.path / 'other.img'
    other.write_bytes(bytes(DISK_BYTES))
    found.virsh('attach-disk', 1, other, 'vdb', '--targetbus', 'virtio')
    assert before >= 2
    # Node 0 hears of it a moment later.
    end = time.monotonic() + SECONDS
    while found.virsh(*query).count('"owner": 1') != before + 1:
        if time.monotonic() > end:
            raise Problem(found.virsh(*query))
        time.sleep(0.1)
    answers(daemon, found.first)


# Verbs about memory and CPUs, and what libvirt says.
RESIZED = {
    ('setvcpus', '3', '--live'): 'greater than max',
    ('setvcpus', '1', '--live'): 'hotpluggable',
    ('setmem', '64M', '--live'): 'balloon',
}


@named('libvirt: refused: a guest is saved')
def test_saved(daemon, pair):
    found = pair()
    found.start()
    for node in (0, 1):
        domain = found.domains[node]
        for args in (('managedsave', domain),
                     ('save', domain, found.path / 'saved')):
            assert 'distkvm' in daemon.refused(*args), args
        for args, wanted in RESIZED.items():
            said = daemon.refused(args[0], domain, *args[1:])
            assert wanted in said, said
    answers(daemon, found.first)


def qcow2(text):
    """Of the same disk, for both nodes."""
    return text.replace('"DISK"', '"DISK.1.qcow2"').replace(
        '[guest]', '[guest]\ndisks = ["DISK.0.qcow2"]')


@named('libvirt: refused: a snapshot with memory')
def test_snapshot(daemon, pair):
    """Of disks that could have one; libvirt looks at these first."""
    found = pair(qcow2)
    raw = found.path / 'disk.img'
    for node in (0, 1):
        quiet([QEMU_IMG, 'convert', '-O', 'qcow2', raw, f'{raw}.{node}.qcow2'])
    found.start()
    for domain in found.domains:
        said = daemon.refused('snapshot-create-as', domain, 's')
        assert 'distkvm' in said, said
        left = daemon.virsh('snapshot-list', domain, '--name').stdout
        assert not left.strip(), left
    found.wait(RUNNING)
    answers(daemon, found.first)


@pytest.mark.full
@cases('release, firmware', {
    f'libvirt: Debian {release} installed, on a disk of a follower{words}': (
        release, firmware)
    for release, firmware, words in (
        ('12', '', ''), ('12', OVMF, ', OVMF'), ('13', '', ''))})
def test_debian(daemon, pair, release, firmware):
    """To the login prompt; libvirt's reboot and shutdown are the guest's."""
    found = pair(lambda text: text.replace('128M"', f'1G"\n{firmware}'))
    disk = fresh_disk(found.path / 'disk.img',
                      installed.disk(installed.RELEASES[release]))
    found.start()
    with open(found.path / 'console.log', 'wb') as log:
        for verb, node in (('reboot', 0), ('shutdown', 1)):
            with console(daemon, found.first) as terminal:
                shell = Shell(terminal, terminal, log)
                shell.login(BOOT_SECONDS)
                assert shell.run('nproc', SECONDS) == '2'
                assert shell.run('systemctl is-system-running --wait',
                                 BOOT_SECONDS) == 'running'
                found.virsh(verb, node)
                shell.until(b'reboot: Power down', BOOT_SECONDS)
    for domain in found.domains:
        daemon.wait_state(domain, r'shut off \(shutdown\)')
    installed.check(disk)
    disk.unlink()


# Elements of both domains, in place of the first text.
CPU = "<cpu mode='{}'>{}</cpu><features>"
ELEMENTS = {
    'a custom CPU': ('<features>', CPU.format(
        'custom', "<model fallback='forbid'>Nehalem</model>")),
    "the host's CPU as model": ('<features>', CPU.format('host-model', '')),
}


@cases('old, new', {}, {f'libvirt: {name}': case
                        for name, case in ELEMENTS.items()})
def test_elements(daemon, pair, old, new):
    found = pair()
    for domain in found.domains:
        text = found.xml(domain).read_text()
        assert text.count(old) == 1
        found.xml(domain).write_text(text.replace(old, new))
    found.define()
    found.start()
    answers(daemon, found.first)


@named('libvirt: a log of the serial port')
def test_log(daemon, pair):
    found = pair()
    path, log = found.xml(found.first), found.path / 'serial.log'
    text, count = re.subn('(<serial type="pty">)', rf"\1<log file='{log}'/>",
                          path.read_text())
    assert count == 1
    path.write_text(text)
    found.define()
    found.start()
    answers(daemon, found.first)
    assert 'sector: up' in log.read_text(errors='replace')


@pytest.mark.full
@named('libvirt: nodes of the user libvirt-qemu, and the owner of a disk')
def test_user():
    """libvirt gives the disk to the user, and back."""
    if missing():
        pytest.skip(missing())
    with libvirtd('libvirt-qemu') as daemon:
        found = Pair(daemon, 'user')
        disk = found.path / 'disk.img'
        found.define()
        found.start()
        answers(daemon, found.first)
        for domain in found.domains:
            assert re.search(rf'^Uid:\s*{LIBVIRT_QEMU}\s', Path(
                f'/proc/{daemon.pid(domain)}/status').read_text(), re.M)
        assert disk.stat().st_uid == LIBVIRT_QEMU
        found.virsh('shutdown', 1)
        found.wait(r'shut off \(shutdown\)')
        assert disk.stat().st_uid == 0


EFI = """<os firmware="efi">
    <type arch="x86_64" machine="q35">hvm</type>
    <firmware><feature enabled="no" name="secure-boot"/></firmware>
  </os>"""


@pytest.mark.full
@named("libvirt: firmware='efi'")
def test_efi(daemon, pair):
    """As the documentation has it: OVMF looks for something to boot."""
    found = pair()
    path = found.xml(found.first)
    text, count = re.subn('<os>.*</os>', EFI, path.read_text(), flags=re.S)
    assert count == 1
    path.write_text(text)
    daemon.virsh('define', path)
    found.start()
    with console(daemon, found.first) as terminal:
        read_until(terminal, b'BdsDxe')
    # Alone it chooses secure boot.
    found.virsh('destroy', 0)
    path.write_text(re.sub('<firmware>.*</firmware>', '', text))
    daemon.virsh('define', path)
    assert 'smm=on cannot work' in daemon.refused('start', found.first)


# An element of a follower that is replaced, by what, and what its start says.
REFUSED = {
    'a screen': ('<memballoon', "<graphics type='vnc'/><video><model "
                 "type='none'/></video><memballoon", '-vnc cannot work on '
                 'node 1'),
    'VGA': ('<memballoon', "<video><model type='vga'/></video><memballoon",
            "device 'VGA' cannot work on node 1"),
    'a balloon': ('<memballoon model="none" />', "<memballoon "
                  "model='virtio'/>", "<memballoon model='none'/>"),
    'a TPM': ('<memballoon', "<tpm model='tpm-tis'><backend type='emulator'/>"
              '</tpm><memballoon', 'not supported'),
}


# The same of node 0, where these elements are right without distkvm.
REFUSED_FIRST = {
    'memory of a file': ('<features>', "<memoryBacking><source type='file'/>"
                         '</memoryBacking><features>', 'distkvm'),
    'memory of a memfd': ('<features>', "<memoryBacking><source type='memfd'/>"
                          '</memoryBacking><features>', 'distkvm'),
    'memory that is allocated': (
        '<features>', "<memoryBacking><allocation mode='immediate'/>"
        '</memoryBacking><features>', 'prealloc'),
    'vCPUs for later': ('<vcpu>2', '<vcpu current="1">2', 'hot-plug of CPUs'),
    'an id of its generation': ('<memory unit', '<genid/><memory unit',
                                'vmgenid'),
    'a balloon': ('<memballoon model="none" />', "<memballoon "
                  "model='virtio'/>", "<memballoon model='none'/>"),
}


@cases('node, old, new, wanted', {
    **{f'libvirt: refused: {name} of a follower': (1, *case)
       for name, case in REFUSED.items()}}, {
    f'libvirt: refused: {name} of node 0': (0, *case)
    for name, case in REFUSED_FIRST.items()})
def test_refused(daemon, pair, node, old, new, wanted):
    found = pair()
    path = found.xml(found.domains[node])
    text = path.read_text()
    if text.count(old) != 1:
        raise Problem(f'{old} is not in {text}')
    path.write_text(text.replace(old, new))
    # Of both, the definition or the start is refused.
    done = daemon.virsh('define', path, check=False)
    said = done.stderr or daemon.refused('start', found.domains[node])
    if wanted not in said:
        raise Problem(f'it does not say "{wanted}": {said}')


# An element of node 0 that the other domain has otherwise, and what its node
# says, whichever comes last.
DIFFERENT = {
    'memory': ('131072</memory>', '262144</memory>', 'differs'),
    'vCPUs': ('<vcpu>2', '<vcpu>3', 'vcpus='),
    'NUMA': ('<features>', "<cpu><numa><cell id='0' cpus='0-1' memory='131072'"
             "/></numa></cpu><features>", 'differs'),
}


@pytest.mark.full
@cases('old, new, wanted', {
    f'libvirt: refused: {name} that differs': case
    for name, case in DIFFERENT.items()})
def test_different(daemon, pair, old, new, wanted):
    found = pair()
    path = found.xml(found.first)
    text = path.read_text()
    if text.count(old) != 1:
        raise Problem(f'{old} is not in {text}')
    path.write_text(text.replace(old, new))
    daemon.virsh('define', path)
    said = ''
    for domain in found.domains:
        said += daemon.virsh('start', domain, check=False).stderr
    end = time.monotonic() + SECONDS
    while wanted not in said and time.monotonic() < end:
        time.sleep(0.2)
        said += ''.join(map(daemon.log, found.domains))
    if wanted not in said:
        raise Problem(f'it does not say "{wanted}": {said}')
