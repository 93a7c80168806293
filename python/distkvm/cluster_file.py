# SPDX-License-Identifier: GPL-2.0-or-later
"""The cluster file: a TOML file that describes a guest and its nodes.

docs/cluster-file.rst explains its keys.  load() finds all errors of a file in
one reading, each with its line and a remedy."""

import difflib
import re
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

from .cluster import NODES_MAX, SHARED
from .common import Problem, parse_size

LOCAL = 'local'
# Node K of a remote host without `address` listens at PORT + K.
PORT = 7700
SIZE = re.compile(r'[1-9]\d*[KMGT]', re.A)
# A leading '-' would be an option of ssh.
HOST = re.compile(r'([\w.][\w.-]*@)?[A-Za-z0-9][\w.:-]*', re.A)
ADDRESS = re.compile(r'(\[[\da-fA-F:.]+\]|[\w.-]+):(\d{1,5})', re.A)
NAME = re.compile(r'[\w.-]+', re.A)
MACHINE = re.compile(r'pc|q35|pc-(q35|i440fx)-\d+\.\d+', re.A)
VMI = ('tcg', 'kvm', 'auto')
TRANSPORT = ('auto', 'shm', 'tls', 'ucx')
CREDENTIALS = ('unix', 'psk', 'x509', 'insecure')
WHOLE, TEXT, LIST, SWITCH = 'a whole number', 'a text', 'a list of texts', \
    'true or false'
KEY = re.compile(r'\s*"?([\w-]+)"?(?:\s*\.\s*"?([\w-]+)"?)?\s*=', re.A)
TABLE = re.compile(r'\s*\[(\[?)\s*([\w-]+)\s*\]', re.A)
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
    },
}
# Keys of node 0's devices, which readers look for in a node.
DEVICES = ('devices', 'disks', 'disk', 'arguments', 'kernel', 'nic', 'drive')


class FileErrors(Problem):
    """All errors of a file, a line each."""

    def __init__(self, errors):
        self.errors = errors
        super().__init__('\n'.join(errors))


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


@dataclass
class ClusterFile:
    """A file without errors; nodes in the order of their ids."""
    path: Path
    cluster: dict
    guest: dict
    nodes: list = field(default_factory=list)

    @property
    def credentials(self):
        return self.cluster['credentials']


class Lines:
    """Lines of tables and keys, which tomllib does not tell.

    A place is (table, number of the table, key); numbers count [[node]]."""

    def __init__(self, text):
        self.found = {}
        table, count, inside = None, {}, None
        for line, words in enumerate(text.splitlines(), 1):
            if inside is None:
                head, key = TABLE.match(words), KEY.match(words)
                if head:
                    table = head.group(2)
                    count[table] = count.get(table, -1) + 1
                    self.found[table, count[table], None] = line
                elif key:
                    self.key(table, count, key, line)
            for quote in re.findall(r'"""|\'\'\'', words):
                inside = quote if inside is None else \
                    None if quote == inside else inside

    def key(self, table, count, match, line):
        first, second = match.groups()
        if table is None:
            self.found.setdefault((first, 0, None), line)
            self.found.setdefault((first, 0, second), line)
        else:
            self.found.setdefault((table, count[table], first), line)

    def of(self, table, number=0, key=None):
        return self.found.get((table, number, key)) or \
            self.found.get((table, number, None), 1)


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


class Reader:
    def __init__(self, path):
        self.path = path
        self.errors = []
        self.wrong = set()
        self.lines = None

    def error(self, place, reason, remedy):
        table, number, key = (*place, 0, None)[:3] if len(place) < 2 \
            else place
        line = self.lines.of(table, number, key)
        # A later check of a wrong key would only repeat the first one.
        if (table, number, key) in self.wrong:
            return
        self.wrong.add((table, number, key))
        name = f'node[{number}]' if table == 'node' and key else table
        name = f'{name}.{key}' if key else name
        self.errors.append(
            (line, f'{self.path}:{line}: key {name}: {reason}, {remedy}'))

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
        except (tomllib.TOMLDecodeError, RecursionError) as e:
            at = TOML_LINE.search(str(e))
            line = at.group(1) if at else len(text.splitlines()) or 1
            reason = TOML_LINE.sub('', str(e)).split('\n')[0]
            raise FileErrors([f'{self.path}:{line}: is no TOML: {reason}, '
                              'see https://toml.io']) from None

    # ------------------------------------------------------------ one key

    def table(self, name, number, values):
        """The keys of a table that are right."""
        good = {}
        for key, value in values.items():
            place = (name, number, key)
            if key not in SCHEMA[name]:
                if name == 'node' and key in DEVICES:
                    self.error(place, 'devices are those of node 0',
                               'name them in [guest]')
                else:
                    self.error(place, 'is unknown',
                               nearest(key, SCHEMA[name]))
                continue
            kind, check = SCHEMA[name][key]
            if not is_a(kind, value):
                self.error(place, f'is not {kind}', f'write {kind}')
            elif kind == TEXT and ('\0' in value or not value):
                self.error(place, 'is empty or has a zero byte',
                           'write a text or leave the key out')
            elif kind == LIST and not all(v and '\0' not in v for v in value):
                self.error(place, 'has an empty text or a zero byte',
                           'leave the text out')
            elif check and check(value):
                reason, remedy = check(value)
                self.error(place, f'{value!r} {reason}', remedy)
            else:
                good[key] = value
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
        found['node'] = [self.table('node', n, v) for n, v in enumerate(nodes)]
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
                if not 1 <= int(node['address'].rpartition(':')[2]) <= 65535:
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
        named = [n for n in nodes if 'memory' in n]
        if named and len(named) < len(nodes):
            for number, node in enumerate(nodes):
                if 'memory' not in node:
                    self.error(('node', number, 'memory'), 'is missing, as '
                               'others have it', 'give it to all or none')
        elif named and sum(parse_size(n['memory']) for n in nodes) != \
                parse_size(guest['memory']):
            self.error(('guest', 0, 'memory'), f'{guest["memory"]} is not '
                       'the sum of the nodes\' memory', 'change one of them')
        for word in guest.get('arguments', []):
            if word in SHARED:
                self.error(('guest', 0, 'arguments'), f'"{word}" is common '
                           'to all nodes', 'use the other keys of the file')
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
        for values, table, number, key, node in places:
            value = values[key]
            each = value if isinstance(value, list) else [value]
            local = node.get('host', LOCAL) == LOCAL
            if not local and any(not v.startswith('/') for v in each):
                self.error((table, number, key), 'is a relative path on '
                           'another host', 'write one that begins with "/"')
            each = [str(here / v) if local else v for v in each]
            values[key] = each if isinstance(value, list) else each[0]

    def read(self):
        found = self.tables(self.parse())
        cluster, guest, nodes = (found[k] for k in SCHEMA)
        self.ids(nodes)
        # Which addresses and keys are needed follows from them.
        if not any(table not in SCHEMA or key in ('credentials', 'host')
                   for table, _, key in self.wrong):
            self.addresses(cluster, nodes)
            self.proofs(cluster, nodes)
        self.shares(guest, nodes)
        self.paths(guest, nodes)
        if self.errors:
            raise FileErrors([e for _, e in sorted(self.errors)])
        return ClusterFile(Path(self.path), cluster, guest, sorted(
            (Node(**n) for n in nodes), key=lambda n: n.id))


def load(path):
    """A ClusterFile, or FileErrors with all errors of the file."""
    return Reader(path).read()
