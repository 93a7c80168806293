/*
 * distkvm: facts that nodes must agree on before they are one
 *
 * Each node states its facts; a peer with other facts is refused, by the name
 * of the fact and with both values.  Spec: docs/wire-format.rst, "Hello".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/utsname.h>
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "qobject/qnum.h"
#include "qobject/qstring.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/wire/transport-ucx.h"
#include "hello.h"
#include "message.h"
#include "path.h"
#include "place.h"

#define HELLO_MAGIC "distkvm"
#define FACT_PROTOCOL "protocol version"

char *hello_shares(const uint64_t *share)
{
    GString *text = g_string_new(NULL);

    for (unsigned n = 0; n < distkvm->nodes; n++) {
        g_string_append_printf(text, "%s%" PRIu64, n ? "/" : "", share[n]);
    }
    return g_string_free(text, false);
}

static char *ram_shares(void)
{
    uint64_t share[COH_NODES_MAX];

    for (unsigned n = 0; n < distkvm->nodes; n++) {
        share[n] = distkvm->map->share[n] << COH_PAGE_BITS;
    }
    return hello_shares(share);
}

void hello_state(QDict *facts, const char *name, char *value)
{
    qdict_put_str(facts, name, value);
    g_free(value);
}

QDict *hello_new(void)
{
    QDict *hello = qdict_new();
    QDict *facts = qdict_new();
    struct utsname host;

    uname(&host);
    qdict_put_str(hello, "type", "hello");
    hello_state(facts, FACT_PROTOCOL, g_strdup_printf("%d", WIRE_VERSION));
    hello_state(facts, "distkvm version", g_strdup(DISTKVM_VERSION));
    hello_state(facts, "cluster name", g_strdup(distkvm->cluster));
    hello_state(facts, "number of nodes",
                g_strdup_printf("%u", distkvm->nodes));
    hello_state(facts, "host architecture", g_strdup(host.machine));
    hello_state(facts, "RAM size",
                g_strdup_printf("%" PRIu64, distkvm->ram_bytes));
    hello_state(facts, "RAM of the nodes",
                ram_shares());
    hello_state(facts, "time after which a node is lost (dead-after-ms=)",
                g_strdup_printf("%" PRId64, distkvm->dead_after_ms));
    hello_state(facts, "lanes (lanes=)",
                g_strdup_printf("%u", distkvm->engine_config.lanes.n));
    hello_state(facts, "transport (transport=)",
                g_strdup(distkvm_transport_name(distkvm->transport)));
    if (distkvm->transport == DISTKVM_TRANSPORT_UCX) {
        hello_state(facts, "version of UCX",
                    g_strdup(transport_ucx_version()));
    }
    qdict_put(hello, "place", place_make());
    qdict_put_bool(hello, "shm", distkvm->transport != DISTKVM_TRANSPORT_TLS &&
                                 distkvm->transport != DISTKVM_TRANSPORT_UCX &&
                                 !distkvm->no_shm);
    qdict_put_str(hello, "magic", HELLO_MAGIC);
    qdict_put_int(hello, "node", distkvm->id);
    qdict_put(hello, "facts", facts);
    return hello;
}

static const char *text_of(const QDict *dict, const char *name)
{
    return qdict_get_try_str(dict, name) ?: "(not stated)";
}

static bool fact_agrees(const QDict *ours, const QDict *theirs,
                        const char *name, int node, Error **errp)
{
    const char *here = text_of(ours, name);
    const char *there = text_of(theirs, name);

    if (strcmp(here, there)) {
        error_setg(errp, "%s differs: '%s' on this node (%d), '%.200s' on"
                   " node %d", name, here, distkvm->id, there, node);
        return false;
    }
    return true;
}

static bool facts_agree(const QDict *ours, const QDict *theirs, int node,
                        Error **errp)
{
    const QDictEntry *entry;

    /* The first fact says whether the others can be understood at all. */
    if (!fact_agrees(ours, theirs, FACT_PROTOCOL, node, errp)) {
        return false;
    }
    for (entry = qdict_first(ours); entry; entry = qdict_next(ours, entry)) {
        if (!fact_agrees(ours, theirs, qdict_entry_key(entry), node, errp)) {
            return false;
        }
    }
    return true;
}

/* Facts agree, so it is of our version: has it the fields of that? */
static bool has_shape(const QDict *hello, int node, Error **errp)
{
    Error *err = NULL;
    g_autoptr(MemberMessage) message = message_parse(hello, &err);

    if (!message) {
        error_setg(errp, "the hello of node %d is malformed: %s", node,
                   error_get_pretty(err));
        error_free(err);
        return false;
    }
    return true;
}

bool hello_check(const QDict *ours, const QDict *theirs, CohNodeId *from,
                 Error **errp)
{
    QDict *facts = qdict_get_qdict(theirs, "facts");
    int64_t node = qdict_get_try_int(theirs, "node", -1);

    if (strcmp(text_of(theirs, "magic"), HELLO_MAGIC) || !facts) {
        error_setg(errp, "the peer does not speak distkvm");
        return false;
    }
    if (node < 0 || node >= distkvm->nodes) {
        error_setg(errp, "the peer says it is node %" PRId64 ", but this"
                   " cluster has %u nodes", node, distkvm->nodes);
        return false;
    }
    if (node == distkvm->id) {
        error_setg(errp, "two nodes have the id %d", distkvm->id);
        return false;
    }
    if (!facts_agree(qdict_get_qdict(ours, "facts"), facts, node, errp) ||
        !has_shape(theirs, node, errp)) {
        return false;
    }
    *from = node;
    return true;
}
