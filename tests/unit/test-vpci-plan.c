/*
 * The plan of bridges and slots: no two things in one place, for every number
 * of nodes; and what it says when there is no place
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "hw/vpci-cluster/plan.h"
#include "vpci-check.h"

/* Device numbers that boards have: pc's 0 to 3, q35's 0 to 2 and 31. */
static const uint32_t board_devices[VPCI_MACHINE__MAX] = {
    [VPCI_PC] = 0x0000000f,
    [VPCI_Q35] = 0x80000007,
};

static void options_init(VpciOptions *o, VpciMachine machine, unsigned nodes,
                         unsigned slots)
{
    *o = (VpciOptions) {
        .machine = machine, .nodes = nodes,
        .board = { .devices = board_devices[machine], .buses = 1 },
    };
    for (unsigned n = 0; n < MIN(nodes, VPCI_NODES_MAX); n++) {
        o->node[n].slots = slots;
    }
}

static void check_root_bus(const VpciOptions *o, const VpciPlan *plan)
{
    bool taken[256] = { false };
    unsigned functions[32] = { 0 };

    for (unsigned n = 0; n < o->nodes; n++) {
        const VpciBridge *b = &plan->bridge[n];

        g_assert_cmpint(b->slots, ==, o->node[n].slots);
        if (!b->slots) {
            continue;
        }
        g_assert_false(taken[b->devfn]);
        g_assert_false(o->board.devices >> VPCI_SLOT(b->devfn) & 1);
        taken[b->devfn] = true;
        functions[VPCI_SLOT(b->devfn)]++;
        g_assert_cmpint(b->chassis, ==, 128 + n);
    }
    for (unsigned n = 0; n < o->nodes; n++) {
        const VpciBridge *b = &plan->bridge[n];

        if (b->slots) {
            unsigned device = VPCI_SLOT(b->devfn);

            g_assert_true(taken[device << 3]);
            g_assert_cmpint(b->multifunction, ==,
                            !VPCI_FUNCTION(b->devfn) && functions[device] > 1);
        }
    }
}

static void check_buses(const VpciOptions *o, const VpciPlan *plan)
{
    unsigned next = o->board.buses, last = 0;

    for (unsigned n = 0; n < o->nodes; n++) {
        const VpciBridge *b = &plan->bridge[n];

        if (o->machine == VPCI_PC || !b->slots) {
            g_assert_cmpint(b->bus_nr, ==, 0);
            continue;
        }
        g_assert_cmpint(b->bus_nr, >=, next);
        next = b->bus_nr + b->slots + 1;
        last = next - 1;
    }
    /* The highest numbers, so the board's bridges may become more. */
    g_assert_true(!last || last == 255);
}

static void check_slots(const VpciOptions *o, const VpciPlan *plan)
{
    bool numbers[8192] = { false };

    for (unsigned n = 0; n < o->nodes; n++) {
        bool taken[256] = { false };

        for (unsigned s = 1; s <= plan->bridge[n].slots; s++) {
            VpciPlace place = vpci_plan_place(plan, n, s);
            uint8_t devfn = o->machine == VPCI_PC ? place.devfn
                                                  : place.port_devfn;

            g_assert_false(taken[devfn]);
            taken[devfn] = true;
            if (o->machine == VPCI_PC) {
                g_assert_cmpint(place.devfn, ==, VPCI_DEVFN(s, 0));
                continue;
            }
            g_assert_cmpint(place.devfn, ==, 0);
            g_assert_cmpint(place.number, <, 8192);
            g_assert_false(numbers[place.number]);
            numbers[place.number] = true;
        }
    }
}

static void check_plan(const VpciOptions *o)
{
    VpciPlan plan;

    g_assert_null(vpci_plan_make(o, &plan));
    g_assert_cmpint(plan.machine, ==, o->machine);
    g_assert_cmpint(plan.nodes, ==, o->nodes);
    check_root_bus(o, &plan);
    check_buses(o, &plan);
    check_slots(o, &plan);
}

/* As many slots as a node can have if all have as many. */
static unsigned most_slots(VpciMachine machine, unsigned nodes)
{
    return machine == VPCI_PC ? VPCI_SLOTS_MAX
                              : MIN(255 / nodes - 1, VPCI_SLOTS_MAX);
}

static void test_all(void)
{
    for (unsigned machine = 0; machine < VPCI_MACHINE__MAX; machine++) {
        for (unsigned nodes = 1; nodes <= VPCI_NODES_MAX; nodes++) {
            unsigned most = most_slots(machine, nodes);

            for (unsigned slots = 0; slots <= most; slots++) {
                VpciOptions o;

                options_init(&o, machine, nodes, slots);
                check_plan(&o);
                /* Node 0 has no bridge, or some node in between. */
                o.node[0].slots = 0;
                check_plan(&o);
                o.node[nodes / 2].slots = 0;
                check_plan(&o);
            }
        }
    }
}

static void test_random(void)
{
    for (unsigned i = 0; i < 20000; i++) {
        unsigned nodes = g_test_rand_int_range(1, VPCI_NODES_MAX + 1);
        unsigned machine = g_test_rand_int_range(0, VPCI_MACHINE__MAX);
        unsigned buses = g_test_rand_int_range(1, 60), needed = 0, bridges = 0;
        unsigned free_devices = 0;
        g_autofree char *why = NULL;
        VpciOptions o;
        VpciPlan plan;

        options_init(&o, machine, nodes, 0);
        o.board.devices |= g_test_rand_int() | g_test_rand_int();
        o.board.buses = buses;
        for (unsigned n = 0; n < nodes; n++) {
            unsigned slots = g_test_rand_int_range(0, 12);

            o.node[n].slots = slots;
            bridges += slots > 0;
            needed += slots ? 1 + (machine == VPCI_Q35) * slots : 0;
        }
        for (unsigned d = 0; d < 32; d++) {
            free_devices += !(o.board.devices >> d & 1);
        }
        why = vpci_plan_make(&o, &plan);
        g_assert_cmpint(!why, ==, bridges <= 8 * free_devices &&
                        needed + buses <= 256);
        if (!why) {
            check_plan(&o);
        }
    }
}

/* One function each as long as there are devices: 28 on a usual board. */
static void test_multifunction(void)
{
    for (unsigned machine = 0; machine < VPCI_MACHINE__MAX; machine++) {
        VpciOptions o;
        VpciPlan plan;

        options_init(&o, machine, 28, 1);
        check_plan(&o);
        g_assert_null(vpci_plan_make(&o, &plan));
        for (unsigned n = 0; n < 28; n++) {
            g_assert_cmpint(VPCI_FUNCTION(plan.bridge[n].devfn), ==, 0);
        }
        options_init(&o, machine, 64, 1);
        check_plan(&o);
        g_assert_null(vpci_plan_make(&o, &plan));
        /* 64 nodes are 8 devices; the last node is the last function. */
        g_assert_cmpint(VPCI_SLOT(plan.bridge[0].devfn), ==,
                        VPCI_SLOT(plan.bridge[7].devfn));
        g_assert_cmpint(VPCI_SLOT(plan.bridge[0].devfn) -
                        VPCI_SLOT(plan.bridge[63].devfn), ==, 7);
        g_assert_cmpint(VPCI_FUNCTION(plan.bridge[63].devfn), ==, 7);
        options_init(&o, machine, 29, 1);
        check_plan(&o);
        g_assert_null(vpci_plan_make(&o, &plan));
        /* The fourth device has 5 of them; so would one alone be no multi. */
        g_assert_true(plan.bridge[24].multifunction);
        g_assert_false(plan.bridge[25].multifunction);
        options_init(&o, machine, 33, 1);
        check_plan(&o);
        g_assert_null(vpci_plan_make(&o, &plan));
        g_assert_false(plan.bridge[32].multifunction);
    }
}

/* The numbers themselves, so that all versions of a node compute the same. */
static void test_numbers(void)
{
    VpciOptions o;
    VpciPlan plan;

    options_init(&o, VPCI_Q35, 3, 4);
    o.node[0].slots = 0;
    o.node[2].slots = 2;
    g_assert_null(vpci_plan_make(&o, &plan));
    g_assert_cmpint(plan.bridge[0].slots, ==, 0);
    g_assert_cmpint(plan.bridge[1].bus_nr, ==, 248);
    g_assert_cmpint(plan.bridge[2].bus_nr, ==, 253);
    g_assert_cmpint(plan.bridge[1].devfn, ==, VPCI_DEVFN(30, 0));
    g_assert_cmpint(plan.bridge[2].devfn, ==, VPCI_DEVFN(29, 0));
    g_assert_cmpint(vpci_plan_place(&plan, 2, 1).number, ==, 65);
    g_assert_cmpint(vpci_plan_place(&plan, 2, 1).port_devfn, ==, 8);
}

typedef struct Refusal {
    VpciMachine machine;
    unsigned nodes, slots, buses;
    uint32_t devices;
    const char *why;            /* a part of it; NULL: there is a plan */
} Refusal;

static const Refusal refusals[] = {
    { VPCI_Q35, 0, 1, 1, 0, "0 nodes; there are 1 to 64" },
    { VPCI_Q35, 65, 1, 1, 0, "65 nodes; there are 1 to 64" },
    { VPCI_PC, 2, 32, 1, 0, "node 0 has 32 PCI slots; a node has 0 to 31 "
      "slots: use multifunction=on" },
    /* 16 nodes: 15 buses each, and so 14 ports. */
    { VPCI_Q35, 16, 14, 1, 0, NULL },
    { VPCI_Q35, 16, 14, 16, 0, NULL },
    { VPCI_Q35, 16, 14, 17, 0, "need 240 PCI buses, node 0's root bus and its "
      "bridges 17, and there are 256: give nodes fewer slots (at most 13," },
    { VPCI_Q35, 16, 15, 1, 0, "at most 14, if all nodes that have slots" },
    { VPCI_Q35, 64, 2, 64, 0, NULL },
    { VPCI_Q35, 64, 3, 1, 0, "at most 2," },
    { VPCI_Q35, 64, 1, 129, 0, "at most 0," },
    { VPCI_Q35, 2, 31, 300, 0, "at most 0," },
    { VPCI_PC, 64, 31, 192, 0, NULL },
    { VPCI_PC, 64, 31, 193, 0, "need 64 PCI buses" },
    { VPCI_PC, 64, 1, 1, 0xffffff00, NULL },
    { VPCI_PC, 64, 1, 1, 0xffffff01, "node 0's root bus has 7 free device "
      "numbers, and bridges of other nodes need 8: put devices of node 0 "
      "behind a bridge" },
    { VPCI_PC, 1, 1, 1, 0xffffffff, "has 0 free device numbers, and bridges "
      "of other nodes need 1:" },
    { VPCI_PC, 1, 0, 1, 0xffffffff, NULL },
};

static void test_refusals(void)
{
    for (size_t i = 0; i < G_N_ELEMENTS(refusals); i++) {
        const Refusal *r = &refusals[i];
        g_autofree char *why = NULL;
        VpciOptions o;
        VpciPlan plan;

        options_init(&o, r->machine, r->nodes, r->slots);
        o.board.devices = r->devices;
        o.board.buses = r->buses;
        why = vpci_plan_make(&o, &plan);
        if (r->why) {
            g_assert_nonnull(why);
            g_assert_nonnull(strstr(why, r->why));
        } else {
            g_assert_cmpstr(why, ==, NULL);
        }
    }
}

/* The remedy is one: with the slots that it names there is a plan. */
static void test_remedy(void)
{
    for (unsigned nodes = 8; nodes <= VPCI_NODES_MAX; nodes++) {
        g_autofree char *why = NULL;
        const char *at;
        VpciOptions o;
        VpciPlan plan;
        int slots;

        options_init(&o, VPCI_Q35, nodes, VPCI_SLOTS_MAX);
        o.board.buses = 5;
        why = vpci_plan_make(&o, &plan);
        at = strstr(why, "at most ");
        g_assert_nonnull(at);
        slots = atoi(at + strlen("at most "));
        options_init(&o, VPCI_Q35, nodes, slots);
        o.board.buses = 5;
        check_plan(&o);
        options_init(&o, VPCI_Q35, nodes, slots + 1);
        o.board.buses = 5;
        g_free(why);
        why = vpci_plan_make(&o, &plan);
        g_assert_nonnull(why);
    }
}

static void test_reserve(void)
{
    g_autofree char *why = NULL;
    VpciOptions o;
    VpciPlan plan;

    options_init(&o, VPCI_Q35, 2, 1);
    o.node[1].reserve.io = 65536;
    g_assert_null(vpci_plan_make(&o, &plan));
    o.node[1].reserve.io = 65537;
    why = vpci_plan_make(&o, &plan);
    g_assert_cmpstr(why, ==, "node 1 reserves 65537 ports; x86 has 65536");
}

const VpciCheck vpci_plan_checks[] = {
    { "/vpci-plan/all", test_all },
    { "/vpci-plan/random", test_random },
    { "/vpci-plan/multifunction", test_multifunction },
    { "/vpci-plan/numbers", test_numbers },
    { "/vpci-plan/refusals", test_refusals },
    { "/vpci-plan/remedy", test_remedy },
    { "/vpci-plan/reserve", test_reserve },
    { NULL },
};

VPCI_CHECK_MAIN(vpci_plan_checks)
