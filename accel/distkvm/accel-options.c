/*
 * distkvm: the options of -accel distkvm
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/visitor.h"
#include "accel/distkvm/core/coh-types.h"
#include "accel/distkvm/machine/numa.h"
#include "accel/distkvm/memory/lanes.h"
#include "accel-options.h"

typedef struct StringOption {
    const char *name;
    size_t offset;
    const char *text;
} StringOption;

#define STRING_OPTION(name, field, text) \
    { name, offsetof(DistKVMAccel, field), text }

static const StringOption string_options[] = {
    STRING_OPTION("vmi", vmi,
                  "VMI of this node: kvm, tcg, auto; default: another -accel"),
    STRING_OPTION("peers", peers,
                  "Address of every node, in order: host:port/host:port, or"
                  " unix:N:/dir"),
    STRING_OPTION("vcpus", vcpus, "vCPUs of every node: 1/2/1"),
    STRING_OPTION("mem", mem,
                  "RAM that every node is home of, rounded to 2M: 1G/512M"),
    STRING_OPTION("cap", cap,
                  "RAM that this node holds at most; 0 for any amount"),
    STRING_OPTION("cluster", cluster, "Cluster's name"),
    STRING_OPTION("tls-creds", tls_creds,
                  "Credentials object that every node proves itself with"),
    STRING_OPTION("tls-authz", tls_authz,
                  "Object that says which certificates may join"),
    STRING_OPTION("transport", transport,
                  "Transport of frames: auto, shm, tls, or ucx"),
    STRING_OPTION("dma-policy", dma_policy,
                  "Where devices' data meet pages: auto, visit, move, or"
                  " faults"),
};

typedef struct IntOption {
    const char *name;
    size_t offset;
    int64_t min, max, value;
    const char *text;
} IntOption;

#define INT_OPTION(name, field, min, max, value, text) \
    { name, offsetof(DistKVMAccel, field), min, max, value, text }

static const IntOption int_options[] = {
    INT_OPTION("node", node, 0, COH_NODES_MAX - 1, -1,
               "This node's place in peers=, from 0"),
    INT_OPTION("join-timeout", join_timeout_s, 1, 86400, 120,
               "Seconds to wait for all nodes"),
    INT_OPTION("dead-after-ms", dead_after_ms, 500, 600000, 4000,
               "A node that is silent for this long is lost"),
    INT_OPTION("hold-us", hold_us, 0, 100000, 100,
               "A page stays this long after it was fetched"),
    INT_OPTION("spin-us", spin_us, 0, 100000, SPIN_AUTO,
               "Look for work this long before sleeping"),
    INT_OPTION("delta-pages", delta_pages, 0, 1 << 20, 4096,
               "Pages remembered, to send only what changed; 0: whole pages"),
    INT_OPTION("readahead", readahead, 0, 256, 64,
               "Pages prefetched when memory is read in order; 0: none"),
    INT_OPTION("lanes", lanes, 0, LANES_MAX, 0,
               "Engine threads of each node; 0: one for four of its vCPUs"),
    INT_OPTION("distance", distance, NUMA_DISTANCE_LOWEST,
               NUMA_DISTANCE_HIGHEST, NUMA_DISTANCE_USUAL,
               "NUMA distance between nodes, of which 10 is local"),
    INT_OPTION("x-clock-skew-ppm", clock_skew_ppm, -1000, 1000, 0,
               "Test hook: this host's clock is that much fast"),
};

typedef struct BoolOption {
    const char *name;
    size_t offset;
    bool value;
    const char *text;
} BoolOption;

#define BOOL_OPTION(name, field, value, text) \
    { name, offsetof(DistKVMAccel, field), value, text }

static const BoolOption bool_options[] = {
    BOOL_OPTION("insecure", insecure, false,
                "Let anybody in who can reach the addresses of peers="),
    BOOL_OPTION("walk-prefetch", walk_prefetch, true,
                "Fetch the page tables of a walk together, and give nodes"
                " turns, where walks count as writes"),
    BOOL_OPTION("numa", numa, true,
                "Make each node a NUMA node of the guest, unless -numa is"
                " given"),
    BOOL_OPTION("companions", companions, true,
                "Prefetch pages that were missed together before"),
    BOOL_OPTION("affinity", affinity, true,
                "Let the engine run where this node's vCPU waits"),
    BOOL_OPTION("x-test-device", test_device, false,
                "Test hook: every node has a device; docs/testing.rst"),
};

/* Options that have another name, and on|off for 1 and 0. */
static const struct {
    const char *name, *now;
} renamed[] = {
    { "walk-bundles", "walk-prefetch" },
    { "follow", "affinity" },
};

static char **string_of(Object *obj, const StringOption *o)
{
    return (char **)((char *)obj + o->offset);
}

static void get_string(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    char *none = (char *)"", **at = string_of(obj, opaque);

    visit_type_str(v, name, *at ? at : &none, errp);
}

static void set_string(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    char *value;

    if (visit_type_str(v, name, &value, errp)) {
        g_free(*string_of(obj, opaque));
        *string_of(obj, opaque) = value;
    }
}

static void get_int(Object *obj, Visitor *v, const char *name, void *opaque,
                    Error **errp)
{
    const IntOption *o = opaque;

    visit_type_int(v, name, (int64_t *)((char *)obj + o->offset), errp);
}

static void set_int(Object *obj, Visitor *v, const char *name, void *opaque,
                    Error **errp)
{
    const IntOption *o = opaque;
    int64_t value;

    if (!visit_type_int(v, name, &value, errp)) {
        return;
    }
    if (value < o->min || value > o->max) {
        error_setg(errp, "distkvm: %s=%" PRId64 " is not between %" PRId64
                   " and %" PRId64, name, value, o->min, o->max);
        return;
    }
    *(int64_t *)((char *)obj + o->offset) = value;
}

/* Of both directions. */
static void visit_bool(Object *obj, Visitor *v, const char *name, void *opaque,
                       Error **errp)
{
    const BoolOption *o = opaque;

    visit_type_bool(v, name, (bool *)((char *)obj + o->offset), errp);
}

static void set_renamed(Object *obj, Visitor *v, const char *name,
                        void *opaque, Error **errp)
{
    const char *now = opaque;

    error_setg(errp, "distkvm: %s= is called %s=on|off", name, now);
}

void accel_options_init(DistKVMAccel *a)
{
    a->cluster = g_strdup("default");
    for (size_t i = 0; i < ARRAY_SIZE(int_options); i++) {
        const IntOption *o = &int_options[i];

        *(int64_t *)((char *)a + o->offset) = o->value;
    }
    for (size_t i = 0; i < ARRAY_SIZE(bool_options); i++) {
        const BoolOption *o = &bool_options[i];

        *(bool *)((char *)a + o->offset) = o->value;
    }
}

static void add(ObjectClass *oc, const char *name, const char *type,
                ObjectPropertyAccessor *get, ObjectPropertyAccessor *set,
                const void *option, const char *text)
{
    object_class_property_add(oc, name, type, get, set, NULL, (void *)option);
    object_class_property_set_description(oc, name, text);
}

void accel_options_add(ObjectClass *oc)
{
    for (size_t i = 0; i < ARRAY_SIZE(string_options); i++) {
        const StringOption *o = &string_options[i];

        add(oc, o->name, "string", get_string, set_string, o, o->text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(int_options); i++) {
        const IntOption *o = &int_options[i];

        add(oc, o->name, "int", get_int, set_int, o, o->text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bool_options); i++) {
        const BoolOption *o = &bool_options[i];

        add(oc, o->name, "bool", visit_bool, visit_bool, o, o->text);
    }
    for (size_t i = 0; i < ARRAY_SIZE(renamed); i++) {
        object_class_property_add(oc, renamed[i].name, "bool", NULL,
                                  set_renamed, NULL, (void *)renamed[i].now);
    }
}
