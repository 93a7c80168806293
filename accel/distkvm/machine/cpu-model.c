/*
 * distkvm: one CPU model for all vCPUs
 *
 * A guest's kernel looks at one CPU and believes it of all.  So nodes agree
 * on every feature, on the layout of the XSAVE area (a thread's state is
 * saved on one node and restored on another), and on the width of addresses.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qlist.h"
#include "qobject/qstring.h"
#include "hw/boards.h"
#include "cpu.h"
#include "accel/distkvm/node.h"
#include "cpu-model.h"

#define XSAVE_LEAF 0xd

/* Properties of the CPU that are true and say nothing about the guest's. */
static const char *const no_features[] = {
    "realized", "hotpluggable", "hotplugged", "check", "enforce", "pmu",
    "migratable", "start-powered-off", "prefix-required",
};

static bool is_feature(const char *name)
{
    /* Features that are spelt with it have an alias without. */
    if (strchr(name, '_')) {
        return false;
    }
    for (size_t i = 0; i < ARRAY_SIZE(no_features); i++) {
        if (!strcmp(name, no_features[i])) {
            return false;
        }
    }
    return true;
}

static gint by_name(gconstpointer a, gconstpointer b)
{
    return strcmp(*(char **)a, *(char **)b);
}

/* Names of the features that vCPUs of this node have, in order. */
static QList *features_make(void)
{
    g_autoptr(GPtrArray) names = g_ptr_array_new();
    Object *cpu = OBJECT(first_cpu);
    QList *list = qlist_new();
    ObjectPropertyIterator iter;
    ObjectProperty *prop;

    object_property_iter_init(&iter, cpu);
    while ((prop = object_property_iter_next(&iter))) {
        if (!strcmp(prop->type, "bool") && is_feature(prop->name) &&
            object_property_get_bool(cpu, prop->name, NULL)) {
            g_ptr_array_add(names, prop->name);
        }
    }
    g_ptr_array_sort(names, by_name);
    for (guint i = 0; i < names->len; i++) {
        qlist_append_str(list, names->pdata[i]);
    }
    return list;
}

/* "component: bytes at offset" of every XSAVE component in use. */
static char *xsave_layout(void)
{
    CPUX86State *env = cpu_env(first_cpu);
    g_autoptr(GString) text = g_string_new(NULL);
    uint32_t eax, ebx, ecx, edx;

    if (!(env->features[FEAT_1_ECX] & CPUID_EXT_XSAVE)) {
        return g_strdup("none");
    }
    for (int i = 2; i < 63; i++) {
        cpu_x86_cpuid(env, XSAVE_LEAF, i, &eax, &ebx, &ecx, &edx);
        if (eax) {
            g_string_append_printf(text, "%s%d: %u at %u", text->len ? ", "
                                   : "", i, eax, ebx);
        }
    }
    return g_string_free(g_steal_pointer(&text), false);
}

QDict *cpu_model_make(void)
{
    QDict *model = qdict_new();
    g_autofree char *layout = xsave_layout();
    /* KVM replaces a model's vendor by the host's. */
    g_autofree char *vendor = object_property_get_str(OBJECT(first_cpu),
                                                      "vendor", &error_abort);

    qdict_put_str(model, "name", current_machine->cpu_type);
    qdict_put_str(model, "vendor", vendor);
    qdict_put(model, "features", features_make());
    qdict_put_str(model, "xsave", layout);
    qdict_put_int(model, "address-bits", X86_CPU(first_cpu)->phys_bits);
    return model;
}
