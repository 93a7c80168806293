# SPDX-License-Identifier: GPL-2.0-or-later
"""A QEMU that watches its memory, by AddressSanitizer, in those sources that have
to do with devices of other nodes.

It is linked of objects of the ordinary build, and of these sources, compiled
once more: a build of all of QEMU takes half an hour.  Any source may free the
memory; accesses to it are noticed in these sources, and in the C library."""

import json
import os
import re
import shlex
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from .build import compiler_cache
from .common import QEMU_BUILD, Problem

PLACE = QEMU_BUILD / 'sanitized'
PROGRAM = PLACE / 'qemu-system-x86_64'
SANITIZE = ['-fsanitize=address', '-fno-omit-frame-pointer']
# A fault of these is an error; QEMU's own leaks at its end are none.  What was
# freed stays in the process up to so many MiB; a test sees that 64 MiB leave it.
OPTIONS = 'detect_leaks=0:detect_stack_use_after_return=0:abort_on_error=1:' \
          'quarantine_size_mb=16'
# Beginnings of the watched sources' names in QEMU's tree.
WATCHED = [
    'accel/distkvm/machine/', 'hw/vpci-cluster/', 'hw/pci/',
    'hw/pci-bridge/gen', 'hw/pci-bridge/pci', 'hw/core/qdev', 'hw/core/bus',
    'hw/core/hotplug', 'hw/core/reset', 'hw/acpi/pcihp', 'hw/misc/edu',
    'hw/nvme/ctrl', 'hw/block/virtio-blk', 'hw/net/virtio-net',
    'hw/usb/hcd-xhci', 'hw/virtio/virtio.c', 'hw/virtio/virtio-pci.c',
    'hw/virtio/virtio-bus.c', 'qom/object.c', 'system/memory.c',
    'system/physmem.c', 'system/bootdevice.c']
# Where QEMU looks for firmware: beside itself.
BESIDE = ('qemu-bundle', 'pc-bios')


def link_statement(text):
    """What QEMU is linked of, and how, as ninja's file has it."""
    found = re.search(r'^build qemu-system-x86_64: \S+ (.*?)( \|.*)?\n'
                      r'((?: .*\n)*)', text, re.M)
    if not found:
        raise Problem(f'{QEMU_BUILD}/build.ninja does not say how '
                      'qemu-system-x86_64 is linked')
    options = dict(re.findall(r'^ (\w+) = ?(.*)$', found.group(3), re.M))
    return (found.group(1).split(),
            [re.sub(r'\$([$ :])', r'\1', options.get(name, ''))
             for name in ('ARGS', 'LINK_ARGS')])


def compile_watched(command, source, target):
    """By the command of the ordinary object, whose cache this one shares."""
    words = shlex.split(command)
    for option in ('-o', '-MF', '-MQ'):
        words[words.index(option) + 1] = str(target) + \
            ('.d' if option == '-MF' else '')
    result = subprocess.run([*words, *SANITIZE], cwd=QEMU_BUILD, check=False,
                            capture_output=True, text=True,
                            env=compiler_cache())
    if result.returncode:
        raise Problem(f'{source}: {result.stderr[-800:]}')


def watched_objects(objects, commands):
    """Those objects of QEMU whose sources are watched."""
    found = {each: [name for name in objects if name in commands and
                    f'/{each}' in commands[name]['file']] for each in WATCHED}
    idle = [each for each, names in found.items() if not names]
    if idle:
        raise Problem(f"QEMU has no source of {', '.join(idle)}")
    return sorted(set().union(*found.values()))


def build():
    """The program; its watched sources are compiled by way of the compiler's
    cache, if there is one."""
    PLACE.mkdir(exist_ok=True)
    commands = {entry['output']: entry for entry in json.loads(
        (QEMU_BUILD / 'compile_commands.json').read_text())}
    objects, (args, link_args) = link_statement(
        (QEMU_BUILD / 'build.ninja').read_text())
    watched = {name: PLACE / name.replace('/', '_')
               for name in watched_objects(objects, commands)}
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        for done in [pool.submit(compile_watched, commands[name]['command'],
                                 commands[name]['file'], target)
                     for name, target in watched.items()]:
            done.result()
    response = PLACE / 'link'
    response.write_text(' '.join([
        args, *SANITIZE, '-o', str(PROGRAM),
        *[str(watched.get(name, name)) for name in objects], link_args]))
    result = subprocess.run(['cc', '-m64', f'@{response}'], cwd=QEMU_BUILD,
                            check=False, capture_output=True, text=True)
    if result.returncode:
        raise Problem(result.stderr[-800:])
    for name in BESIDE:
        link = PLACE / name
        if not link.is_symlink():
            link.symlink_to(Path('..') / name)
    return len(watched)
