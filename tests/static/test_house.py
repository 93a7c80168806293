# SPDX-License-Identifier: GPL-2.0-or-later
"""What qemu-tree's checks of the house are there for: each finds its fault."""

import shutil
import subprocess

import pytest

from distkvm.common import TOP
from naming import cases

pytestmark = pytest.mark.overlaps

# A check; the file that gets a fault at its end; the fault; words of the line
# that names it.
FAULTS = {
    'a call back': (
        'loops', 'accel/distkvm/machine/power-off.c',
        'bool f(void) { return cluster_reset_is_idle(); }',
        'machine/power-off machine/reset'),
    'a header that looks up': (
        'loops', 'accel/distkvm/machine/irq-fence.h', '#include "irq.h"',
        'machine/irq machine/irq-fence'),
    'a call of the start': (
        'loops', 'accel/distkvm/machine/reset.c',
        'void f(void) { start_when_machine_is_done(NULL); }',
        'machine/reset start'),
    'a loop in hw': (
        'loops', 'hw/vpci-cluster/port.c',
        'void f(void) { plug_lost(0); }',
        'hw/vpci-cluster/plug hw/vpci-cluster/port'),
    "a header with another file's function": (
        'headers', 'accel/distkvm/machine/power-off.h',
        'bool cluster_reset_is_idle(void);',
        'machine/power-off.h cluster_reset_is_idle, machine/reset'),
    "a header with another file's variable": (
        'headers', 'hw/vpci-cluster/plan.h',
        'extern VPCI_TABLE_CONST VpciCapRule vpci_cap_rules[];',
        'hw/vpci-cluster/plan.h vpci_cap_rules, hw/vpci-cluster/function'),
    'a header of two transports': (
        'headers', 'accel/distkvm/wire/transport.h',
        'TransportNew transport_ucx_new;\nTransportNew transport_stream_new;',
        'wire/transport.h transport_stream_new, wire/transport-stream'),
    'a function that is nowhere': (
        'headers', 'accel/distkvm/machine/map-list.h',
        'void map_list_of_old(void);', 'machine/map-list.h map_list_of_old, no'),
    'a retired word': (
        'words', 'accel/distkvm/engine/evict.h', '/* Pages fetched along. */',
        '"fetched along": say prefetched, companion'),
    'a clause for a noun': (
        'words', 'hw/vdma-cluster/vdma-pool.h', '/* Made of what came. */',
        '"of what" stands for a noun:'),
    'a clause for a noun, in a text': (
        'words', 'accel/distkvm/core/coh-op.c',
        'const char f[] = "whoever asks";', '"whoever": say a noun'),
}


@pytest.fixture(scope='module')
def house(tmp_path_factory):
    """The files that these checks read, to be broken."""
    top = tmp_path_factory.mktemp('house')
    for name in ('accel', 'docs', 'hw', 'scripts', 'python/distkvm'):
        shutil.copytree(TOP / name, top / name,
                        ignore=shutil.ignore_patterns('__pycache__'))
    shutil.copy(TOP / 'README.rst', top)
    subprocess.run(['git', 'init', '-q', top], check=True)
    assert check(top, 'loops', 'headers', 'words') == (
        0, ['ok   loops', 'ok   headers', 'ok   words'])
    return top


def check(top, *names):
    result = subprocess.run([top / 'scripts' / 'qemu-tree', 'check', *names],
                            capture_output=True, text=True, check=False)
    assert not result.stderr, result.stderr
    return result.returncode, [line.strip() for line in
                               result.stdout.splitlines()]


@cases('name, path, fault, words',
       {f'static: qemu-tree: {claim}': values
        for claim, values in FAULTS.items()})
def test_fault(house, name, path, fault, words):
    whole = (house / path).read_text()
    (house / path).write_text(f'{whole}\n{fault}\n')
    try:
        status, (verdict, line) = check(house, name)
        assert (status, verdict) == (1, f'FAIL {name}')
        assert set(words.split()) <= set(line.split()), line
    finally:
        (house / path).write_text(whole)
