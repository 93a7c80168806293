# SPDX-License-Identifier: GPL-2.0-or-later
"""What a page of a Linux guest is: the kernel's own names for it.

Offsets in structures that a kernel's configuration moves (struct kmem_cache) are
found by looking for a value that is known; the others are those of Linux 6.1."""

import struct

from ..kernel.image import PAGE, in_image, symbols_in

# Of struct page.
SIZE = 64
LOCKED_BY_SLAB, RESERVED = 1 << 9, 1 << 12
TYPE_AT, COUNT_AT = 48, 52
TYPE_BASE = 0xf0000000
TYPES = ((0x80, 'free'), (0x200, 'page table'))
TAIL, ANONYMOUS = 1, 1
# Where struct slab has its cache, before and since Linux 6.2.
CACHE_AT = (24, 8)
CACHE_BYTES = 192
# Of struct vmap_area and struct vm_struct.
AREA_LIST, AREA_VM = 40, 56
VM_PAGES, VM_COUNT, VM_CALLER = 32, 44, 56
AREAS_MAX, AREA_PAGES_MAX = 20000, 4096


class PageNames:
    """Names of pages by their numbers, from a guestmem.Kernel."""

    def __init__(self, kernel, cpus, pages):
        """Pages is the number of the guest's pages."""
        self.kernel = kernel
        self.pages = pages
        self.symbols = kernel.symbols
        self.unit = kernel.variable('pcpu_unit_size') & 0xffffffff
        self.units = [kernel.variable('__per_cpu_offset', cpu) -
                      kernel.direct_map for cpu in range(cpus)]
        self.name_at = self.find_name_at()
        self.areas = self.struct_pages = None

    def find_name_at(self):
        """Where struct kmem_cache has its name: the first cache is known."""
        cache = self.kernel.variable('kmem_cache')
        for at in range(0, CACHE_BYTES, 8):
            if self.kernel.text(self.kernel.u64(cache + at)) == 'kmem_cache':
                return at
        return None

    def name(self, page, changed=()):
        """Of a page, in which bytes at these offsets were seen to change."""
        address = page * PAGE
        return in_image(self.symbols, address, changed) or \
            self.per_cpu(address, changed) or self.structs(page) or \
            self.by_struct(page)

    def per_cpu(self, address, changed):
        for cpu, start in enumerate(self.units):
            if start <= address < start + self.unit:
                at = address - start
                if at >= self.symbols['__per_cpu_end']:
                    return f'per-CPU area of CPU {cpu}, allocated'
                return (f'per-CPU area of CPU {cpu}: '
                        + symbols_in(self.symbols, at, changed))
        return None

    def structs(self, page):
        """Of the array of all struct page."""
        if self.struct_pages is None:
            found = {}
            for start in range(0, self.pages * SIZE, PAGE):
                at = self.kernel.physical(self.kernel.page_structs + start)
                if at is not None:
                    found[at // PAGE] = start // SIZE
            self.struct_pages = found
        first = self.struct_pages.get(page)
        return None if first is None else (
            f'struct page of pages {first:#x} to {first + PAGE // SIZE - 1:#x}')

    def by_struct(self, page):
        data = self.kernel.read(self.kernel.page_structs + page * SIZE, SIZE)
        head, = struct.unpack_from('<Q', data, 8)
        if head & TAIL:
            data = self.kernel.read(head - TAIL, SIZE)
        flags, = struct.unpack_from('<Q', data)
        if flags & LOCKED_BY_SLAB:
            return self.slab(data)
        kind, = struct.unpack_from('<I', data, TYPE_AT)
        for bit, name in TYPES:
            if kind & (TYPE_BASE | bit) == TYPE_BASE:
                return name
        mapping, = struct.unpack_from('<Q', data, 24)
        if mapping & ANONYMOUS:
            return 'memory of a program'
        if flags & RESERVED:
            return 'reserved by firmware or at boot'
        count, = struct.unpack_from('<i', data, COUNT_AT)
        return (mapping and 'page cache') or self.mapped(page) or \
            ('free' if count == 0 else 'kernel, of no known kind')

    def slab(self, data):
        for at in CACHE_AT if self.name_at is not None else ():
            cache, = struct.unpack_from('<Q', data, at)
            if cache >= self.kernel.direct_map:
                name = self.kernel.text(self.kernel.u64(cache + self.name_at))
                if name:
                    return f'slab {name}'
        return 'slab'

    def mapped(self, page):
        """Of memory that the kernel maps page by page: task stacks, modules."""
        if self.areas is None:
            self.areas = self.vmalloc_areas()
        return self.areas.get(page)

    def vmalloc_areas(self):
        """Names by page: the function that asked for the memory."""
        kernel, found = self.kernel, {}
        end = self.symbols.by_name.get('vmap_area_list')
        link = kernel.u64(end) if end else None
        for _ in range(AREAS_MAX):
            if not link or link == end:
                break
            vm = kernel.u64(link - AREA_LIST + AREA_VM)
            if vm:
                self.add_area(found, kernel.read(vm, 64))
            link = kernel.u64(link)
        return found

    def add_area(self, found, vm):
        pages, = struct.unpack_from('<Q', vm, VM_PAGES)
        count, = struct.unpack_from('<I', vm, VM_COUNT)
        caller, = struct.unpack_from('<Q', vm, VM_CALLER)
        if not pages or count > AREA_PAGES_MAX:
            return
        for entry in struct.iter_unpack('<Q', self.kernel.read(pages,
                                                               8 * count)):
            number = (entry[0] - self.kernel.page_structs) // SIZE
            found[number] = f'vmalloc by {self.symbols.at(caller)}'
