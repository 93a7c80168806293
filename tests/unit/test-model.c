/*
 * Every interleaving of the real protocol
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "model.h"

#define STATES_MAX 40000000

static void test_search(gconstpointer opaque)
{
    const ModelShape *shape = opaque;
    gint64 start = g_get_monotonic_time();
    ModelResult r = model_search(shape);

    g_test_message("%u nodes, %u page%s%s%s%s: %u states, %" PRIu64
                   " transitions, depth %u, %.1f s", shape->nodes,
                   shape->pages, shape->pages == 1 ? "" : "s",
                   shape->late_faults ? ", late faults" : "",
                   shape->operators ? ", operations" : "",
                   shape->fillers ? ", fillings" : "", r.states,
                   r.transitions, r.depth,
                   (g_get_monotonic_time() - start) / 1e6);
    if (r.violation) {
        g_error("%s\n%s", r.violation, r.where);
    }
    g_assert_cmpint(r.states, >, 500);
}

static const ModelShape shapes[] = {
    { .nodes = 2, .pages = 1, .late_faults = 2 },
    { .nodes = 3, .pages = 1, .late_faults = 1 },
    { .nodes = 4, .pages = 1 },
    { .nodes = 2, .pages = 2 },
    { .nodes = 2, .pages = 1, .late_faults = 1, .operators = 2 },
    { .nodes = 3, .pages = 1, .operators = 1 },
    { .nodes = 2, .pages = 1, .late_faults = 1, .operators = 1, .fillers = 2 },
    { .nodes = 3, .pages = 1, .fillers = 2 },
    /* From here on with -m slow only: minutes, and gigabytes. */
    { .nodes = 4, .pages = 1, .late_faults = 1 },
    { .nodes = 2, .pages = 2, .late_faults = 1 },
    { .nodes = 3, .pages = 1, .operators = 3 },
    { .nodes = 3, .pages = 1, .late_faults = 1, .fillers = 3 },
    { .nodes = 4, .pages = 1, .fillers = 2 },
};
#define QUICK_SHAPES 8

int main(int argc, char **argv)
{
    size_t n;

    g_test_init(&argc, &argv, NULL);
    n = g_test_slow() ? G_N_ELEMENTS(shapes) : QUICK_SHAPES;
    for (size_t i = 0; i < n; i++) {
        ModelShape *shape = g_memdup2(&shapes[i], sizeof(shapes[i]));
        g_autofree char *operators =
            g_strdup_printf("-%u-operators", shape->operators);
        g_autofree char *fillers =
            g_strdup_printf("-%u-fillers", shape->fillers);
        g_autofree char *path = g_strdup_printf(
            "/model/%u-nodes-%u-pages%s%s%s", shape->nodes, shape->pages,
            shape->late_faults ? "-late-faults" : "",
            shape->operators ? operators : "", shape->fillers ? fillers : "");

        shape->states_max = STATES_MAX;
        g_test_add_data_func_full(path, shape, test_search, g_free);
    }
    return g_test_run();
}
