/*
 * distkvm: do the statements of two machines fit together?
 *
 * The CPU must be one that all nodes have, its TSC must count at one rate, and
 * the firmware is node 0's.  @theirs are a stranger's: a statement is refused
 * in words, or as good as our own.
 * Spec: docs/wire-format.rst, "Hello".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/vmi/tsc.h"
#include "hello-agree.h"

#define NAMES_SHOWN 12

/* -------------------------------------------------------------- the CPU */

static bool contains(QList *list, const char *name)
{
    const QListEntry *entry;

    QLIST_FOREACH_ENTRY(list, entry) {
        QString *s = qobject_to(QString, qlist_entry_obj(entry));

        if (s && !strcmp(qstring_get_str(s), name)) {
            return true;
        }
    }
    return false;
}

/* The names that @has has and @lacks lacks, as text. */
static char *missing(QList *has, QList *lacks)
{
    g_autoptr(GString) text = g_string_new(NULL);
    const QListEntry *entry;
    unsigned n = 0;

    QLIST_FOREACH_ENTRY(has, entry) {
        QString *s = qobject_to(QString, qlist_entry_obj(entry));

        if (s && !contains(lacks, qstring_get_str(s)) &&
            n++ < NAMES_SHOWN) {
            g_string_append_printf(text, " %.32s", qstring_get_str(s));
        }
    }
    if (n > NAMES_SHOWN) {
        g_string_append_printf(text, " and %u more", n - NAMES_SHOWN);
    }
    return n ? g_string_free(g_steal_pointer(&text), false) : NULL;
}

static bool features_agree(QList *ours, QList *theirs, int node,
                           Error **errp)
{
    g_autofree char *only_ours = missing(ours, theirs);
    g_autofree char *only_theirs = missing(theirs, ours);

    if (!only_ours && !only_theirs) {
        return true;
    }
    error_setg(errp, "CPU features differ: node %d lacks%s; node %d lacks%s;"
               " give all nodes a CPU that all of their hosts have:"
               " scripts/distkvm cpu-baseline finds it",
               node, only_ours ?: " none", distkvm->id,
               only_theirs ?: " none");
    return false;
}

static bool text_agrees(const QDict *ours, const QDict *theirs,
                        const char *name, const char *what, int node,
                        Error **errp)
{
    const char *here = qdict_get_str(ours, name);
    const char *there = qdict_get_try_str(theirs, name) ?: "(not stated)";

    if (!strcmp(here, there)) {
        return true;
    }
    error_setg(errp, "%s differs: '%s' on this node (%d), '%.200s' on node %d",
               what, here, distkvm->id, there, node);
    return false;
}

static bool cpu_agrees(const QDict *ours, const QDict *theirs, int node,
                       Error **errp)
{
    QList *features = theirs ? qobject_to(QList, qdict_get(theirs, "features"))
                             : NULL;
    int64_t bits = qdict_get_int(ours, "address-bits");
    int64_t their_bits;

    if (!features) {
        error_setg(errp, "node %d does not state its CPU model", node);
        return false;
    }
    if (!text_agrees(ours, theirs, "name", "CPU model", node, errp) ||
        !text_agrees(ours, theirs, "vendor", "CPU vendor (-cpu MODEL,vendor=)",
                     node, errp) ||
        !features_agree(qobject_to(QList, qdict_get(ours, "features")),
                        features, node, errp) ||
        !text_agrees(ours, theirs, "xsave", "Layout of the XSAVE area", node,
                     errp)) {
        return false;
    }
    their_bits = qdict_get_try_int(theirs, "address-bits", 0);
    if (bits != their_bits) {
        error_setg(errp, "Width of physical addresses differs: %" PRId64
                   " bits on this node (%d), %" PRId64 " on node %d; give"
                   " -cpu MODEL,phys-bits= the least on all nodes", bits,
                   distkvm->id, their_bits, node);
        return false;
    }
    return true;
}

/* -------------------------------------------------------------- its TSC */

static bool tsc_agrees(const QDict *ours, const QDict *theirs, int node,
                       Error **errp)
{
    int64_t here = qdict_get_int(ours, "tsc-khz");
    int64_t there = qdict_get_try_int(theirs, "tsc-khz", -1);
    /* The node that is later in the order adapts. */
    const QDict *adapts = distkvm->id > node ? ours : theirs;

    if (there < 0 || there > UINT32_MAX) {
        error_setg(errp, "node %d states an absurd TSC frequency", node);
        return false;
    }
    if (!here || !there || vmi_tsc_equal(here, there) ||
        qdict_get_try_bool(adapts, "tsc-scaling", false)) {
        return true;
    }
    error_setg(errp, "TSC frequency differs: %" PRId64 " kHz on this node (%d)"
               ", %" PRId64 " kHz on node %d, and the processor of node %d"
               " cannot scale it; use hosts of one frequency, or vmi=tcg",
               here, distkvm->id, there, node, MAX(distkvm->id, node));
    return false;
}

/* ------------------------------------------------------------- firmware */

static bool firmware_agrees(const QDict *ours, const QDict *theirs, int node,
                            Error **errp)
{
    const char *here = qdict_get_str(ours, "firmware");
    const char *there = qdict_get_try_str(theirs, "firmware") ?: "none";

    if (qdict_get_bool(ours, "own-firmware") &&
        qdict_get_try_bool(theirs, "own-firmware", false) &&
        strcmp(here, there)) {
        error_setg(errp, "firmware differs: %.16s on this node (%d), %.16s on"
                   " node %d", here, distkvm->id, there, node);
        return false;
    }
    return true;
}

bool machine_hello_fits(const QDict *ours, const QDict *theirs,
                        CohNodeId node, Error **errp)
{
    return cpu_agrees(qdict_get_qdict(ours, "cpu"),
                      qdict_get_qdict(theirs, "cpu"), node, errp) &&
           tsc_agrees(ours, theirs, node, errp) &&
           firmware_agrees(ours, theirs, node, errp);
}
