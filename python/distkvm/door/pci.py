# SPDX-License-Identifier: GPL-2.0-or-later
"""What a member says of its PCI functions, and hears of them."""

import base64
import struct

from .. import wire
from ..common import Problem
from ..wire import PCI_LINE
from .common import until
from .forger import SOON

SLOT = 1
# Vendor and device, command and status, revision and class, as edu has them.
HEADER = struct.pack('<IIIB', 0x11e81234, 0, 0xff000000, 0)
ROM_BYTES = 2048


def function(generation, number=0, rom_bytes=0, slot=SLOT, name='',
             more=False):
    """A description: hw/vpci-cluster/function.h."""
    multifunction = more or number > 0
    header = bytearray(HEADER + bytes(256 - len(HEADER)))
    header[14] = 0x80 * multifunction
    text = struct.pack('<Q5BI', generation, slot << 3 | number, multifunction,
                       0, 0, 0, rom_bytes) + bytes(6 * 9)
    text += bytes([len(name)]) + name.encode() + bytes(1) + header
    return {'type': 'pci-function', 'data': base64.b64encode(text).decode()}


def rom(offset, count):
    return {'type': 'pci-rom', 'devfn': SLOT << 3, 'offset': offset,
            'data': base64.b64encode(bytes(count)).decode()}


def unplug(generation, pulled=False):
    return {'type': 'pci-unplug', 'slot': SLOT, 'generation': generation,
            'pulled': pulled}


def line(generation):
    return lambda member: member.send(0, member.frame(
        PCI_LINE, 0, generation=generation, devfn=SLOT << 3, level=1))


def say(member, *said):
    for each in said:
        if callable(each):
            each(member)
        else:
            member.control[0].send(wire.message(**each))


def heard(member):
    """All news: slot, generation, and what it is."""
    return [(m['slot'], m['generation'], m['news'])
            for m in list(member.control[0].kept)
            if m.get('type') == 'pci-slot']


def hear(member, news, generation=1, slot=SLOT):
    until(f"'{news}' of slot {slot} is heard, generation {generation}",
          lambda: (slot, generation, news) in heard(member) or
          member.control[0].closed, SOON)
    if (slot, generation, news) not in heard(member):
        raise Problem(f"not '{news}', but {heard(member)}")


NO_LINE = 'an interrupt of a PCI function that it has not'
