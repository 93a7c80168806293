/*
 * Places of vCPUs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/core/cpu-place.h"

static void test_initial(void)
{
    /* Node 1 executes none. */
    static const uint64_t vcpus[] = { 1, 0, 2 };
    CpuPlaces places;

    cpu_places_init(&places, vcpus, 3);
    g_assert_cmpint(places.cpus, ==, 3);
    g_assert_cmpint(cpu_place_get(&places, 0), ==, 0);
    g_assert_cmpint(cpu_place_get(&places, 1), ==, 2);
    g_assert_cmpint(cpu_place_get(&places, 2), ==, 2);
    g_assert_cmpint(cpu_place_get(&places, 3), ==, COH_NODE_NONE);
    g_assert_cmpint(cpu_place_get(&places, UINT32_MAX), ==, COH_NODE_NONE);
    g_assert_cmpint(cpu_places_count(&places, 0), ==, 1);
    g_assert_cmpint(cpu_places_count(&places, 1), ==, 0);
    g_assert_cmpint(cpu_places_count(&places, 2), ==, 2);
    cpu_places_free(&places);
}

static void test_no_machine(void)
{
    CpuPlaces places = { 0 };

    g_assert_cmpint(cpu_place_get(&places, 0), ==, COH_NODE_NONE);
    g_assert_cmpint(cpu_places_count(&places, 0), ==, 0);
}

/* Any vCPU goes anywhere: nodes need not have neighbours. */
static void test_move(void)
{
    static const uint64_t vcpus[] = { 2, 2 };
    CpuPlaces places;

    cpu_places_init(&places, vcpus, 2);
    cpu_place_set(&places, 1, 1);
    cpu_place_set(&places, 2, 0);
    g_assert_cmpint(cpu_place_get(&places, 0), ==, 0);
    g_assert_cmpint(cpu_place_get(&places, 1), ==, 1);
    g_assert_cmpint(cpu_place_get(&places, 2), ==, 0);
    g_assert_cmpint(cpu_place_get(&places, 3), ==, 1);
    g_assert_cmpint(cpu_places_count(&places, 0), ==, 2);
    cpu_places_free(&places);
}

static void test_socket(void)
{
    static const struct {
        uint64_t vcpus[4];
        unsigned nodes, size, socket;
    } cases[] = {
        { { 1, 1 }, 2, 2, 1 },
        { { 8 }, 1, 8, 8 },
        { { 4, 4, 4 }, 3, 12, 4 },
        { { 4, 0, 8, 0 }, 4, 12, 4 },
        { { 4, 6 }, 2, 10, 2 },
        { { 6, 4, 9 }, 3, 19, 1 },
        /* They fit as they are. */
        { { 4, 4 }, 2, 2, 2 },
        { { 4, 8 }, 2, 1, 1 },
        /* Cut, and never joined. */
        { { 6, 6 }, 2, 4, 2 },
        { { 3, 3 }, 2, 2, 1 },
    };

    for (size_t i = 0; i < G_N_ELEMENTS(cases); i++) {
        CpuPlaces places;

        cpu_places_init(&places, cases[i].vcpus, cases[i].nodes);
        g_assert_cmpint(cpu_places_socket(&places, cases[i].nodes,
                                          cases[i].size), ==,
                        cases[i].socket);
        cpu_places_free(&places);
    }
}

#define ROUNDS 20000

typedef struct Watched {
    CpuPlaces places;
    unsigned state;         /* written before the place is set */
} Watched;

static gpointer watch(gpointer opaque)
{
    Watched *w = opaque;
    unsigned seen = 0;

    while (seen < ROUNDS) {
        unsigned place = cpu_place_get(&w->places, 0);
        unsigned state = __atomic_load_n(&w->state, __ATOMIC_RELAXED);

        g_assert_cmpuint(state, >=, place);
        seen = place;
    }
    return NULL;
}

/* A reader of the new place sees the state that was stored before it. */
static void test_order(void)
{
    static const uint64_t vcpus[] = { 1 };
    Watched w = { .state = 0 };
    GThread *thread;

    cpu_places_init(&w.places, vcpus, 1);
    thread = g_thread_new("watch", watch, &w);
    for (unsigned i = 1; i <= ROUNDS; i++) {
        __atomic_store_n(&w.state, i, __ATOMIC_RELAXED);
        cpu_place_set(&w.places, 0, i);
    }
    g_thread_join(thread);
    cpu_places_free(&w.places);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-place/initial", test_initial);
    g_test_add_func("/cpu-place/no-machine", test_no_machine);
    g_test_add_func("/cpu-place/move", test_move);
    g_test_add_func("/cpu-place/socket", test_socket);
    g_test_add_func("/cpu-place/order", test_order);
    return g_test_run();
}
