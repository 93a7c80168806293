/*
 * distkvm: right control messages, of each type at least one
 *
 * JSON as a peer sends it; single quotes are QEMU's own way of writing it.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_RIGHT_MESSAGES_H
#define DISTKVM_RIGHT_MESSAGES_H

static const char *const right_message[] = {
    "{'type': 'refuse', 'why': 'full', 'retry': true}",
    "{'type': 'lane', 'node': 1, 'lane': 0, 'cookie': 'AAAA'}",
    "{'type': 'lane-taken'}",
    "{'type': 'address', 'cookie': 'AAAA'}",
    "{'type': 'address', 'cookie': 'AAAA', 'ucx': 'BBBB'}",
    "{'type': 'ready'}",
    "{'type': 'reached'}",
    "{'type': 'ping', 'sent': 1, 'boot': 9223372036854775807}",
    "{'type': 'pong', 'sent': 1, 'boot': 2, 'clock': 3}",
    "{'type': 'lost', 'node': 2, 'why': 'silent'}",
    "{'type': 'end'}",
    "{'type': 'map', 'seq': 1, 'space': 'ports', 'removed': [], 'added': []}",
    "{'type': 'map', 'seq': 2, 'space': 'memory', 'removed': [4096],"
    " 'added': [{'owner': 0, 'addr': 4294967296, 'size': 4096, 'offset': 0,"
    " 'block': 'pc.ram', 'rom': false, 'readonly': false}]}",
    "{'type': 'rom', 'block': 'bios', 'size': 4, 'offset': 0,"
    " 'data': 'AAAAAA=='}",
    "{'type': 'rom', 'block': 'large', 'size': 99999999}",
    "{'type': 'apic', 'seq': 3, 'cpu': 1, 'base': 4276094976, 'id': 1,"
    " 'ldr': 2, 'dfr': 15, 'svr': 511, 'lint0': 65536, 'lint1': 1024}",
    "{'type': 'mirrored', 'seq': 3}",
    "{'type': 'mirrored', 'seq': 18446744073709551615}",
    "{'type': 'pci-function', 'data': 'AAAA'}",
    "{'type': 'pci-rom', 'devfn': 8, 'offset': 4294967295, 'data': 'AAAA'}",
    "{'type': 'pci-end', 'slots': 255, 'hotplug': 4294967295}",
    "{'type': 'pci-unplug', 'slot': 1, 'generation': 18446744073709551615,"
    " 'pulled': false}",
    "{'type': 'pci-unplug', 'slot': 1, 'generation': 1, 'pulled': true}",
    "{'type': 'pci-slot', 'slot': 1, 'generation': 1, 'news': 'accepted'}",
    "{'type': 'pci-slot', 'slot': 255, 'generation': 2, 'news': 'kept',"
    " 'why': 'busy'}",
    "{'type': 'want-start'}",
    "{'type': 'want-stop'}",
    "{'type': 'stopped', 'clock': 5, 'needs-reset': true}",
    "{'type': 'start', 'clock': 5}",
    "{'type': 'stop'}",
    "{'type': 'reset', 'cause': 7}",
    "{'type': 'reset-pause', 'cause': 7}",
    "{'type': 'reset-do', 'cause': 7}",
    "{'type': 'reset-reached'}",
    "{'type': 'reset-resume', 'cause': 7}",
    "{'type': 'powerdown'}",
    "{'type': 'shutdown', 'cause': 2}",
    "{'type': 'leaving', 'cause': 2}",
    "{'type': 'hello', 'magic': 'distkvm', 'node': 1, 'facts': {'a': 'b'},"
    " 'place': {}, 'shm': true}",
};

#endif
