/*
 * distkvm: interrupts that move to another node do not overtake older ones
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "fence.h"

typedef struct FencePeer {
    uint64_t sent, confirmed;   /* of this node's frames                    */
    uint64_t asked;             /* the largest count asked for              */
    uint64_t served;            /* of the peer's frames                     */
    uint64_t wants;             /* answer at this count; 0: none is owed    */
} FencePeer;

/* It goes on when each node has served the frames up to a count. */
typedef struct FenceThen {
    void (*fn)(void *opaque);
    void *opaque;
    CohNodeSet nodes;
    uint64_t count[COH_NODES_MAX];
} FenceThen;

struct Fence {
    const FenceOps *ops;
    FencePeer peer[COH_NODES_MAX];
    GQueue then;                /* FenceThen, the oldest first              */
    GQueue done;                /* the same, about to go on                 */
    struct Holder *releasing;   /* whose messages are being delivered       */
};

/* A message that a vector holds, or a call that is due behind others. */
typedef struct Held {
    FenceMessage message;
    void (*fn)(void *opaque, const FenceVector *v);
    void *opaque;
} Held;

/* A vector's messages are held by this. */
typedef struct Holder {
    Fence *fence;
    FenceVector *vector;        /* NULL: it was cleared                     */
} Holder;

Fence *fence_new(const FenceOps *ops)
{
    Fence *f = g_new0(Fence, 1);

    f->ops = ops;
    return f;
}

/* --------------------------------------------------------------- counts */

void fence_sent(Fence *f, CohNodeId to)
{
    f->peer[to].sent++;
}

static void answer_if_due(Fence *f, CohNodeId from)
{
    FencePeer *p = &f->peer[from];

    if (p->wants && p->served >= p->wants) {
        uint64_t count = p->wants;

        p->wants = 0;
        f->ops->answer(from, count);
    }
}

void fence_served(Fence *f, CohNodeId from)
{
    f->peer[from].served++;
    answer_if_due(f, from);
}

uint64_t fence_count_sent(const Fence *f, CohNodeId to)
{
    return f->peer[to].sent;
}

uint64_t fence_count_served(const Fence *f, CohNodeId from)
{
    return f->peer[from].served;
}

void fence_asked(Fence *f, CohNodeId from, uint64_t count)
{
    /* An answer to the larger count answers the smaller one, too. */
    f->peer[from].wants = MAX(f->peer[from].wants, count);
    answer_if_due(f, from);
}

/* -------------------------------------------------------------- waiting */

bool fence_is_owed(const Fence *f, CohNodeId from)
{
    return f->peer[from].confirmed < f->peer[from].asked;
}

static bool is_done(const Fence *f, FenceThen *then)
{
    CohNodeId n;

    COH_SET_FOREACH(n, &then->nodes) {
        if (f->peer[n].confirmed < then->count[n]) {
            return false;
        }
    }
    return true;
}

const char *fence_answered(Fence *f, CohNodeId from, uint64_t count)
{
    FencePeer *p = &f->peer[from];
    FenceThen *then;
    GList *next;

    if (count <= p->confirmed || count > p->asked) {
        return "an answer about interrupts that nobody asked for";
    }
    p->confirmed = count;
    for (GList *at = f->then.head; at; at = next) {
        next = at->next;
        if (is_done(f, at->data)) {
            g_queue_unlink(&f->then, at);
            g_queue_push_tail_link(&f->done, at);
        }
    }
    while ((then = g_queue_pop_head(&f->done))) {
        then->fn(then->opaque);
        g_free(then);
    }
    return NULL;
}

/* Those of @nodes that are not known to have served all frames. */
static CohNodeSet unserved(const Fence *f, const CohNodeSet *nodes)
{
    CohNodeSet some = coh_set_empty();
    CohNodeId n;

    COH_SET_FOREACH(n, nodes) {
        if (f->peer[n].confirmed < f->peer[n].sent) {
            coh_set_add(&some, n);
        }
    }
    return some;
}

void fence_then(Fence *f, const CohNodeSet *nodes, void (*fn)(void *opaque),
                void *opaque)
{
    CohNodeSet some = unserved(f, nodes);
    FenceThen *then;
    CohNodeId n;

    if (coh_set_is_empty(&some)) {
        fn(opaque);
        return;
    }
    then = g_new0(FenceThen, 1);
    then->fn = fn;
    then->opaque = opaque;
    then->nodes = some;
    g_queue_push_tail(&f->then, then);
    COH_SET_FOREACH(n, &some) {
        FencePeer *p = &f->peer[n];

        then->count[n] = p->sent;
        if (p->asked < p->sent) {
            p->asked = p->sent;
            f->ops->ask(n, p->sent);
        }
    }
}

/* -------------------------------------------------------------- vectors */

/* Bits of the address. */
#define REMAPPABLE 0x10
#define SUBHANDLE_VALID 0x8

int fence_remapped_vector(uint64_t addr, uint32_t data)
{
    if (!(addr & REMAPPABLE)) {
        return -1;
    }
    return (uint16_t)((addr >> 5 & 0x7fff) + (addr >> 2 & 1) * 0x8000 +
                      (addr & SUBHANDLE_VALID ? data : 0));
}

static bool is_same(const FenceMessage *a, const FenceMessage *b)
{
    return a->target_addr == b->target_addr && a->target_data == b->target_data;
}

static bool is_equal(const FenceMessage *a, const FenceMessage *b)
{
    return is_same(a, b) && a->addr == b->addr && a->data == b->data &&
           a->epoch == b->epoch;
}

static void release(void *opaque);

/* Take @message as the vector's; false: nodes of the one before are asked. */
static bool turn_to(Fence *f, FenceVector *v, const FenceMessage *message)
{
    CohNodeSet before = v->to, some;
    Holder *h;

    if (is_same(&v->now, message)) {
        return true;
    }
    v->now = *message;
    v->to = coh_set_empty();
    some = unserved(f, &before);
    if (coh_set_is_empty(&some)) {
        return true;
    }
    h = g_new(Holder, 1);
    *h = (Holder) { f, v };
    fence_then(f, &some, release, h);
    return false;
}

static Held *held_new(const FenceMessage *message)
{
    Held *held = g_new0(Held, 1);

    held->message = *message;
    return held;
}

/* The next one that @v holds, if it may leave now. */
static Held *pop_held(Fence *f, FenceVector *v)
{
    Held *held = g_queue_peek_head(&v->held);

    return held && (held->fn || turn_to(f, v, &held->message))
           ? g_queue_pop_head(&v->held) : NULL;
}

/*
 * The old nodes have served their frames: the held ones go on.  One of them may
 * be a write that ends this vector, or others.
 */
static void release(void *opaque)
{
    g_autofree Holder *h = opaque;
    Fence *f = h->fence;
    Held *held;

    f->releasing = h;
    while (h->vector && (held = pop_held(f, h->vector))) {
        if (held->fn) {
            held->fn(held->opaque, h->vector);
        } else {
            f->ops->deliver(h->vector, &held->message);
        }
        g_free(held);
    }
    f->releasing = NULL;
}

bool fence_vector_may_send(Fence *f, FenceVector *v,
                           const FenceMessage *message)
{
    const Held *last = g_queue_peek_tail(&v->held);

    if (!last && turn_to(f, v, message)) {
        return true;
    }
    if (!last || last->fn || !is_equal(&last->message, message)) {
        g_queue_push_tail(&v->held, held_new(message));
    }
    return false;
}

bool fence_vector_then(FenceVector *v,
                       void (*fn)(void *opaque, const FenceVector *v),
                       void *opaque)
{
    Held *held;

    if (g_queue_is_empty(&v->held)) {
        return false;
    }
    held = g_new0(Held, 1);
    held->fn = fn;
    held->opaque = opaque;
    g_queue_push_tail(&v->held, held);
    return true;
}

void fence_vector_left(FenceVector *v, CohNodeId to)
{
    coh_set_add(&v->to, to);
}

bool fence_vector_is_idle(const Fence *f, const FenceVector *v)
{
    CohNodeSet some = unserved(f, &v->to);

    return !v->held.length && coh_set_is_empty(&some);
}

/* Nothing in @queue releases @v any more. */
static void forget_releases(GQueue *queue, const FenceVector *v)
{
    GList *next;

    for (GList *at = queue->head; at; at = next) {
        FenceThen *then = at->data;

        next = at->next;
        if (then->fn == release && ((Holder *)then->opaque)->vector == v) {
            g_free(then->opaque);
            g_free(then);
            g_queue_delete_link(queue, at);
        }
    }
}

void fence_vector_clear(Fence *f, FenceVector *v)
{
    Held *held;

    forget_releases(&f->then, v);
    forget_releases(&f->done, v);
    if (f->releasing && f->releasing->vector == v) {
        f->releasing->vector = NULL;
    }
    v->to = coh_set_empty();
    v->now = (FenceMessage) { 0 };
    while ((held = g_queue_pop_head(&v->held))) {
        if (held->fn) {
            held->fn(held->opaque, v);
        }
        g_free(held);
    }
}
