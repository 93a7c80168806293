/*
 * distkvm: control messages as structs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "qapi/qobject-input-visitor.h"
#include "qapi/qobject-output-visitor.h"
#include "accel/distkvm/cluster/distkvm-qapi-visit.h"
#include "accel/distkvm/wire/text.h"
#include "message.h"

/*
 * QEMU's visitor reads a negative number as a large one, where the schema says
 * uint64.  Nothing else can differ between @dict and @message as this node
 * would write it.
 */
static bool is_written_alike(const MemberMessage *message, const QDict *dict)
{
    g_autoptr(QDict) again = message_format(message);

    return qobject_is_equal(QOBJECT(again), QOBJECT((QDict *)dict));
}

MemberMessage *message_parse(const QDict *dict, Error **errp)
{
    Visitor *v = qobject_input_visitor_new(QOBJECT((QDict *)dict));
    MemberMessage *message = NULL;
    Error *err = NULL;

    visit_type_MemberMessage(v, NULL, &message, &err);
    visit_free(v);
    if (message && !is_written_alike(message, dict)) {
        g_clear_pointer(&message, qapi_free_MemberMessage);
        error_setg(&err, "a number is negative that must not be");
    }
    if (!message) {
        /* It names members of @dict, which are the peer's words. */
        g_autofree char *shown = text_of_peer(error_get_pretty(err));

        error_setg(errp, "%s", shown);
        error_free(err);
    }
    return message;
}

QDict *message_format(const MemberMessage *message)
{
    MemberMessage *from = (MemberMessage *)message;
    QObject *object;
    Visitor *v = qobject_output_visitor_new(&object);

    visit_type_MemberMessage(v, NULL, &from, &error_abort);
    visit_complete(v, &object);
    visit_free(v);
    return qobject_to(QDict, object);
}

void message_send(Channel *c, const MemberMessage *message)
{
    g_autoptr(QDict) dict = message_format(message);

    channel_send(c, dict);
}
