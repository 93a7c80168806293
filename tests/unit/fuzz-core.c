/*
 * fuzz-core: bytes of a hostile peer, under ASan and UBSan
 *
 * Frames are made valid, damaged, cut and decoded out of a buffer of exactly
 * their size; what decodes is given to a node of a small cluster, interleaved
 * with accesses of its own, so that deep states are reached too.  Operations
 * that come through are done, on a page of exactly its size.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/coh-node.h"
#include "accel/distkvm/wire/page-list.h"

#define NODES 3
#define PAGES 6
#define SEVERAL 3
#define BYTES_MAX (SEVERAL * WIRE_FRAME_MAX)
#define STEPS_PER_WORLD 200

typedef struct World {
    CohPeer peer[PAGES];
    CohHome home[PAGES / NODES];
    CohHome *index[PAGES];
    CohNode node;
} World;

static GRand *chance;
static ClusterMap *map;
static uint8_t *page_bytes, *own_bytes;
static uint64_t frames, decoded, steps, refused, operated;

static unsigned below(unsigned n)
{
    return g_rand_int_range(chance, 0, n);
}

static void world_init(World *w)
{
    memset(w, 0, sizeof(*w));
    w->node = (CohNode) { .id = 0, .map = map, .peer = w->peer };
    coh_node_set_homes(&w->node, w->index, w->home);
}

static bool carries_op(unsigned msg)
{
    return msg == COH_EV_GETV || msg == COH_EV_FWD_GETV || msg == COH_EV_VALUE;
}

static void take_step(World *w, const CohEvent *ev);

/* Events that the node sends itself because of an action. */
static void follow(World *w, const CohEvent *ev, CohAct act)
{
    CohEvent next = { .type = COH_EV_INSTALLED, .page = ev->page };

    if ((act >= COH_ACT_INSTALL_RO && act <= COH_ACT_INSTALL_KEPT) ||
        act == COH_ACT_UNPROTECT) {
        take_step(w, &next);
    } else if (act == COH_ACT_FETCH || act == COH_ACT_ADOPT) {
        next.type = COH_EV_STORE;
        take_step(w, &next);
    } else if (act == COH_ACT_OPERATE) {
        if (coh_op_has_bytes(&ev->op)) {
            coh_op_copy(&ev->op, page_bytes,
                        ev->bytes ? (void *)ev->bytes : own_bytes);
        } else {
            coh_op_perform(&ev->op, page_bytes);
        }
        operated++;
    }
}

static void take_step(World *w, const CohEvent *ev)
{
    World before = *w;
    CohActions acts;

    steps++;
    if (coh_step(&w->node, ev, &acts) != COH_OK) {
        refused++;
        if (memcmp(&before, w, sizeof(before))) {
            g_error("a refused event has changed the node");
        }
        return;
    }
    for (unsigned i = 0; i < acts.n; i++) {
        const CohDo *d = &acts.act[i];

        if (coh_set_next(&d->to, NODES) != COH_NODE_NONE) {
            g_error("a message to a node that does not exist");
        }
        follow(w, ev, d->act);
    }
}

/* Mostly one that exists. */
static CohOp make_op(void)
{
    CohOp op = {
        .code = below(8) ? 1 + below(COH_OP__MAX - 1) : below(256),
        .size = below(8) ? 1u << below(4) : below(256),
        .offset = below(8) ? below(COH_PAGE_SIZE) : below(UINT16_MAX + 1),
        .operand = g_rand_int(chance), .expected = g_rand_int(chance),
    };

    if (op.size && below(8)) {
        op.offset -= op.offset % op.size;
    }
    if (coh_op_has_bytes(&op) && below(8)) {
        op.size = 0;
        op.length = below(8) ? 1 + below(COH_PAGE_SIZE) : below(UINT16_MAX);
        op.offset = below(2) ? 0 : op.offset;
    }
    return op;
}

static size_t make_frame(uint8_t *buf)
{
    WireFrame frame = {
        .type = WIRE_COH,
        .sub = below(16) ? below(COH_EV__MAX) : below(256),
        .from = below(NODES),
        .len = below(2) ? COH_PAGE_SIZE : below(COH_PAGE_SIZE + 1),
        .epoch = g_rand_int(chance),
        .clock_ns = below(2) ? 0 : g_rand_int(chance),
        .coh = {
            .page = below(PAGES + 1), .zero = below(2),
            .requester = below(4) ? below(NODES) : 0xffff,
            .acks = below(8) ? below(4) : g_rand_int(chance),
            .more = below(8) ? 0 : g_rand_int(chance),
        },
    };
    size_t front;

    if (!below(8)) {
        /* The rest of the body is what a page's was. */
        frame.type = below(WIRE__MAX);
    }
    front = wire_encode(&frame, buf);
    if (carries_op(frame.sub) && below(8)) {
        CohOp op = make_op();

        frame.coh.zero = false;
        frame.len = COH_OP_BYTES + (below(8)
                    ? MIN(coh_op_payload(&op, frame.sub == COH_EV_VALUE),
                          COH_PAGE_SIZE) : below(COH_PAGE_SIZE + 1));
        front = wire_encode(&frame, buf);
        coh_op_encode(&op, buf + front);
    } else if (frame.coh.zero) {
        frame.len = 0;
        front = wire_encode(&frame, buf);
    }
    return front + frame.len;
}

static void damage(uint8_t *buf, size_t *len)
{
    for (unsigned n = below(4); n; n--) {
        buf[below(MIN(*len, WIRE_FRONT_MAX))] ^= 1 << below(8);
    }
    if (!below(4)) {
        *len = below(*len + 1);
    }
}

static void take_frame(World *w, const WireFrame *frame)
{
    CohEvent ev = {
        .type = frame->sub, .from = frame->from,
        .requester = frame->coh.requester, .acks = frame->coh.acks,
        .page = frame->coh.page,
    };

    decoded++;
    if (frame->type != WIRE_COH) {
        return;
    }
    if (page_list_is_valid(frame)) {
        for (unsigned n = 0; n < frame->coh.more; n++) {
            ev.have = page_list_get(frame, n).version;
        }
    }
    if (coh_event_is_message(ev.type) &&
        (!carries_op(ev.type) ||
         coh_op_decode(frame->payload, frame->len, ev.type == COH_EV_VALUE,
                       &ev.op, &ev.bytes))) {
        take_step(w, &ev);
    }
}

/* One or several, one behind the other. */
static void hostile_frames(World *w)
{
    static uint8_t scratch[BYTES_MAX];
    size_t len = 0;
    g_autofree uint8_t *exact = NULL;
    const uint8_t *at, *end;
    WireFrame frame;

    for (unsigned n = below(4) ? 1 : 1 + below(SEVERAL); n; n--) {
        size_t more = make_frame(scratch + len);

        if (below(2)) {
            damage(scratch + len, &more);
        }
        len += more;
        frames++;
    }
    at = exact = g_memdup2(scratch, len);
    end = exact + len;
    while (wire_next(&at, &len, &frame)) {
        if ((const uint8_t *)frame.payload < exact ||
            (const uint8_t *)frame.payload + frame.len > end ||
            at + len != end) {
            g_error("a payload outside its frame");
        }
        take_frame(w, &frame);
    }
}

static void own_access(World *w)
{
    static const uint8_t kinds[] = {
        COH_EV_LOAD, COH_EV_STORE, COH_EV_FILL, COH_EV_EVICT, COH_EV_OPERATE,
    };
    CohEvent ev = {
        .type = kinds[below(G_N_ELEMENTS(kinds))], .page = below(PAGES),
        .op = make_op(), .bytes = own_bytes,
    };

    /* The calls see to it that an invalid operation is not asked for. */
    if (ev.type != COH_EV_OPERATE || coh_op_is_valid(&ev.op)) {
        take_step(w, &ev);
    }
}

int main(int argc, char **argv)
{
    double seconds = argc > 1 ? g_ascii_strtod(argv[1], NULL) : 5;
    uint32_t seed = argc > 2 ? (uint32_t)atoi(argv[2])
                             : g_random_int();
    gint64 end = g_get_monotonic_time() + seconds * G_USEC_PER_SEC;
    World w;

    printf("fuzz-core: seed %u\n", seed);
    fflush(stdout);
    chance = g_rand_new_with_seed(seed);
    page_bytes = g_malloc0(COH_PAGE_SIZE);
    own_bytes = g_malloc0(COH_PAGE_SIZE);
    map = cluster_map_new_even(NODES, PAGES, 0);
    while (g_get_monotonic_time() < end) {
        world_init(&w);
        for (int i = 0; i < STEPS_PER_WORLD; i++) {
            if (below(3)) {
                hostile_frames(&w);
            } else {
                own_access(&w);
            }
        }
    }
    g_rand_free(chance);
    g_free(page_bytes);
    g_free(own_bytes);
    printf("%" PRIu64 " frames, %" PRIu64 " decoded, %" PRIu64 " steps, %"
           PRIu64 " refused, %" PRIu64 " operations\n", frames, decoded,
           steps, refused, operated);
    return decoded && steps > refused && operated ? 0 : 1;
}
