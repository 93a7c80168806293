# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster file: a TOML file that describes a guest and its nodes.

docs/cluster-file.rst explains its keys.  load() finds all errors of a file in
one reading, each with its line and a remedy."""

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from . import cluster_devices, cluster_shares
from .cluster import NODES_MAX, SHARED
from .cluster_devices import Disk, Interface
from .common import PACKAGED, TOOL, FileErrors

LOCAL = 'local'
# Node K of a remote host without `address` listens at PORT + K.
PORT = 7700
SIZE = re.compile(r'[1-9]\d*[KMGT]', re.A)
# A leading '-' would be an option of ssh.
HOST = re.compile(r'([\w.][\w.-]*@)?[A-Za-z0-9][\w.:-]*', re.A)
ADDRESS = re.compile(r'(\[[\da-fA-F:.]+\]|\w[\w.-]*):([1-9]\d{0,4})',
                     re.A)
NAME = re.compile(r'[\w.-]+', re.A)
MACHINE = re.compile(r'pc|q35|pc-(q35|i440fx)-\d+\.\d+', re.A)
ABSOLUTE = re.compile(r'/.*', re.S)
VMI = ('tcg', 'kvm', 'auto')
TRANSPORT = ('auto', 'shm', 'tls', 'ucx')
CREDENTIALS = ('unix', 'psk', 'x509', 'insecure')
WHOLE, TEXT, LIST, SWITCH = 'a whole number', 'a text', 'a list of texts', \
    'true or false'
NAMED = r'["\']?([\w-]+)["\']?\s*'
KEY = re.compile(rf'\s*{NAMED}(?:\.\s*{NAMED})?=', re.A)
TABLE = re.compile(rf'\s*\[\[?\s*{NAMED}(?:\.\s*{NAMED})?\]', re.A)
# The name of a table in a table of a list, as in places of errors.
NESTED = re.compile(r'(\w+)\[(\d+)\]\.(\w+)', re.A)
# A text or a comment begins; the rest of a text, with its end.
OPENING = re.compile(r'"""|\'\'\'|"|\'|#')
CLOSING = {'"': re.compile(r'(?:[^"\\]|\\.)*"'), "'": re.compile("[^']*'"),
           '"""': re.compile(r'(?:[^\\]|\\.)*?"""'),
           "'''": re.compile(".*?'''")}
# XML has no words for them, and QEMU no use.
CONTROL = re.compile('[\0-\x08\x0b-\x1f\ufffe\uffff]')
TOML_LINE = re.compile(r' ?\(at line (\d+), column (\d+)\)')


def size(text):
    return None if SIZE.fullmatch(text) else \
        ('is not a size', 'write a number and K, M, G or T, as "512M"')


def form(pattern, reason, remedy):
    return lambda text: None if pattern.fullmatch(text) else (reason, remedy)


def among(values):
    return lambda text: None if text in values else \
        ('is unknown', 'write ' + ', '.join(f'"{v}"' for v in values))


def between(low, high):
    return lambda n: None if low <= n <= high else \
        ('is out of range', f'write {low} to {high}')


PROGRAM = (TEXT, form(ABSOLUTE, 'is no absolute path',
                      'write one that begins with "/"'))

# By table and key: the type, and a check that returns a reason and a remedy.
SCHEMA = {
    'cluster': {
        'name': (TEXT, form(NAME, 'is no name',
                            'use letters, digits, ".", "_" and "-"')),
        'transport': (TEXT, among(TRANSPORT)),
        'credentials': (TEXT, among(CREDENTIALS)),
        'keys': (TEXT, None),
        'numa': (SWITCH, None),
        'distance': (WHOLE, between(11, 254)),
        'join-timeout': (WHOLE, between(1, 86400)),
        'dead-after-ms': (WHOLE, between(500, 600000)),
        'distkvm': PROGRAM,
        'qemu': PROGRAM,
    },
    'guest': {
        'machine': (TEXT, form(MACHINE, 'is unknown', 'write "q35" or "pc"')),
        'memory': (TEXT, size),
        'cpu': (TEXT, None),
        'firmware': (TEXT, None),
        'kernel': (TEXT, None),
        'initrd': (TEXT, None),
        'append': (TEXT, None),
        'disks': (LIST, None),
        'graphics': (TEXT, among(('vnc',))),
        'arguments': (LIST, None),
    },
    'node': {
        'id': (WHOLE, between(0, NODES_MAX - 1)),
        'host': (TEXT, form(HOST, 'is no host',
                            'write "local", "HOST" or "USER@HOST"')),
        'address': (TEXT, form(ADDRESS, 'is no address',
                               'write "HOST:PORT" or "[IPV6]:PORT"')),
        'vcpus': (WHOLE, between(0, 4096)),
        'memory': (TEXT, size),
        'cap': (TEXT, size),
        'vmi': (TEXT, among(VMI)),
        'keys': (TEXT, None),
        'distkvm': PROGRAM,
        'qemu': PROGRAM,
    },
}
# Lists of tables of a node.
DEVICE_SCHEMA = {
    'disk': {
        'file': (TEXT, None),
        'format': (TEXT, among(cluster_devices.FORMATS)),
        'bus': (TEXT, among(cluster_devices.BUSES)),
        'cache': (TEXT, among(cluster_devices.CACHES)),
        'readonly': (SWITCH, None),
        'cdrom': (SWITCH, None),
        'boot': (WHOLE, between(1, cluster_devices.ORDERS - 1)),
    },
    'interface': {
        'model': (TEXT, among(cluster_devices.MODELS)),
        'mac': (TEXT, form(cluster_devices.MAC, 'is no address of an '
                           'interface', 'write one as "52:54:00:ab:cd:01"')),
        'tap': (TEXT, form(cluster_devices.TAP, 'is no name of a tap device',
                           'write one as "tap0"')),
    },
}
# Where `scripts/distkvm build` puts QEMU, from the folder of the tool on.
BUILT = Path('build/qemu-build/qemu-system-x86_64')


def qemu_beside(tool):
    """The QEMU of a tool at this path on its host: of a package, or built."""
    tool = Path(tool)
    return str(tool.parent.parent / (PACKAGED if tool.parent.name == 'bin'
                                     else BUILT))


# Options by which QEMU leaves its process, its directory or its user.
LEAVING = {'-daemonize', '-chroot', '-runas', '-run-with'}
# Other words for lists of a node.
OTHER_WORDS = {'disks': 'disk', 'drive': 'disk', 'drives': 'disk',
               'interfaces': 'interface', 'nic': 'interface',
               'net': 'interface', 'network': 'interface'}


@dataclass
class Node:
    id: int
    host: str = LOCAL
    address: str = None
    vcpus: int = 1
    memory: str = None
    cap: str = None
    vmi: str = 'tcg'
    keys: str = None
    # Paths on the node's host: this tool, and QEMU.
    distkvm: str = None
    qemu: str = None
    disks: list = field(default_factory=list)
    interfaces: list = field(default_factory=list)
    # Which [[node]] of the file it is, from 0.
    number: int = 0


@dataclass
class ClusterFile:
    """A file without errors; nodes in the order of their ids."""
    path: Path
    cluster: dict
    guest: dict
    nodes: list = field(default_factory=list)
    lines: 'Lines' = None

    @property
    def credentials(self):
        return self.cluster['credentials']

    def error(self, place, reason, remedy):
        """A line that names a place of the file; see Lines."""
        return error_text(self.path, self.lines, place, reason, remedy)[1]

    def node_error(self, node, key, reason, remedy):
        return self.error(('node', node.number, key), reason, remedy)


class Lines:
    """Lines of tables and keys, which tomllib does not tell.

    A place is (table, number of the table, key); numbers count [[node]].  The
    table of a list in node 2 is "node[2].disk"."""

    def __init__(self, text):
        self.found = {}
        table, count, inside = None, {}, None
        # No other character begins a line of TOML.
        for line, words in enumerate(text.split('\n'), 1):
            if inside is None:
                head, key = TABLE.match(words), KEY.match(words)
                if head:
                    table = self.begin(count, *head.groups(), line)
                elif key:
                    self.key(table, count, key, line)
            inside = self.inside(words, inside)

    def begin(self, count, first, second, line):
        """The table whose keys follow its heading."""
        table = first
        if second:
            above = count.get(first, 0)
            self.found.setdefault((first, above, second), line)
            table = f'{first}[{above}].{second}'
        count[table] = count.get(table, -1) + 1
        self.found[table, count[table], None] = line
        return table

    @staticmethod
    def inside(words, quote):
        """The quote of a text over several lines, or None, at the end of a
        line that begins in such a text or not."""
        while words:
            if quote is None:
                at = OPENING.search(words)
                if not at or at.group() == '#':
                    return None
                quote, words = at.group(), words[at.end():]
            at = CLOSING[quote].match(words)
            if not at:
                # Only a text of three quotes goes on.
                return quote if len(quote) == 3 else None
            quote, words = None, words[at.end():]
        return quote

    def key(self, table, count, match, line):
        first, second = match.groups()
        if table is None:
            self.found.setdefault((first, 0, None), line)
            self.found.setdefault((first, 0, second), line)
        else:
            self.found.setdefault((table, count[table], first), line)

    def of(self, table, number=0, key=None):
        line = self.found.get((table, number, key)) or \
            self.found.get((table, number, None))
        nested = NESTED.fullmatch(table)
        if not line and nested:
            # A list of tables in one line.
            above, index, inner = nested.groups()
            return self.of(above, int(index), inner)
        return line or 1


def is_a(kind, value):
    if kind == LIST:
        return isinstance(value, list) and \
            all(isinstance(v, str) for v in value)
    # In Python True is a number.
    return type(value) is {WHOLE: int, TEXT: str, SWITCH: bool}[kind]


def nearest(key, keys):
    close = difflib.get_close_matches(key, keys, 1)
    return f'write "{close[0]}"' if close else \
        'there are ' + ', '.join(keys)


def error_text(path, lines, place, reason, remedy):
    """The number of a line, and the error there."""
    table, number, key = place
    line = lines.of(table, number, key)
    numbered = table == 'node' and key or NESTED.fullmatch(table)
    name = f'{table}[{number}]' if numbered else table
    name = f'{name}.{key}' if key else name
    words = f'{reason}, {remedy}' if remedy else reason
    return line, f'{path}:{line}: key {name}: {words}'


class Reader:
    def __init__(self, path):
        self.path = path
        self.errors = []
        self.wrong = set()
        self.lines = None

    def error(self, place, reason, remedy):
        place = (*place, 0, None)[:3] if len(place) < 2 else place
        # A later check of a wrong key would only repeat the first one.
        if place in self.wrong:
            return
        self.wrong.add(place)
        self.errors.append(error_text(self.path, self.lines, place, reason,
                                      remedy))

    def parse(self):
        try:
            text = Path(self.path).read_text(encoding='utf-8')
            self.lines = Lines(text)
            return tomllib.loads(text)
        except OSError as e:
            raise FileErrors([f'{self.path}:1: cannot be read: {e.strerror}, '
                              'name a file that you may read']) from None
        except UnicodeDecodeError:
            raise FileErrors([f'{self.path}:1: is not UTF-8, save it as '
                              'UTF-8']) from None
        # A number of thousands of digits is a ValueError.
        except (ValueError, RecursionError) as e:
            at = TOML_LINE.search(str(e))
            line = at.group(1) if at else text.count('\n') or 1
            reason = TOML_LINE.sub('', str(e)).split('\n')[0]
            raise FileErrors([f'{self.path}:{line}: is no TOML: {reason}, '
                              'see https://toml.io']) from None

    # ------------------------------------------------------------ one key

    def table(self, name, number, values):
        """The keys of a table that are right."""
        good = {}
        nested = NESTED.fullmatch(name)
        schema = DEVICE_SCHEMA[nested.group(3)] if nested else SCHEMA[name]
        for key, value in values.items():
            place = (name, number, key)
            if key not in schema:
                self.unknown(place, schema)
                continue
            kind, check = schema[key]
            if not is_a(kind, value):
                self.error(place, f'is not {kind}', f'write {kind}')
            elif kind == TEXT and (CONTROL.search(value) or not value):
                self.error(place, 'is empty or has a control character',
                           'write a text or leave the key out')
            elif kind == LIST and not all(
                    v and not CONTROL.search(v) for v in value):
                self.error(place, 'has an empty text or a control character',
                           'leave it out')
            elif check and check(value):
                reason, remedy = check(value)
                self.error(place, f'{value!r} {reason}', remedy)
            else:
                good[key] = value
        return good

    def unknown(self, place, schema):
        """A key that the schema of its table has not."""
        table, _, key = place
        if table == 'node' and key in OTHER_WORDS:
            self.error(place, 'is unknown', 'write '
                       f'[[node.{OTHER_WORDS[key]}]] for each')
        elif table == 'node' and key in SCHEMA['guest']:
            self.error(place, "is the guest's, and node 0's", 'write it in '
                       '[guest]')
        else:
            lists = DEVICE_SCHEMA if table == 'node' else ()
            self.error(place, 'is unknown', nearest(key, [*schema, *lists]))

    def node(self, number, values):
        """The keys of a node, and its lists."""
        rest = {k: v for k, v in values.items() if k not in DEVICE_SCHEMA}
        good = self.table('node', number, rest)
        for kind in DEVICE_SCHEMA:
            each = values.get(kind, [])
            if not isinstance(each, list) or \
                    not all(isinstance(d, dict) for d in each):
                self.error(('node', number, kind), 'is not a list of tables',
                           f'write [[node.{kind}]]')
                each = []
            good[kind] = [self.table(f'node[{number}].{kind}', n, v)
                          for n, v in enumerate(each)]
        return good

    def tables(self, data):
        for name in data:
            if name not in SCHEMA:
                self.error((name,), 'is unknown', nearest(name, SCHEMA))
        found = {}
        for name in ('cluster', 'guest'):
            values = data.get(name, {})
            if not isinstance(values, dict):
                self.error((name,), 'is not a table', f'write [{name}]')
                values = {}
            found[name] = self.table(name, 0, values)
        nodes = data.get('node', [])
        if not isinstance(nodes, list) or \
                not all(isinstance(n, dict) for n in nodes):
            self.error(('node',), 'is not a list of tables', 'write [[node]]')
            nodes = []
        elif not 2 <= len(nodes) <= NODES_MAX:
            self.error(('node',), f'a cluster has 2 to {NODES_MAX} nodes, '
                       f'not {len(nodes)}', 'write [[node]] for each')
        found['node'] = [self.node(n, v) for n, v in enumerate(nodes)]
        return found

    # ------------------------------------------------- keys that must fit

    def once(self, nodes, key):
        first = {}
        for number, node in enumerate(nodes):
            if node.get(key) is None:
                continue
            if node[key] in first:
                self.error(('node', number, key), f'{node[key]!r} is that of '
                           f'node[{first[node[key]]}], too', 'write another')
            first.setdefault(node[key], number)

    def ids(self, nodes):
        named = [n for n in nodes if 'id' in n]
        if named and len(named) < len(nodes):
            for number, node in enumerate(nodes):
                if 'id' not in node:
                    self.error(('node', number, 'id'), 'is missing, as '
                               'others have one', 'give all an id or none')
            return
        for number, node in enumerate(nodes):
            node.setdefault('id', number)
            if node['id'] >= len(nodes):
                self.error(('node', number, 'id'), f'{node["id"]} is not '
                           f'below the number of nodes, {len(nodes)}',
                           f'write 0 to {len(nodes) - 1}')
        self.once(nodes, 'id')

    def wrong_ids(self):
        return any(key == 'id' for _, _, key in self.wrong)

    def addresses(self, cluster, nodes):
        hosts = {n.get('host', LOCAL) for n in nodes}
        tcp = hosts != {LOCAL} or any('address' in n for n in nodes)
        kind = cluster.setdefault('credentials', 'psk' if tcp else 'unix')
        if kind == 'unix':
            for number, node in enumerate(nodes):
                for key in ('host', 'address'):
                    if node.get(key, LOCAL) != LOCAL:
                        self.error(('node', number, key), 'credentials = '
                                   '"unix" are for one host without ports',
                                   'write credentials = "psk"')
            return
        for number, node in enumerate(nodes):
            host = node.get('host', LOCAL)
            if 'address' in node:
                if int(node['address'].rpartition(':')[2]) > 65535:
                    self.error(('node', number, 'address'),
                               'the port is out of range',
                               'write a port from 1 to 65535')
            elif host == LOCAL:
                self.error(('node', number, 'address'), 'is missing',
                           'write "HOST:PORT" as the other nodes reach it')
            else:
                name = host.rpartition('@')[2]
                name = f'[{name}]' if ':' in name else name
                node['address'] = f'{name}:{PORT + node.get("id", number)}'
        self.once(nodes, 'address')

    def proofs(self, cluster, nodes):
        kind = cluster['credentials']
        needs = kind in ('psk', 'x509')
        for number, node in enumerate(nodes):
            keys = node.setdefault('keys', cluster.get('keys'))
            if needs and not keys:
                self.error(('node', number, 'keys'), f'is missing for '
                           f'credentials = "{kind}"', 'name the directory '
                           'of the keys on the host, here or in [cluster]')
            elif keys and not needs:
                where = ('cluster', 0) if 'keys' in cluster else \
                    ('node', number)
                self.error((*where, 'keys'), f'credentials = "{kind}" have '
                           'no keys', 'leave it out')
                return
        if cluster.get('transport') == 'shm' and \
                len({n.get('host', LOCAL) for n in nodes}) > 1:
            self.error(('cluster', 0, 'transport'), '"shm" is for one host',
                       'write "tls" or leave it out')
        if cluster.get('numa') is False and 'distance' in cluster:
            self.error(('cluster', 0, 'distance'), 'there are no NUMA nodes '
                       'with numa = false', 'leave one of both out')

    def shares(self, guest, nodes):
        for number, node in enumerate(nodes):
            if not self.wrong_ids() and node['id'] == 0 and node.get('vcpus') == 0:
                self.error(('node', number, 'vcpus'), 'vCPU 0 must be on '
                           'node 0', 'give node 0 a vCPU')
        if 'memory' not in guest:
            if ('guest', 0, None) not in self.wrong:
                self.error(('guest', 0, 'memory'), 'is missing',
                           'write the RAM of the guest, as "2G"')
            return
        cluster_shares.check(self, guest, nodes)
        for word in guest.get('arguments', []):
            # QEMU takes options with one dash or two.
            option = re.sub('^--', '-', word)
            if option in SHARED:
                self.error(('guest', 0, 'arguments'), f'"{word}" is common '
                           'to all nodes', 'use the other keys of the file')
            elif option in LEAVING:
                self.error(('guest', 0, 'arguments'), f'"{word}" takes QEMU '
                           'away from the commands that end it',
                           'leave it out, nodes go on by themselves')
        for key in ('initrd', 'append'):
            if key in guest and 'kernel' not in guest:
                self.error(('guest', 0, key), 'there is no kernel',
                           'write kernel = "FILE"')

    def paths(self, guest, nodes):
        """Relative paths are the file's neighbours, on this host only."""
        here = Path(self.path).resolve().parent
        first = next((n for n in nodes if n.get('id') == 0), {})
        places = [(guest, 'guest', 0, key, first) for key in
                  ('kernel', 'initrd', 'firmware', 'disks') if key in guest]
        places += [(n, 'node', number, 'keys', n)
                   for number, n in enumerate(nodes) if n.get('keys')]
        places += [(d, f'node[{number}].disk', n, 'file', node)
                   for number, node in enumerate(nodes)
                   for n, d in enumerate(node['disk']) if 'file' in d]
        for values, table, number, key, node in places:
            value = values[key]
            each = value if isinstance(value, list) else [value]
            local = node.get('host', LOCAL) == LOCAL
            if not local and any(not v.startswith('/') for v in each):
                self.error((table, number, key), 'is a relative path on '
                           'another host', 'write one that begins with "/"')
            each = [str(here / v) if local else v for v in each]
            values[key] = each if isinstance(value, list) else each[0]

    def programs(self, cluster, nodes):
        """Paths of this tool and of QEMU on each node's host."""
        for number, node in enumerate(nodes):
            node['number'] = number
            for key in ('distkvm', 'qemu'):
                node.setdefault(key, cluster.get(key))
            node['distkvm'] = node['distkvm'] or \
                str(TOOL)
            node['qemu'] = node['qemu'] or qemu_beside(node['distkvm'])

    def read(self):
        found = self.tables(self.parse())
        cluster, guest, nodes = (found[k] for k in SCHEMA)
        self.ids(nodes)
        # Which addresses and keys are needed follows from them.
        if not any(table not in SCHEMA and not NESTED.fullmatch(table) or
                   key in ('credentials', 'host')
                   for table, _, key in self.wrong):
            self.addresses(cluster, nodes)
            self.proofs(cluster, nodes)
        self.shares(guest, nodes)
        self.paths(guest, nodes)
        self.programs(cluster, nodes)
        cluster_devices.check(self, guest, nodes)
        if self.errors:
            raise FileErrors([e for _, e in sorted(self.errors)])
        for node in nodes:
            node['disks'] = [Disk(**d) for d in node.pop('disk')]
            node['interfaces'] = [Interface(**i)
                                  for i in node.pop('interface')]
        return ClusterFile(Path(self.path), cluster, guest, sorted(
            (Node(**n) for n in nodes), key=lambda n: n.id), self.lines)


def load(path):
    """A ClusterFile, or FileErrors with all errors of the file."""
    return Reader(path).read()
