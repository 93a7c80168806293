# SPDX-License-Identifier: GPL-2.0-or-later
"""The memory of a running Linux guest, read from outside: by guest-physical
address, by kernel address, and the values of the kernel's variables.

A read is of the moment.  Structures may change between two reads, so that each
reader here bounds its loops and takes any bytes."""

import struct

from ..kernel.image import IMAGE_MAP, IMAGE_MAP_END, PAGE

ENTRY = 0x000ffffffffff000
PRESENT, LARGE = 1, 1 << 7
LEVELS = (39, 30, 21, 12)


class Memory:
    """Pages that read_page(address) gives, each asked for once."""

    def __init__(self, read_page):
        self.read_page = read_page
        self.pages = {}

    def forget(self):
        self.pages.clear()

    def read(self, address, size):
        data = b''
        while len(data) < size:
            at = address + len(data)
            page = at & ~(PAGE - 1)
            if page not in self.pages:
                self.pages[page] = self.read_page(page)
            rest = size - len(data)
            data += self.pages[page][at - page:at - page + rest]
        return data

    def u64(self, address):
        return struct.unpack('<Q', self.read(address, 8))[0]


def changed_words(contents):
    """Offsets of words of 8 bytes that differ among contents of one page."""
    words = [struct.unpack(f'<{PAGE // 8}Q', data) for data in contents]
    return [8 * n for n, values in enumerate(zip(*words))
            if len(set(values)) > 1]


class Qemu:
    """Pages of a node, by QMP; the node fetches those that others have."""

    def __init__(self, qmp, file, size):
        self.qmp = qmp
        self.file = file
        self.size = size

    def read_page(self, address):
        if address + PAGE > self.size:
            return bytes(PAGE)
        self.qmp.execute('pmemsave', val=address, size=PAGE,
                         filename=str(self.file))
        return self.file.read_bytes()


class Kernel:
    """A Linux kernel that was not moved (nokaslr), with page tables of four
    levels."""

    def __init__(self, memory, symbols):
        self.memory = memory
        self.symbols = symbols
        self.direct_map = self.variable('page_offset_base')
        self.page_structs = self.variable('vmemmap_base')

    def fits(self):
        """Whether these are the symbols of the kernel in this memory."""
        banner = self.symbols['linux_banner'] - IMAGE_MAP
        return self.memory.read(banner, 13) == b'Linux version'

    def variable(self, name, index=0):
        return self.memory.u64(self.symbols[name] - IMAGE_MAP + 8 * index)

    def physical(self, address):
        """Of a kernel address; None if nothing is mapped there."""
        if IMAGE_MAP <= address < IMAGE_MAP_END:
            return address - IMAGE_MAP
        table = self.symbols['init_top_pgt'] - IMAGE_MAP
        for shift in LEVELS:
            entry = self.memory.u64(table + 8 * (address >> shift & 511))
            if not entry & PRESENT:
                return None
            table = entry & ENTRY
            if shift == 12 or entry & LARGE and shift < 39:
                mask = (1 << shift) - 1
                return table & ~mask | address & mask
        return None

    def read(self, address, size):
        """Bytes at a kernel address; zeros where nothing is mapped."""
        data = b''
        while len(data) < size:
            at = address + len(data)
            part = min(size - len(data), PAGE - at % PAGE)
            physical = self.physical(at)
            data += bytes(part) if physical is None else \
                self.memory.read(physical, part)
        return data

    def u64(self, address):
        return struct.unpack('<Q', self.read(address, 8))[0]

    def text(self, address, size=32):
        """A string of printable characters; empty if there is none."""
        text = self.read(address, size).partition(b'\0')[0]
        return text.decode() if text.isascii() and \
            text.decode().isprintable() else ''
