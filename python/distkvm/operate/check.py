# SPDX-License-Identifier: GPL-2.0-or-later
"""Errors of a cluster file that only its hosts know of."""

import contextlib
import ipaddress
import os
import re
import secrets
import select
import subprocess
import tempfile
import time
from pathlib import Path

from ..cluster_devices import format_of
from ..cluster_file import error_text
from ..common import parse_size
from ..keys import PSK, X509
from . import between
from .facts import DANGLING, MISSING, asking, host_port
from .lifecycle import directory_of, tool
from .reach import LISTENING
from .remote import ANSWER_SECONDS, HostProblem
from .view import size

READ_BYTES = 1 << 12
# A process whose standard input has ended gets this long.
END_SECONDS = 10
# Files that QEMU reads in a directory of keys.
KEY_FILES = {'psk': [PSK], 'x509': X509}
# Values of -cpu that only KVM takes.
KVM_ONLY = re.compile(r'^host\b|\benforce\b')
# vCPUs whose APIC ids xAPIC has.  With more distkvm's accelerator gives them
# x2APIC, and TCG's does not.
VCPUS_XAPIC = 255
X2APIC = ['-global', 'x86_64-cpu.x2apic=on']
# Certificates that hold for less are worth a warning.
DAYS_LEFT = 14


def key_files(file, node):
    return [str(Path(node.keys) / name)
            for name in KEY_FILES.get(file.credentials, ())]


def guest_files(file):
    """Pairs of a key of [guest] and a path, which node 0 reads."""
    return [(key, file.guest[key]) for key in
            ('firmware', 'kernel', 'initrd') if key in file.guest]


def disk_files(nodes, readonly):
    """Triples of a node, the number of its disk, and the disk's path."""
    return [(node, number, disk.file) for node in nodes
            for number, disk in enumerate(node.disks)
            if disk.readonly == readonly]


def over_tcp(file):
    return file.credentials != 'unix'


def proofs_of(file, nodes, nonce):
    """Which keys of these nodes, all of one host, are to be looked at."""
    if file.credentials not in KEY_FILES:
        return None
    directories = {}
    for node in nodes:
        directories.setdefault(node.keys, []).append(
            host_port(node.address)[0])
    return {'kind': file.credentials, 'nonce': nonce,
            'directories': directories,
            'loader': {n.keys: n.qemu for n in nodes}}


def images_of(file, nodes):
    """Triples of a path, its format, and whether it is written."""
    found = [(disk.file, disk.format, not disk.readonly)
             for node in nodes for disk in node.disks]
    if any(n.id == 0 for n in nodes):
        found += [(path, format_of(path), True)
                  for path in file.guest.get('disks', ())]
        if 'firmware' in file.guest:
            found.append((file.guest['firmware'], 'firmware', False))
    return found


def trial_of(file):
    """The options of which node 0's QEMU is asked."""
    guest, boot = file.guest, file.nodes[0]
    options = [('machine', ['-machine', guest.get('machine', 'q35')])]
    cpu = guest.get('cpu', '')
    # It is tried by TCG, which has other features than KVM.
    if cpu and (boot.vmi == 'tcg' or not KVM_ONLY.search(cpu)):
        options.append(('cpu', ['-cpu', cpu]))
    vcpus = sum(n.vcpus for n in file.nodes)
    options.append(('vcpus', ['-smp', str(vcpus), *(
        X2APIC if vcpus > VCPUS_XAPIC else [])]))
    return {'qemu': boot.qemu, 'options': options, 'vcpus': vcpus,
            'arguments': guest.get('arguments', [])}


def request_of(file, nodes, nonce):
    """The question to the host of these nodes."""
    boot = any(n.id == 0 for n in nodes)
    return asking(
        proofs=proofs_of(file, nodes, nonce),
        images=images_of(file, nodes),
        cwd=directory_of(file, nodes),
        trial=trial_of(file) if boot else None,
        qemu=sorted({n.qemu for n in nodes}),
        ucx=between.needs_ucx(file),
        listen=[n.address for n in nodes] if over_tcp(file) else [],
        resolve=[n.address for n in file.nodes] if over_tcp(file) else [],
        read=[path for n in nodes for path in key_files(file, n)] +
             ([path for _, path in guest_files(file)] if boot else []) +
             [path for _, _, path in disk_files(nodes, True)],
        write=(file.guest.get('disks', []) if boot else []) +
              [path for _, _, path in disk_files(nodes, False)],
        taps=[i.tap for n in nodes for i in n.interfaces if i.tap])


def home_bytes(file, node):
    """RAM that a node holds once the guest has used all of its memory."""
    if node.cap or node.memory:
        return parse_size(node.cap or node.memory)
    return parse_size(file.guest['memory']) // len(file.nodes)


def is_loopback(place):
    return place is not None and ipaddress.ip_address(place).is_loopback


class Listener:
    """A process that listens on a host in the place of nodes."""

    def __init__(self, host, addresses):
        self.host = host
        # Nobody reads these words before its end: a pipe could fill.
        # pylint: disable=consider-using-with
        self.words = tempfile.TemporaryFile('w+', errors='replace')
        self.process = host.stream(
            ['listen', *addresses], stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=self.words,
            start_new_session=True)

    def wait(self, end):
        """Until it listens, or a HostProblem."""
        said = b''
        # Profiles of shells may print lines before.
        while LISTENING.encode() not in said.splitlines():
            left = max(0, end - time.monotonic())
            if not select.select([self.process.stdout], [], [], left)[0]:
                raise HostProblem('host', 'it did not listen in the place of '
                                  f'nodes within {ANSWER_SECONDS} s',
                                  'see what keeps it busy')
            data = os.read(self.process.stdout.fileno(), READ_BYTES)
            if not data:
                status = self.process.wait(END_SECONDS)
                self.words.seek(0)
                raise self.host.problem(status, self.words.read())
            said += data

    def leave(self):
        self.process.stdin.close()

    def end(self):
        try:
            self.process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.words.close()


@contextlib.contextmanager
def listening(hosts, addresses):
    """Processes that listen on hosts, by host, in the place of nodes; errors
    by host of those that do not."""
    listeners, errors = {}, {}
    try:
        for key, each in addresses.items():
            if each:
                listeners[key] = Listener(hosts.hosts[key], each)
        end = time.monotonic() + ANSWER_SECONDS
        for key, listener in listeners.items():
            try:
                listener.wait(end)
            except HostProblem as problem:
                errors[key] = hosts.problem(key, problem)
            except subprocess.TimeoutExpired:
                errors[key] = hosts.problem(key, HostProblem(
                    'host', 'ssh does not end', 'see what it waits for'))
        yield errors
    finally:
        for listener in listeners.values():
            listener.leave()
        for listener in listeners.values():
            listener.end()


class HostCheck:
    """Errors and warnings, by the answers of all hosts."""

    def __init__(self, file, hosts):
        self.file = file
        self.found = []
        self.warnings = []
        nonce = secrets.token_hex()
        self.facts, unreachable = hosts.each(
            lambda nodes: request_of(file, nodes, nonce))
        for key, error in unreachable.items():
            line = file.lines.of('node', hosts.nodes[key][0].number, 'host')
            self.found.append((line, error))
        for key, facts in self.facts.items():
            nodes = hosts.nodes[key]
            self.user(nodes, facts)
            self.qemu(nodes, facts)
            self.addresses(nodes, facts)
            self.keys(nodes, facts)
            self.files(nodes, facts)
            self.devices(nodes, facts)
            between.transport(self, facts)
        self.memory(hosts)
        self.loopback(hosts)
        between.clocks(self, hosts)
        between.keys(self, hosts)
        self.versions([(hosts.nodes[key], facts)
                       for key, facts in self.facts.items()])
        if not self.found and over_tcp(file) and len(hosts.hosts) > 1:
            self.reach(hosts)

    @property
    def errors(self):
        """In the order of the file, each once."""
        return list(dict.fromkeys(text for _, text in sorted(self.found)))

    def add(self, place, reason, remedy):
        self.found.append(error_text(self.file.path, self.file.lines, place,
                                     reason, remedy))

    def node(self, node, key, reason):
        self.add(('node', node.number, key), *reason)

    def user(self, nodes, facts):
        """Rights of the user who starts nodes."""
        if facts['userfaultfd']:
            self.node(nodes[0], 'host', facts['userfaultfd'])
        if facts['unwritable']:
            self.node(nodes[0], 'host', facts['unwritable'])
        for node in nodes:
            if node.vmi == 'kvm' and facts['kvm']:
                self.node(node, 'vmi', facts['kvm'])
            elif node.vmi == 'kvm' and facts['shadows']:
                self.node(node, 'vmi', facts['shadows'])
            elif node.vmi == 'auto' and facts['shadows'] and \
                    not facts['kvm']:
                # As the node itself decides.
                self.warnings.append(self.file.node_error(
                    node, 'vmi', f"{facts['shadows'][0]}: TCG executes this "
                    "node's vCPUs, which is slower", facts['shadows'][1]))
            elif node.vmi != 'tcg' and facts['slow-kvm'] and \
                    not facts['kvm']:
                self.warnings.append(self.file.node_error(
                    node, 'vmi', *facts['slow-kvm']))

    def qemu(self, nodes, facts):
        for node in nodes:
            reason = facts['qemu'][node.qemu][1]
            if reason:
                self.node(node, 'qemu', reason)
        key, words = facts['trial'] or (None, None)
        if words and not key:
            self.untried(self.file.nodes[0], 'qemu', facts, words,
                         'what only QEMU can say of this file')
        elif words:
            option = f'-{key} help' if key in ('machine', 'cpu') else '-help'
            reason = f'QEMU says: {words}', f'see {nodes[0].qemu} {option}'
            if key in ('machine', 'cpu', 'arguments'):
                self.add(('guest', 0, key), *reason)
            else:
                self.node(self.file.nodes[0], key, reason)

    def untried(self, node, key, facts, why, what):
        """Errors that only QEMU knows would be met by the nodes' start."""
        reason, remedy = why
        self.warnings.append(self.file.node_error(
            node, key, f'on {facts["host"]}: {reason}: {what} is not checked',
            remedy))

    def memory(self, hosts):
        """One machine may be several hosts of the file, by its names."""
        machines = {}
        for key, facts in self.facts.items():
            nodes = [n for n in hosts.nodes[key]
                     if n.id not in facts['running']]
            machines.setdefault(facts['machine'], []).append((nodes, facts))
        for each in machines.values():
            found = [n for nodes, _ in each for n in nodes]
            wanted = sum(home_bytes(self.file, n) for n in found)
            available = each[-1][1]['available']
            if available is not None and wanted > available:
                self.node(found[0], 'memory', (
                    f'nodes of this host hold {size(wanted)} of the guest\'s '
                    f'RAM, and {each[0][1]["host"]} has {size(available)} '
                    'free', 'free memory there, or give its nodes less'))

    def addresses(self, nodes, facts):
        for node in nodes:
            reason = facts['listen'].get(node.address)
            # The port of a node that runs is taken by that node.
            if reason and node.id not in facts['running']:
                self.node(node, 'address', reason)
        for node in self.file.nodes:
            reason = facts['resolve'].get(node.address)
            # A later node dials each earlier one.
            if reason and any(n.id > node.id for n in nodes):
                self.node(node, 'address', (f'on {facts["host"]}: '
                                            f'{reason[0]}', reason[1]))

    def loopback(self, hosts):
        """Names that stand for 127.0.1.1 on their own host, as a distribution
        writes them to /etc/hosts: a node would listen where no other host
        comes."""
        for node in self.file.nodes:
            own = self.facts.get(hosts.key(node), {})
            place = own.get('places', {}).get(node.address)
            others = [f['places'].get(node.address) for f in
                      self.facts.values()]
            if is_loopback(place) and \
                    not all(map(is_loopback, filter(None, others))):
                self.node(node, 'address', (
                    f'{node.address} is {place} on {own["host"]} itself (see '
                    'its /etc/hosts)', 'write the address that other hosts '
                    'have of it'))

    def reach(self, hosts):
        """Connections that nodes will make from one host to another."""
        running = {n for f in self.facts.values() for n in f['running']}
        free = {key: [n for n in nodes if n.id not in running]
                for key, nodes in hosts.nodes.items()}

        with listening(hosts, {key: [n.address for n in nodes]
                               for key, nodes in free.items()}) as deaf:
            def request(nodes):
                key = hosts.key(nodes[0])
                last = max(n.id for n in nodes)
                # A later node dials each earlier one.
                return {'verb': 'dial', 'addresses': [
                    n.address for other, each in free.items()
                    if other != key and other not in deaf
                    for n in each if n.id < last]}

            answers, errors = hosts.each(request)
        for key, error in {**errors, **deaf}.items():
            line = self.file.lines.of('node', hosts.nodes[key][0].number)
            self.found.append((line, error))
        for answer in answers.values():
            for node in self.file.nodes:
                if answer['dialed'].get(node.address):
                    self.node(node, 'address',
                              answer['dialed'][node.address])

    def keys(self, nodes, facts):
        """Of each directory once."""
        first = {}
        for node in nodes:
            first.setdefault(node.keys, node)
        for directory, node in first.items():
            if directory is None or self.file.credentials not in KEY_FILES:
                continue
            bad = self.unread([facts['read'][path] for path in
                               key_files(self.file, node)])
            found = facts['proofs'][directory]
            if bad:
                reason, remedy = bad
            elif 'reason' in found:
                reason, remedy = found['reason'], between.renewing(self.file)
            else:
                self.expiring(node, found, facts)
                continue
            self.node(node, 'keys', (f'on {facts["host"]}: {reason}', remedy))

    def unread(self, read):
        """Of reasons why files of keys cannot be read: the one to be mended
        first, or None.

        `keys` without --renew makes them only if none is there.  A file that
        cannot be read is there, as is a link; a user who gets access to it keeps
        all."""
        bad = [each for each in read if each]
        closed = [each for each in bad
                  if not each[0].endswith((MISSING, DANGLING))]
        if closed or not bad:
            return closed[0] if closed else None
        if all(each and each[0].endswith(MISSING) for each in read):
            return bad[0][0], f'run {tool("keys", self.file)}'
        return bad[0][0], between.completing(self.file)

    def expiring(self, node, found, facts):
        if 'untried' in found:
            self.untried(node, 'keys', facts, found['untried'],
                         f'whether QEMU loads {node.keys}')
        if found.get('days', DAYS_LEFT) < DAYS_LEFT:
            self.warnings.append(self.file.node_error(
                node, 'keys', f'on {facts["host"]}: certificates in '
                f'{node.keys} expire in {found["days"]:.0f} days',
                between.renewing(self.file)))

    def files(self, nodes, facts):
        if all(n.id for n in nodes):
            return
        for key, path in guest_files(self.file):
            reason = facts['read'][path] or facts['images'].get(path)
            if reason:
                self.add(('guest', 0, key), *reason)
        for path in self.file.guest.get('disks', ()):
            reason = self.disk(self.file.nodes[0], path, 'write', facts)
            if reason:
                self.add(('guest', 0, 'disks'), *reason)
            elif facts['doubts'][path]:
                self.warnings.append(self.file.error(
                    ('guest', 0, 'disks'), *facts['doubts'][path]))

    @staticmethod
    def disk(node, path, kind, facts):
        """A reason why a node cannot open a disk, or None."""
        if facts[kind][path]:
            return facts[kind][path]
        # One that runs has it open.
        return None if node.id in facts['running'] else facts['images'][path]

    def devices(self, nodes, facts):
        """Of each node."""
        for readonly, kind in ((True, 'read'), (False, 'write')):
            for node, number, path in disk_files(nodes, readonly):
                reason = self.disk(node, path, kind, facts)
                doubt = facts['doubts'][path]
                place = f'node[{node.number}].disk', number, 'file'
                if reason:
                    self.add(place, f'on {facts["host"]}: {reason[0]}',
                             reason[1])
                elif doubt:
                    self.warnings.append(self.file.error(
                        place, f'on {facts["host"]}: {doubt[0]}', doubt[1]))
        for node in nodes:
            for number, each in enumerate(node.interfaces):
                if each.tap and node.id not in facts['running']:
                    self.tap((f'node[{node.number}].interface', number,
                              'tap'), each.tap, facts)

    def tap(self, place, name, facts):
        if facts['taps'][name]:
            self.add(place, *facts['taps'][name])
        elif facts['down'][name]:
            self.warnings.append(self.file.error(place, *facts['down'][name]))

    def versions(self, hosts):
        """Nodes of other builds than the first one's would be refused."""
        first, commit = None, None
        for nodes, facts in hosts:
            for node in nodes:
                version = facts['qemu'][node.qemu][0]
                first = first or (version and (version, facts['host']))
                if version and version != first[0]:
                    self.node(node, 'qemu', (
                        f'{facts["host"]} has {version}, {first[1]} has '
                        f'{first[0]}', 'build the same on all hosts'))
            built = all(Path(n.qemu).is_relative_to(
                Path(n.distkvm).parent.parent) for n in nodes)
            if not built or not facts['commit']:
                continue
            commit = commit or (facts['commit'], facts['host'])
            if facts['commit'] != commit[0]:
                self.node(nodes[0], 'distkvm', (
                    f'the tree of {facts["host"]} is at commit '
                    f'{facts["commit"][:12]}, that of {commit[1]} at '
                    f'{commit[0][:12]}', 'build the same on all hosts'))
