# SPDX-License-Identifier: GPL-2.0-or-later
"""Cluster files without a mistake, and changes that make one of them."""

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
LOCALS = '[guest]\nmemory = "64M"\n[[node]]\n[[node]]\n'
TCP = '[cluster]\nkeys = "/k"\n' + LOCALS.replace(
    '[[node]]', '[[node]]\naddress = "a:1"', 1) + 'address = "a:2"\n'
# Whole files, and the one error of each.
FILES = {
    'a guest that is no table': (
        'guest = 1\n[[node]]\n[[node]]\n', '1: key guest: is not a table, '
        'write [guest]'),
    'a node that is no list': (
        'node = 3\n[guest]\nmemory = "64M"\n', '1: key node: is not a list '
        'of tables, write [[node]]'),
    'one node': ('[guest]\nmemory = "64M"\n[[node]]\n', '3: key node: a '
                 'cluster has 2 to 64 nodes, not 1'),
    'Unix sockets between hosts': (
        '[cluster]\ncredentials = "unix"\n' + LOCALS + 'host = "b"\n',
        '7: key node[1].host: credentials = "unix" are for one host'),
    'no keys': (TCP.replace('keys = "/k"', '').replace(
        'address = "a:1"', 'address = "a:1"\nkeys = "/k"'),
                '8: key node[1].keys: is missing for credentials = "psk"'),
    'a distance of nothing': (
        '[cluster]\nnuma = false\ndistance = 20\n' + LOCALS, '3: key '
        'cluster.distance: there are no NUMA nodes'),
    'memory of one node': (
        LOCALS + 'memory = "64M"\n', '3: key node[0].memory: is missing, as '
        'others have it'),
    'a cap below the share': (
        LOCALS + 'cap = "39M"\n', "5: key node[1].cap: 39M is less than the "
        "node's share of the RAM, 32M, and 8M"),
    'a cap below its memory': (
        LOCALS.replace('[[node]]', '[[node]]\nmemory = "60M"\ncap = "67M"', 1)
        + 'memory = "4M"\n', '5: key node[0].cap: 67M is less than'),
    'a part of a page': (
        LOCALS.replace('"64M"', '"24K"').replace(
            '[[node]]', '[[node]]\nmemory = "6K"', 1) + 'memory = "8K"\n'
        '[[node]]\nmemory = "10K"\n', '4: key node[0].memory: is not a '
        'multiple of 4K'),
    'RAM that QEMU would round': (
        LOCALS.replace('"64M"', '"65540K"'), '2: key guest.memory: is not a '
        'multiple of 8K'),
}
