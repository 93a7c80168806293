/*
 * More sharers make a write to their page little dearer
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "sim.h"

#define SEEDS 3
#define SHARERS_MANY 7
/* Times the cost with one other sharer. */
#define RATIO_MAX 1.5

static double upgrade_us(const SimConfig *model, unsigned sharers,
                         SimHomeRole role)
{
    SimConfig c = *model;
    double us = 0;

    for (c.seed = 1; c.seed <= SEEDS; c.seed++) {
        SimResult r = sim_upgrades(&c, sharers, role);

        g_assert_cmpstr(r.violation, ==, NULL);
        us += sim_write_us(&r) / SEEDS;
    }
    return us;
}

/*
 * If the home is the only other sharer, nothing is invalidated over the
 * network, so that is no measure of the other sharers' cost.
 */
static SimHomeRole compared_with(SimHomeRole role)
{
    return role == SIM_HOME_SHARES ? SIM_HOME_ELSEWHERE : role;
}

static double ratio(const SimConfig *model, SimHomeRole role)
{
    return upgrade_us(model, SHARERS_MANY, role) /
           upgrade_us(model, 1, compared_with(role));
}

static void test_cost(void)
{
    SimConfig c;

    sim_defaults(&c);
    for (unsigned role = 0; role < SIM_HOME__MAX; role++) {
        double times = ratio(&c, role);

        g_test_message("%d sharers, %s: %.2f times one sharer, %s",
                       SHARERS_MANY, sim_home_role_name(role), times,
                       sim_home_role_name(compared_with(role)));
        g_assert_cmpfloat(times, <=, RATIO_MAX);
    }
}

/*
 * A bug planted for test_cost() to find: an invalidation leaves only when the
 * one before has been acknowledged.
 */
static void test_one_by_one(void)
{
    SimConfig c;

    sim_defaults(&c);
    c.apart_ns = 2 * (c.wire_ns + c.handle_ns);
    for (unsigned role = 0; role < SIM_HOME__MAX; role++) {
        g_assert_cmpfloat(ratio(&c, role), >, RATIO_MAX);
    }
}

/* A seed decides everything, and another one something else. */
static void test_same_again(void)
{
    SimConfig c;
    SimResult first, again;

    sim_defaults(&c);
    first = sim_upgrades(&c, SHARERS_MANY, SIM_HOME_ELSEWHERE);
    again = sim_upgrades(&c, SHARERS_MANY, SIM_HOME_ELSEWHERE);
    g_assert_cmpint(first.write_ns, ==, again.write_ns);
    g_assert_cmpint(first.events, ==, again.events);
    c.seed++;
    again = sim_upgrades(&c, SHARERS_MANY, SIM_HOME_ELSEWHERE);
    g_assert_cmpint(first.write_ns, !=, again.write_ns);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/upgrades/cost", test_cost);
    g_test_add_func("/upgrades/one-by-one", test_one_by_one);
    g_test_add_func("/upgrades/same-again", test_same_again);
    return g_test_run();
}
