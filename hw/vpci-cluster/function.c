/*
 * distkvm: which PCI functions can have a stand-in
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <linux/pci_regs.h>
#include "function.h"

/* Compute Express Link, as the vendor of a DVSEC. */
#define VENDOR_CXL 0x1e98
/* Of the header's type; not in the headers of every Linux. */
#define HEADER_MULTIFUNCTION 0x80

VPCI_TABLE_CONST VpciClassRule vpci_class_rules[] = {
    { 0xffff, 0x0300, "is a VGA device: only node 0's chipset routes the "
      "ranges of VGA; use one without VGA (bochs-display, virtio-gpu-pci)" },
    { 0xffff, 0x0001, "is a VGA device of before PCI had classes: only node "
      "0's chipset routes the ranges of VGA" },
    { 0xff00, 0x0600, "is a bridge: a follower's devices are behind the "
      "bridge that it has; use multifunction=on" },
    { 0 },
};

VPCI_TABLE_CONST VpciCapRule vpci_cap_rules[] = {
    { PCI_EXT_CAP_ID_SRIOV, 0, "has SR-IOV: its virtual functions would be "
      "known on its own node only" },
    { PCI_EXT_CAP_ID_ATS, 0, "has ATS: only node 0 could translate for it; "
      "use ats=off" },
    { PCI_EXT_CAP_ID_DVSEC, VENDOR_CXL, "is a CXL device: its memory has no "
      "BAR" },
    { 0 },
};

/* x86 has addresses of 52 bits and ports of 16. */
VPCI_TABLE_CONST VpciBarRule vpci_bar_rules[] = {
    { VPCI_BAR_IO, 4, 64 << 10 },
    { VPCI_BAR_MEM32, 16, UINT64_C(1) << 31 },
    { VPCI_BAR_MEM32 | VPCI_BAR_PREFETCH, 16, UINT64_C(1) << 31 },
    { VPCI_BAR_MEM64, 16, UINT64_C(1) << 51 },
    { VPCI_BAR_MEM64 | VPCI_BAR_PREFETCH, 16, UINT64_C(1) << 51 },
    { 0 },
};

static uint16_t word(const VpciFunction *f, unsigned at)
{
    return f->config[at] | f->config[at + 1] << 8;
}

static uint32_t dword(const VpciFunction *f, unsigned at)
{
    return word(f, at) | (uint32_t)word(f, at + 2) << 16;
}

static bool is_power_of_two(uint64_t n)
{
    return n && !(n & (n - 1));
}

/* ------------------------------------------------------- one check for each */

static const char *check_place(const VpciFunction *f, unsigned slots)
{
    unsigned slot = VPCI_SLOT(f->devfn);

    if (!f->generation) {
        return "has no generation";
    }
    if (!slot || slot > slots) {
        return "is in a slot that its node does not have";
    }
    return NULL;
}

static const char *check_header(const VpciFunction *f)
{
    uint8_t type = f->config[PCI_HEADER_TYPE];
    uint16_t class = word(f, PCI_CLASS_DEVICE);

    if (word(f, PCI_VENDOR_ID) == 0xffff || !word(f, PCI_VENDOR_ID)) {
        return "has the vendor of an empty slot";
    }
    for (unsigned i = 0; vpci_class_rules[i].because; i++) {
        if ((class & vpci_class_rules[i].mask) == vpci_class_rules[i].value) {
            return vpci_class_rules[i].because;
        }
    }
    if ((type & PCI_HEADER_TYPE_MASK) != PCI_HEADER_TYPE_NORMAL) {
        return "has the header of a bridge";
    }
    if (!(type & HEADER_MULTIFUNCTION) == f->multifunction) {
        return "and its header differ in whether the slot has more functions";
    }
    if (word(f, PCI_COMMAND) & (PCI_COMMAND_IO | PCI_COMMAND_MEMORY)) {
        return "has addresses that the guest has not given it";
    }
    if (f->config[PCI_INTERRUPT_PIN] > 4) {
        return "has an interrupt pin beyond INTD";
    }
    return NULL;
}

/* Bit @at / 4 of *@seen; false: it was set. */
static bool mark(uint64_t *seen, unsigned at)
{
    uint64_t bit = UINT64_C(1) << at / 4 % 64;
    bool is_new = !(seen[at / 256] & bit);

    seen[at / 256] |= bit;
    return is_new;
}

/* Is the capability at @at (0: none) of the chain @seen, with @id? */
static bool is_cap(const VpciFunction *f, const uint64_t *seen, uint8_t at,
                   uint8_t id)
{
    return !at || (!(at & 3) && seen[0] >> at / 4 & 1 && f->config[at] == id);
}

static const char *check_caps(const VpciFunction *f)
{
    uint64_t seen[1] = { 0 };
    uint8_t at = 0;

    if (word(f, PCI_STATUS) & PCI_STATUS_CAP_LIST) {
        at = f->config[PCI_CAPABILITY_LIST];
    }
    while (at) {
        if (at < PCI_STD_HEADER_SIZEOF || at & 3) {
            return "has a capability in its header, or between two words";
        }
        if (!mark(seen, at)) {
            return "has a list of capabilities that goes in a circle";
        }
        at = f->config[at + PCI_CAP_LIST_NEXT];
    }
    if (!is_cap(f, seen, f->pm_cap, PCI_CAP_ID_PM) ||
        f->pm_cap > VPCI_CONFIG_BYTES - PCI_PM_SIZEOF) {
        return "has no power management where it says";
    }
    if (!is_cap(f, seen, f->exp_cap, PCI_CAP_ID_EXP) ||
        f->exp_cap > VPCI_CONFIG_BYTES - PCI_CAP_EXP_RC_ENDPOINT_SIZEOF_V1) {
        return "has no PCI Express capability where it says";
    }
    return NULL;
}

/* The reason to refuse the extended capability at @at. */
static const char *refused_cap(const VpciFunction *f, unsigned at)
{
    for (unsigned i = 0; vpci_cap_rules[i].because; i++) {
        const VpciCapRule *rule = &vpci_cap_rules[i];

        if (word(f, at) == rule->id &&
            (!rule->vendor ||
             (at + 8 <= VPCI_CONFIG_BYTES_MAX &&
              word(f, at + 4) == rule->vendor))) {
            return rule->because;
        }
    }
    return NULL;
}

static const char *check_extended_caps(const VpciFunction *f)
{
    uint64_t seen[VPCI_CONFIG_BYTES_MAX / 256] = { 0 };
    unsigned at = VPCI_CONFIG_BYTES;

    if (!f->express || !dword(f, at)) {
        return NULL;
    }
    while (at) {
        const char *why;

        /* QEMU reads 8 bytes of each. */
        if (at < VPCI_CONFIG_BYTES || at > VPCI_CONFIG_BYTES_MAX - 8 ||
            at & 3) {
            return "has an extended capability where none can be";
        }
        if (!mark(seen, at)) {
            return "has a list of extended capabilities that goes in a circle";
        }
        why = refused_cap(f, at);
        if (why) {
            return why;
        }
        at = dword(f, at) >> 20;
    }
    return NULL;
}

/* Type bits of a BAR, in the register with the value @value. */
static uint8_t type_bits(uint32_t value)
{
    return value & (value & VPCI_BAR_IO ? 0x3 : 0xf);
}

static const char *check_bar(const VpciFunction *f, unsigned n)
{
    const VpciBar *bar = &f->bar[n];
    const VpciBarRule *rule = vpci_bar_rules;

    if (!bar->size) {
        return bar->type ? "has a BAR with a type but no size" : NULL;
    }
    while (rule->max && rule->type != bar->type) {
        rule++;
    }
    if (!rule->max) {
        return "has a BAR of no type";
    }
    if (!is_power_of_two(bar->size) || bar->size < rule->min ||
        bar->size > rule->max) {
        return "has a BAR with a size that no BAR of its type can have";
    }
    if (bar->type & VPCI_BAR_MEM64 &&
        (n + 1 == VPCI_BARS || f->bar[n + 1].size)) {
        return "has a BAR of 64 bits without a second register";
    }
    if (type_bits(dword(f, PCI_BASE_ADDRESS_0 + 4 * n)) != bar->type) {
        return "and its configuration space differ in the type of a BAR";
    }
    return NULL;
}

static const char *check_rom(const VpciFunction *f)
{
    if (f->rom_bytes &&
        (!is_power_of_two(f->rom_bytes) ||
         f->rom_bytes < VPCI_ROM_BYTES_MIN ||
         f->rom_bytes > VPCI_ROM_BYTES_MAX)) {
        return "has a ROM with a size that no ROM can have";
    }
    if (f->config[PCI_ROM_ADDRESS] & PCI_ROM_ADDRESS_ENABLE) {
        return "shows a ROM that the guest has not enabled";
    }
    return NULL;
}

/* As QEMU's id_wellformed(); the stand-in's id is made of it. */
static bool is_id(const char *id)
{
    for (const char *at = id; *at; at++) {
        if (!g_ascii_isalnum(*at) && (at == id || !strchr("-._", *at))) {
            return false;
        }
    }
    return !g_ascii_isdigit(*id);
}

/* Printable, and no end of a line: the boot order has an entry on each line. */
static bool is_suffix(const char *suffix)
{
    for (const char *at = suffix; *at; at++) {
        if (!g_ascii_isgraph(*at)) {
            return false;
        }
    }
    return !*suffix || *suffix == '/';
}

static const char *check_names(const VpciFunction *f)
{
    if (!is_id(f->id)) {
        return "has an id that is none";
    }
    for (unsigned i = 0; i < f->boots; i++) {
        if (!is_suffix(f->boot[i].suffix)) {
            return "has a boot path that is none";
        }
        if (i && f->boot[i].index <= f->boot[i - 1].index) {
            return "has boot entries that are not in order";
        }
    }
    return NULL;
}

const char *vpci_function_check(const VpciFunction *f, unsigned slots)
{
    const char *why = check_place(f, slots);

    /* A capability that is refused explains an unusual header. */
    why = why ?: check_extended_caps(f);
    why = why ?: check_header(f);
    why = why ?: check_caps(f);
    for (unsigned n = 0; n < VPCI_BARS; n++) {
        why = why ?: check_bar(f, n);
    }
    why = why ?: check_rom(f);
    return why ?: check_names(f);
}

/* --------------------------------------------------------------- comparison */

static bool same_boots(const VpciFunction *a, const VpciFunction *b)
{
    for (unsigned i = 0; i < a->boots; i++) {
        if (a->boot[i].index != b->boot[i].index ||
            strcmp(a->boot[i].suffix, b->boot[i].suffix)) {
            return false;
        }
    }
    return a->boots == b->boots;
}

static bool same_bars(const VpciFunction *a, const VpciFunction *b)
{
    for (unsigned i = 0; i < VPCI_BARS; i++) {
        if (a->bar[i].size != b->bar[i].size ||
            a->bar[i].type != b->bar[i].type) {
            return false;
        }
    }
    return true;
}

const char *vpci_function_difference(const VpciFunction *a,
                                     const VpciFunction *b)
{
    const struct {
        const char *name;
        bool same;
    } members[] = {
        { "generation", a->generation == b->generation },
        { "devfn", a->devfn == b->devfn },
        { "multifunction", a->multifunction == b->multifunction },
        { "express", a->express == b->express },
        { "pm_cap", a->pm_cap == b->pm_cap },
        { "exp_cap", a->exp_cap == b->exp_cap },
        { "rom_bytes", a->rom_bytes == b->rom_bytes },
        { "bar", same_bars(a, b) },
        { "id", !strcmp(a->id, b->id) },
        { "boot", same_boots(a, b) },
        { "config", !memcmp(a->config, b->config, sizeof(a->config)) },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(members); i++) {
        if (!members[i].same) {
            return members[i].name;
        }
    }
    return NULL;
}
