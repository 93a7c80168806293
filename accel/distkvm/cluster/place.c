/*
 * distkvm: where this node runs, as far as shared memory is concerned
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "place.h"
#include "accel/distkvm/wire/transport-ucx.h"

#define FACT_HOST "host"
#define FACT_IPC "IPC namespace"
#define FACT_USER "user"
#define FACT_UCX "version of UCX"

static const struct {
    const char *name, *path;
    bool is_link;
} facts[] = {
    { FACT_HOST, "/proc/sys/kernel/random/boot_id", false },
    { FACT_IPC, "/proc/self/ns/ipc", true },
    { "network namespace", "/proc/self/ns/net", true },
    { "user namespace", "/proc/self/ns/user", true },
};

QDict *place_make(void)
{
    QDict *place = qdict_new();
    g_autofree char *user = g_strdup_printf("%u", geteuid());

    for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
        g_autofree char *text = NULL;

        if (facts[i].is_link) {
            text = g_file_read_link(facts[i].path, NULL);
        } else if (g_file_get_contents(facts[i].path, &text, NULL, NULL)) {
            g_strchomp(text);
        }
        /* Unknown equals nothing: place_differs() finds it missing. */
        if (text) {
            qdict_put_str(place, facts[i].name, text);
        }
    }
    qdict_put_str(place, FACT_USER, user);
    qdict_put_str(place, FACT_UCX, transport_ucx_version());
    return place;
}

static bool is_same(const QDict *ours, const QDict *theirs, const char *name)
{
    const char *here = qdict_get_try_str(ours, name);
    const char *there = theirs ? qdict_get_try_str(theirs, name) : NULL;

    return here && there && !strcmp(here, there);
}

const char *place_differs(const QDict *ours, const QDict *theirs)
{
    for (size_t i = 0; i < ARRAY_SIZE(facts); i++) {
        if (!is_same(ours, theirs, facts[i].name)) {
            return facts[i].name;
        }
    }
    if (!is_same(ours, theirs, FACT_USER)) {
        return FACT_USER;
    }
    return is_same(ours, theirs, FACT_UCX) ? NULL : FACT_UCX;
}

bool place_misleads(const QDict *ours, const QDict *theirs)
{
    return is_same(ours, theirs, FACT_HOST) &&
           is_same(ours, theirs, FACT_IPC) && place_differs(ours, theirs);
}
