/*
 * distkvm: tests of control messages as structs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qobject/qjson.h"
#include "accel/distkvm/cluster/message.h"
#include "accel/distkvm/wire/rules.h"
#include "accel/distkvm/wire/text.h"
#include "right-messages.h"

static const char *const wrong[] = {
    "{}",
    "{'type': 'open-sesame'}",
    "{'type': 1}",
    "{'type': 'ping', 'sent': 1}",
    "{'type': 'ping', 'sent': '1', 'boot': 2}",
    "{'type': 'ping', 'sent': 1.5, 'boot': 2}",
    "{'type': 'ping', 'sent': 1, 'boot': 2, 'clock': 3}",
    "{'type': 'stop', 'clock': 3}",
    "{'type': 'refuse', 'why': 'full', 'retry': 1}",
    "{'type': 'lane', 'node': 1, 'lane': -1, 'cookie': 'AAAA'}",
    "{'type': 'lane', 'node': 65536, 'lane': 1, 'cookie': 'AAAA'}",
    "{'type': 'map', 'seq': 1, 'space': 'ports', 'removed': {}, 'added': []}",
    "{'type': 'map', 'seq': 1, 'space': 'ports', 'removed': [],"
    " 'added': [{'owner': 0}]}",
    "{'type': 'map', 'seq': 1, 'space': 'ports', 'removed': [],"
    " 'added': ['ram']}",
    "{'type': 'map', 'seq': 1, 'space': 'pci', 'removed': [], 'added': []}",
    "{'type': 'apic', 'seq': 3, 'cpu': 1, 'base': 4276094976, 'id': 256,"
    " 'ldr': 2, 'dfr': 15, 'svr': 511, 'lint0': 65536, 'lint1': 1024}",
    "{'type': 'hello', 'magic': 'distkvm', 'node': 1, 'facts': {}}",
    "{'type': 'pci-rom', 'devfn': 256, 'offset': 0, 'data': ''}",
    "{'type': 'pci-end', 'slots': 256, 'hotplug': 0}",
    "{'type': 'pci-end', 'slots': 1, 'hotplug': -1}",
    "{'type': 'pci-unplug', 'slot': 256, 'generation': 1, 'pulled': false}",
    "{'type': 'pci-unplug', 'slot': 1, 'generation': -1, 'pulled': false}",
    "{'type': 'pci-unplug', 'slot': 1, 'generation': 1, 'pulled': 1}",
    "{'type': 'pci-unplug', 'slot': 1, 'generation': 1}",
    "{'type': 'pci-slot', 'slot': 1, 'generation': 1, 'news': 'well'}",
    "{'type': 'pci-slot', 'slot': 1, 'generation': 1}",
    /* A negative number is no large one. */
    "{'type': 'mirrored', 'seq': -1}",
    "{'type': 'map', 'seq': -1, 'space': 'ports', 'removed': [],"
    " 'added': []}",
    "{'type': 'map', 'seq': 1, 'space': 'memory', 'removed': [-4096],"
    " 'added': []}",
    "{'type': 'map', 'seq': 1, 'space': 'memory', 'removed': [],"
    " 'added': [{'owner': 0, 'addr': -4096, 'size': 4096, 'offset': 0,"
    " 'block': 'pc.ram', 'rom': false, 'readonly': false}]}",
    "{'type': 'map', 'seq': 1, 'space': 'memory', 'removed': [],"
    " 'added': [{'owner': 0, 'addr': 0, 'size': -9223372036854775808,"
    " 'offset': 0, 'block': 'pc.ram', 'rom': false, 'readonly': false}]}",
    "{'type': 'rom', 'block': 'bios', 'size': 4, 'offset': -1,"
    " 'data': 'AAAAAA=='}",
    "{'type': 'apic', 'seq': 3, 'cpu': 1, 'base': -1, 'id': 1, 'ldr': 2,"
    " 'dfr': 15, 'svr': 511, 'lint0': 65536, 'lint1': 1024}",
};

static QDict *dict_of(const char *json)
{
    return qobject_to(QDict, qobject_from_json(json, &error_abort));
}

/* A message is read as it was written, and written again alike. */
static void test_right(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(right_message); i++) {
        g_autoptr(QDict) said = dict_of(right_message[i]);
        g_autoptr(MemberMessage) message = message_parse(said, &error_abort);
        g_autoptr(QDict) again = message_format(message);

        if (!qobject_is_equal(QOBJECT(said), QOBJECT(again))) {
            g_error("%s becomes %s", right_message[i],
                    qobject_to_json(QOBJECT(again))->str);
        }
    }
}

static void test_wrong(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(wrong); i++) {
        g_autoptr(QDict) said = dict_of(wrong[i]);
        Error *err = NULL;

        if (message_parse(said, &err)) {
            g_error("%s is taken", wrong[i]);
        }
        g_assert_nonnull(err);
        error_free(err);
    }
}

/* The error names a member that the peer made up: not all of a long one. */
static void test_long_name(void)
{
    for (gsize len = 1; len <= 4 * TEXT_PEER_MAX; len++) {
        g_autofree char *name = g_strnfill(len, 'n');
        g_autofree char *all = g_strdup_printf("Parameter '%s' is unexpected",
                                               name);
        g_autoptr(QDict) said = dict_of("{'type': 'stop'}");
        Error *err = NULL;

        qdict_put_int(said, name, 1);
        g_assert_null(message_parse(said, &err));
        if (strlen(all) > TEXT_PEER_MAX) {
            all[TEXT_PEER_MAX] = '\0';
        }
        g_assert_cmpstr(error_get_pretty(err), ==, all);
        error_free(err);
    }
}

/* Each type is among the right ones, and has a rule. */
static void test_types(void)
{
    bool seen[MESSAGE__MAX] = { false };

    for (size_t i = 0; i < ARRAY_SIZE(right_message); i++) {
        g_autoptr(QDict) said = dict_of(right_message[i]);
        g_autoptr(MemberMessage) message = message_parse(said, &error_abort);

        seen[message->type] = true;
    }
    for (int type = 0; type < MESSAGE__MAX; type++) {
        if (!seen[type] || !rules_know(MemberMessageType_str(type))) {
            g_error("%s has no rule or no test", MemberMessageType_str(type));
        }
    }
    g_assert_false(rules_know("open-sesame"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/message/right", test_right);
    g_test_add_func("/message/wrong", test_wrong);
    g_test_add_func("/message/long-name", test_long_name);
    g_test_add_func("/message/types", test_types);
    return g_test_run();
}
