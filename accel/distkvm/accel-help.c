/*
 * distkvm: -accel distkvm,help
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qobject.h"
#include "qobject/qstring.h"
#include "qom/object_interfaces.h"
#include "qom/qom-qobject.h"
#include "accel-help.h"

/*
 * The value of @fresh's @name, if a user may give the same; NULL if an option
 * has no value by default, or one that only means that none was given.
 */
static QObject *default_of(Object *fresh, const char *name)
{
    QObject *value = object_property_get_qobject(fresh, name, NULL);
    QString *text = qobject_to(QString, value);

    if (value && ((text && !*qstring_get_str(text)) ||
                  !object_property_set_qobject(fresh, name, value, NULL))) {
        qobject_unref(value);
        return NULL;
    }
    return value;
}

/* A line of @prop, and of its default in @fresh. */
static char *line(Object *fresh, const ObjectProperty *prop)
{
    QObject *value = default_of(fresh, prop->name);
    char *text = object_property_help(prop->name, prop->type, value,
                                      prop->description);

    qobject_unref(value);
    return text;
}

/* Options for users alone: neither old names of options, nor tests' hooks. */
static bool is_shown(const ObjectProperty *prop)
{
    return prop->set && prop->get && !g_str_has_prefix(prop->name, "x-");
}

static int compare(const void *a, const void *b)
{
    return g_strcmp0(*(char *const *)a, *(char *const *)b);
}

/*
 * QEMU has no help for options of accelerators, but gives each word to the
 * accelerator as a property.  An option that is wrong before this one ends QEMU
 * with its error.
 */
static void set_help(Object *obj, Visitor *v, const char *name, void *opaque,
                     Error **errp)
{
    g_autoptr(GPtrArray) lines = g_ptr_array_new_with_free_func(g_free);
    Object *fresh = object_new(object_get_typename(obj));
    ObjectPropertyIterator iter;
    ObjectProperty *prop;

    object_class_property_iter_init(&iter, object_get_class(obj));
    while ((prop = object_property_iter_next(&iter))) {
        if (is_shown(prop)) {
            g_ptr_array_add(lines, line(fresh, prop));
        }
    }
    g_ptr_array_sort(lines, compare);
    printf("distkvm options:\n");
    for (unsigned i = 0; i < lines->len; i++) {
        printf("%s\n", (char *)g_ptr_array_index(lines, i));
    }
    object_unref(fresh);
    exit(EXIT_SUCCESS);
}

void accel_help_add(ObjectClass *oc)
{
    object_class_property_add(oc, "help", "bool", NULL, set_help, NULL, NULL);
    object_class_property_set_description(oc, "help", "List the options");
}
