/*
 * A node's slots: which functions go together, and every order in which the
 * owner's events and node 0's messages can cross
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/vpci-cluster/slots.h"
#include "vpci-check.h"

#define SLOTS 4

/* ------------------------------------------------------------ functions */

typedef struct Plug {
    uint8_t function;
    bool multi, hot;
} Plug;

static const struct {
    const char *why;        /* of the last; the others are accepted */
    unsigned n;
    Plug plug[4];
} plugs[] = {
    { NULL, 1, { { 0, false, true } } },
    { NULL, 3, { { 1, false, true }, { 7, true, true }, { 0, true, true } } },
    { NULL, 3, { { 0, true, false }, { 1, false, false }, { 7 } } },
    { NULL, 2, { { 3, false, false }, { 0, true, false } } },
    { NULL, 2, { { 0, true, false }, { 1, true, false } } },
    { "has that function already", 2, { { 1, true }, { 1, true } } },
    { "has that function already", 2, { { 0, true }, { 0, true } } },
    { "has function 0 already, with which the guest looked at it: plug "
      "function 0 last", 2, { { 0, true, true }, { 1, true, true } } },
    { "has function 0 already, with which the guest looked at it: plug "
      "function 0 last", 2, { { 0, true, false }, { 1, true, true } } },
    { "has functions of the start: name another one with bus=", 2,
      { { 1, false, false }, { 0, true, true } } },
    { "has a function 0 without multifunction=on", 2,
      { { 0, false }, { 1, true } } },
    { "has more functions: function 0 needs multifunction=on", 2,
      { { 1, true }, { 0, false } } },
    { "has more functions: function 0 needs multifunction=on", 2,
      { { 1, false, true }, { 0, false, true } } },
};

static void test_functions(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(plugs); i++) {
        VpciSlots slots;
        uint8_t there = 0;

        vpci_slots_init(&slots, SLOTS);
        for (unsigned n = 0; n < plugs[i].n; n++) {
            const Plug *p = &plugs[i].plug[n];
            const char *why = n + 1 == plugs[i].n ? plugs[i].why : NULL;

            g_assert_cmpstr(vpci_slots_plug(&slots,
                                            VPCI_DEVFN(2, p->function),
                                            p->multi, p->hot), ==, why);
            there |= why ? 0 : 1 << p->function;
            g_assert_cmphex(slots.slot[2].functions, ==, there);
            g_assert_cmpint(slots.slot[2].state, ==, VPCI_SLOT_PLUGGING);
            g_assert_cmpint(slots.slot[2].generation, ==, 1);
        }
        g_assert_cmpint(slots.slot[1].state, ==, VPCI_SLOT_EMPTY);
    }
}

static VpciSlotResult happen(VpciSlots *slots, unsigned slot,
                             uint64_t generation, VpciSlotEvent event)
{
    const char *why = NULL;
    VpciSlotResult result = vpci_slots_event(slots, slot, generation, event,
                                             &why);

    g_assert_cmpint(!why, ==, result == VPCI_SLOT_OK);
    return result;
}

/* The next device of a slot may be a simpler one, and has another number. */
static void test_again(void)
{
    static const VpciSlotEvent life[] = {
        VPCI_SLOT_ACCEPT, VPCI_SLOT_UNPLUG, VPCI_SLOT_EJECT,
        VPCI_SLOT_RELEASE,
    };
    VpciSlots slots;

    vpci_slots_init(&slots, SLOTS);
    for (unsigned g = 1; g <= 3; g++) {
        bool multi = g & 1;

        if (multi) {
            g_assert_null(vpci_slots_plug(&slots, VPCI_DEVFN(SLOTS, 5), false,
                                          true));
        }
        g_assert_null(vpci_slots_plug(&slots, VPCI_DEVFN(SLOTS, 0), multi,
                                      true));
        g_assert_cmpint(slots.slot[SLOTS].generation, ==, g);
        for (size_t i = 0; i < G_N_ELEMENTS(life); i++) {
            VpciSlotResult wrong = life[i] == VPCI_SLOT_UNPLUG
                                   ? VPCI_SLOT_REFUSED : VPCI_SLOT_BROKEN;

            /* Another generation's, and another slot's. */
            g_assert_cmpint(happen(&slots, SLOTS, g - 1, life[i]), ==, wrong);
            g_assert_cmpint(happen(&slots, SLOTS, g + 1, life[i]), ==, wrong);
            g_assert_cmpint(happen(&slots, SLOTS - 1, g, life[i]), ==, wrong);
            g_assert_cmpint(happen(&slots, SLOTS, g, life[i]), ==,
                            VPCI_SLOT_OK);
        }
        g_assert_cmpint(slots.slot[SLOTS].functions, ==, 0);
        g_assert_false(slots.slot[SLOTS].multifunction);
    }
}

static void test_other_slots(void)
{
    static const uint8_t wrong[] = { 0, 7, VPCI_DEVFN(SLOTS + 1, 0), 0xff };
    VpciSlots slots;

    vpci_slots_init(&slots, SLOTS);
    for (size_t i = 0; i < G_N_ELEMENTS(wrong); i++) {
        unsigned slot = VPCI_SLOT(wrong[i]);

        g_assert_cmpstr(vpci_slots_plug(&slots, wrong[i], true, false), ==,
                        "is none of this node's");
        g_assert_cmpint(happen(&slots, slot, 0, VPCI_SLOT_UNPLUG), ==,
                        VPCI_SLOT_REFUSED);
        g_assert_cmpint(happen(&slots, slot, 0, VPCI_SLOT_RELEASE), ==,
                        VPCI_SLOT_BROKEN);
    }
    /* Beyond all slots that there can be. */
    g_assert_cmpint(happen(&slots, UINT_MAX, 0, VPCI_SLOT_EJECT), ==,
                    VPCI_SLOT_BROKEN);
}

static void empty(VpciSlots *slots, unsigned slot)
{
    const uint64_t generation = slots->slot[slot].generation;

    g_assert_cmpint(happen(slots, slot, generation, VPCI_SLOT_REJECT), ==,
                    VPCI_SLOT_OK);
    g_assert_cmpint(happen(slots, slot, generation, VPCI_SLOT_RELEASE), ==,
                    VPCI_SLOT_OK);
}

static void test_find(void)
{
    static const uint8_t emptied[] = { 3, 1, 4, 2 };
    VpciSlots slots;

    vpci_slots_init(&slots, 0);
    g_assert_cmpint(vpci_slots_find(&slots, UINT32_MAX), ==, -1);
    vpci_slots_init(&slots, VPCI_SLOTS_MAX);
    g_assert_null(vpci_slots_plug(&slots, VPCI_DEVFN(2, 0), false, false));
    for (unsigned n = 1; n <= VPCI_SLOTS_MAX; n++) {
        if (n != 2) {
            int devfn = vpci_slots_find(&slots, UINT32_MAX);

            g_assert_cmpint(devfn, ==, VPCI_DEVFN(n, 0));
            g_assert_cmpint(vpci_slots_find(&slots, 1u << n), ==, devfn);
            /* All others, and those that are taken. */
            g_assert_cmpint(vpci_slots_find(&slots, (1u << n) - 1), ==, -1);
            g_assert_null(vpci_slots_plug(&slots, devfn, false, true));
        }
    }
    g_assert_cmpint(vpci_slots_find(&slots, UINT32_MAX), ==, -1);
    /* The one that has been empty for longest. */
    for (unsigned i = 0; i < G_N_ELEMENTS(emptied); i++) {
        empty(&slots, emptied[i]);
    }
    for (unsigned i = 0; i < G_N_ELEMENTS(emptied); i++) {
        int devfn = vpci_slots_find(&slots, UINT32_MAX);

        g_assert_cmpint(devfn, ==, VPCI_DEVFN(emptied[i], 0));
        g_assert_null(vpci_slots_plug(&slots, devfn, false, true));
    }
}

/* A request for a function may cross its end, but none is for no function. */
static void test_reach(void)
{
    static const VpciSlotEvent life[] = {
        VPCI_SLOT_ACCEPT, VPCI_SLOT_UNPLUG, VPCI_SLOT_EJECT,
        VPCI_SLOT_RELEASE,
    };
    const uint8_t devfn = VPCI_DEVFN(SLOTS, 0);
    VpciSlots slots;

    vpci_slots_init(&slots, SLOTS);
    g_assert_cmpint(vpci_slots_reach(&slots, devfn, 0), ==, VPCI_SLOT_BROKEN);
    g_assert_cmpint(vpci_slots_reach(&slots, devfn, 1), ==, VPCI_SLOT_BROKEN);
    for (unsigned g = 1; g <= 2; g++) {
        g_assert_null(vpci_slots_plug(&slots, devfn, false, true));
        for (size_t i = 0; i < G_N_ELEMENTS(life); i++) {
            /* From "ejected" on it does nothing more. */
            bool gone = life[i] == VPCI_SLOT_RELEASE;

            g_assert_cmpint(vpci_slots_reach(&slots, devfn, g), ==,
                            gone ? VPCI_SLOT_CROSSED : VPCI_SLOT_OK);
            /* Another function, another slot, the next device. */
            g_assert_cmpint(vpci_slots_reach(&slots, devfn + 1, g), ==,
                            gone ? VPCI_SLOT_CROSSED : VPCI_SLOT_BROKEN);
            g_assert_cmpint(vpci_slots_reach(&slots, devfn - 8, g), ==,
                            VPCI_SLOT_BROKEN);
            g_assert_cmpint(vpci_slots_reach(&slots, devfn, g + 1), ==,
                            VPCI_SLOT_BROKEN);
            /* The device before, which had any functions. */
            g_assert_cmpint(vpci_slots_reach(&slots, devfn + 1, g - 1), ==,
                            g > 1 ? VPCI_SLOT_CROSSED : VPCI_SLOT_BROKEN);
            g_assert_cmpint(happen(&slots, SLOTS, g, life[i]), ==,
                            VPCI_SLOT_OK);
        }
        g_assert_cmpint(vpci_slots_reach(&slots, devfn, g), ==,
                        VPCI_SLOT_CROSSED);
    }
    g_assert_cmpint(vpci_slots_reach(&slots, 0, 1), ==, VPCI_SLOT_BROKEN);
    g_assert_cmpint(vpci_slots_reach(&slots, 0xff, 1), ==, VPCI_SLOT_BROKEN);
}

/* This node's events, by state: the user may rely on that. */
static void test_own_events(void)
{
    static const bool wanted[VPCI_SLOT__MAX][VPCI_SLOT_REMOVE + 1] = {
        [VPCI_SLOT_EMPTY] = { true, false, false },
        [VPCI_SLOT_PLUGGING] = { true, false, true },
        [VPCI_SLOT_OCCUPIED] = { false, true, true },
        [VPCI_SLOT_EJECTING] = { false, false, true },
        [VPCI_SLOT_GONE] = { false, false, false },
    };

    for (unsigned s = 0; s < VPCI_SLOT__MAX; s++) {
        for (unsigned e = 0; e <= VPCI_SLOT_REMOVE; e++) {
            VpciSlots slots = { .n = SLOTS };
            bool done;

            slots.slot[1] = (VpciSlot) {
                .state = s, .generation = 1, .functions = s ? 2 : 0,
            };
            done = e == VPCI_SLOT_PLUG
                   ? !vpci_slots_plug(&slots, VPCI_DEVFN(1, 0), true, true)
                   : happen(&slots, 1, 1, e) == VPCI_SLOT_OK;
            g_assert_cmpint(done, ==, wanted[s][e]);
            g_assert_cmpint(vpci_slot_table[s][e].result, ==,
                            done ? VPCI_SLOT_OK : VPCI_SLOT_REFUSED);
            if (!done) {
                g_assert_cmpint(slots.slot[1].state, ==, s);
                g_assert_cmpint(slots.slot[1].functions, ==, s ? 2 : 0);
            }
        }
    }
}

/* ----------------------------------------- a model of owner and node 0 */

/* Node 0 as far as one slot is concerned. */
typedef enum Stand {
    STAND_NONE,
    STAND_THERE,
    STAND_ASKED,        /* the guest was asked to let go of it  */
    STAND_LEFT,         /* gone, but a map still names it       */
} Stand;

enum { DESCRIBED = 1, UNPLUG, REMOVED };    /* to node 0 */

#define QUEUE_MAX 8
#define GENERATIONS 3

typedef struct Queue {
    uint8_t n, message[QUEUE_MAX], generation[QUEUE_MAX];
} Queue;

/* Without padding: worlds are compared as bytes. */
typedef struct World {
    uint8_t owner, generation;      /* of the slot                  */
    uint8_t stand, stand_generation;
    Queue to_node0, to_owner;
} World;

typedef struct Model {
    GHashTable *seen;               /* of worlds                    */
    GQueue todo;
    bool reached[VPCI_SLOT__MAX][VPCI_SLOT_EVENT__MAX];
} Model;

static void push(Queue *q, uint8_t message, uint8_t generation)
{
    g_assert_cmpint(q->n, <, QUEUE_MAX);
    q->message[q->n] = message;
    q->generation[q->n++] = generation;
}

static uint8_t pop(Queue *q, uint8_t *generation)
{
    uint8_t message = q->message[0];

    *generation = q->generation[0];
    q->n--;
    memmove(q->message, q->message + 1, q->n);
    memmove(q->generation, q->generation + 1, q->n);
    q->message[q->n] = q->generation[q->n] = 0;
    return message;
}

/* True at any time. */
static void check_world(const World *w)
{
    bool quiet = !w->to_node0.n && !w->to_owner.n;

    if (w->owner == VPCI_SLOT_EMPTY) {
        /* The device is freed: no stand-in, no message about it. */
        g_assert_cmpint(w->stand, ==, STAND_NONE);
        g_assert_cmpint(w->to_owner.n, ==, 0);
    }
    if (quiet && w->owner != VPCI_SLOT_GONE) {
        static const Stand wanted[] = {
            [VPCI_SLOT_EMPTY] = STAND_NONE,
            [VPCI_SLOT_OCCUPIED] = STAND_THERE,
            [VPCI_SLOT_EJECTING] = STAND_ASKED,
        };

        g_assert_cmpint(w->owner, !=, VPCI_SLOT_PLUGGING);
        g_assert_cmpint(w->stand, ==, wanted[w->owner]);
    } else if (quiet) {
        g_assert_cmpint(w->stand, ==, STAND_LEFT);
    }
}

static void reach(Model *m, const World *w)
{
    if (!g_hash_table_contains(m->seen, w)) {
        World *copy = g_memdup2(w, sizeof(*w));

        check_world(w);
        g_hash_table_add(m->seen, copy);
        g_queue_push_tail(&m->todo, copy);
    }
}

/* Give the owner's slot the event; is it done? */
static bool own(World *w, VpciSlotEvent event)
{
    VpciSlots slots = { .n = 1 };
    VpciSlot *slot = &slots.slot[1];
    bool done;

    *slot = (VpciSlot) {
        .state = w->owner, .generation = w->generation,
        .functions = w->owner != VPCI_SLOT_EMPTY,
    };
    if (event == VPCI_SLOT_PLUG) {
        done = !vpci_slots_plug(&slots, VPCI_DEVFN(1, 0), false, true);
    } else {
        done = happen(&slots, 1, w->generation, event) == VPCI_SLOT_OK;
    }
    w->owner = slot->state;
    w->generation = slot->generation;
    return done;
}

static void owner_acts(Model *m, const World *from)
{
    static const struct {
        VpciSlotEvent event;
        uint8_t message;
    } acts[] = {
        { VPCI_SLOT_PLUG, DESCRIBED }, { VPCI_SLOT_UNPLUG, UNPLUG },
        { VPCI_SLOT_REMOVE, REMOVED },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(acts); i++) {
        World w = *from;

        if (acts[i].event == VPCI_SLOT_PLUG && w.generation == GENERATIONS) {
            continue;
        }
        if (own(&w, acts[i].event)) {
            push(&w.to_node0, acts[i].message, w.generation);
            reach(m, &w);
        }
    }
}

static void owner_hears(Model *m, const World *from)
{
    World w = *from;
    VpciSlots slots = { .n = 1 };
    VpciSlotResult result;
    const char *why;
    uint8_t generation, event;

    if (!w.to_owner.n) {
        return;
    }
    event = pop(&w.to_owner, &generation);
    slots.slot[1] = (VpciSlot) {
        .state = w.owner, .generation = w.generation, .functions = 1,
    };
    m->reached[w.owner][event] = true;
    result = vpci_slots_event(&slots, 1, generation, event, &why);
    /* An honest node 0 is never taken for a broken one. */
    g_assert_cmpint(result, ==, w.owner == VPCI_SLOT_GONE &&
                    event != VPCI_SLOT_RELEASE ? VPCI_SLOT_CROSSED
                                               : VPCI_SLOT_OK);
    w.owner = slots.slot[1].state;
    reach(m, &w);
}

static void node0_does(Model *m, const World *from, Stand stand,
                       VpciSlotEvent message)
{
    World w = *from;

    w.stand = stand;
    push(&w.to_owner, message, w.stand_generation);
    reach(m, &w);
}

static void node0_hears(Model *m, const World *from)
{
    World w = *from;
    uint8_t generation, message;

    if (!w.to_node0.n) {
        return;
    }
    message = pop(&w.to_node0, &generation);
    if (message == DESCRIBED) {
        g_assert_cmpint(w.stand, ==, STAND_NONE);
        w.stand_generation = generation;
        node0_does(m, &w, STAND_THERE, VPCI_SLOT_ACCEPT);
        node0_does(m, &w, STAND_LEFT, VPCI_SLOT_REJECT);
        return;
    }
    if (w.stand != STAND_NONE) {
        g_assert_cmpint(generation, ==, w.stand_generation);
        if (message == UNPLUG && w.stand == STAND_THERE) {
            w.stand = STAND_ASKED;
        } else if (message == REMOVED) {
            w.stand = STAND_LEFT;
        }
    }
    reach(m, &w);
}

static void node0_acts(Model *m, const World *from)
{
    switch (from->stand) {
    case STAND_ASKED:
        node0_does(m, from, STAND_THERE, VPCI_SLOT_KEEP);
        /* fallthrough */
    case STAND_THERE:
        node0_does(m, from, STAND_LEFT, VPCI_SLOT_EJECT);
        break;
    case STAND_LEFT:
        node0_does(m, from, STAND_NONE, VPCI_SLOT_RELEASE);
        break;
    default:
        break;
    }
}

static guint hash_world(gconstpointer opaque)
{
    const uint8_t *at = opaque;
    guint hash = 5381;

    for (size_t i = 0; i < sizeof(World); i++) {
        hash = hash * 33 + at[i];
    }
    return hash;
}

static gboolean same_world(gconstpointer a, gconstpointer b)
{
    return !memcmp(a, b, sizeof(World));
}

/* Too many messages under way only repeat each other: such worlds end here. */
static bool is_full(const World *w)
{
    return w->to_node0.n > QUEUE_MAX - 2 || w->to_owner.n > QUEUE_MAX - 2;
}

static void test_crossing(void)
{
    World start = { 0 }, *w;
    Model m = {
        .seen = g_hash_table_new_full(hash_world, same_world, g_free, NULL),
    };

    g_queue_init(&m.todo);
    reach(&m, &start);
    while ((w = g_queue_pop_head(&m.todo))) {
        owner_hears(&m, w);
        node0_hears(&m, w);
        if (!is_full(w)) {
            owner_acts(&m, w);
            node0_acts(&m, w);
        }
    }
    g_test_message("%u worlds", g_hash_table_size(m.seen));
    g_assert_cmpint(g_hash_table_size(m.seen), >, 150);
    g_hash_table_unref(m.seen);
    /* A message that can't come from an honest node 0 is refused as such. */
    for (unsigned s = 0; s < VPCI_SLOT__MAX; s++) {
        for (unsigned e = VPCI_SLOT_ACCEPT; e < VPCI_SLOT_EVENT__MAX; e++) {
            g_assert_cmpint(vpci_slot_table[s][e].result != VPCI_SLOT_BROKEN,
                            ==, m.reached[s][e]);
        }
    }
}

const VpciCheck vpci_slot_checks[] = {
    { "/vpci-slots/functions", test_functions },
    { "/vpci-slots/again", test_again },
    { "/vpci-slots/other-slots", test_other_slots },
    { "/vpci-slots/find", test_find },
    { "/vpci-slots/reach", test_reach },
    { "/vpci-slots/own-events", test_own_events },
    { "/vpci-slots/crossing", test_crossing },
    { NULL },
};

VPCI_CHECK_MAIN(vpci_slot_checks)
