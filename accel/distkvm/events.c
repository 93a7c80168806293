/*
 * distkvm: QMP events about nodes
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/qapi-events-distkvm.h"
#include "accel/distkvm/cluster/member.h"
#include "accel/distkvm/machine/service.h"
#include "accel/distkvm/wire/text.h"
#include "events.h"
#include "node.h"

/* Of dead-after-ms; and at least, in ms: three pings. */
#define SLOW_PART 4
#define SLOW_MS_MIN 600

typedef struct News {
    CohNodeId node;
    unsigned joined;
    char *why;
    int64_t wait_ms;
} News;

static void joined_in_main_loop(void *opaque)
{
    g_autofree News *news = opaque;
    g_autofree char *path = engine_describe_peer(distkvm->engine, news->node);

    qapi_event_send_distkvm_node_joined(news->node,
                                        distkvm->address[news->node], path,
                                        news->joined, distkvm->nodes);
}

void events_node_joined(CohNodeId node)
{
    CohNodeSet members = distkvm_members();
    News *news = g_new0(News, 1);

    news->node = node;
    news->joined = coh_set_count(&members);
    service_queue_main(joined_in_main_loop, news);
}

static void slow_in_main_loop(void *opaque)
{
    News *news = opaque;

    qapi_event_send_distkvm_node_slow(news->node,
                                      distkvm->address[news->node], news->why,
                                      news->wait_ms);
    g_free(news->why);
    g_free(news);
}

void events_node_slow(CohNodeId node, const char *why, int64_t wait_ms)
{
    News *news = g_new0(News, 1);

    news->node = node;
    news->why = text_line(why);
    news->wait_ms = wait_ms;
    service_queue_main(slow_in_main_loop, news);
}

/*
 * Two ticks in a row: the first one after this process was stopped finds all
 * nodes silent, since their messages of that time have not been read yet.
 */
void events_tick(void)
{
    static uint8_t silent[COH_NODES_MAX];
    int64_t limit = MAX(distkvm->dead_after_ms / SLOW_PART, SLOW_MS_MIN);

    for (CohNodeId n = 0; n < distkvm->nodes; n++) {
        int64_t ms = member_silence_ms(n);

        if (n == distkvm->id || member_state(n) != MEMBER_JOINED ||
            ms <= limit) {
            silent[n] = 0;
        } else if (silent[n] < 2 && ++silent[n] == 2) {
            events_node_slow(n, "it is silent", ms);
        }
    }
}

void events_node_lost(CohNodeId node, const char *why)
{
    qapi_event_send_distkvm_node_lost(node, distkvm->address[node], why);
}
