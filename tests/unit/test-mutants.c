/*
 * Does the model checker notice?  Bugs planted by hand, and every mechanical
 * mutation of every row of the tables, each searched in a process of its own.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <sys/wait.h>
#include <unistd.h>
#include "model.h"

/* The unmutated tables stay below. */
#define STATES_MAX 400000
#define PEER(st, ev) (&coh_peer_table[COH_PEER_##st][COH_PEV_##ev])
#define HOME(st, ev) (&coh_home_table[COH_HOME_##st][COH_HEV_##ev])

typedef struct PlantRow {
    CohRow *row;
    uint8_t next;
    uint8_t acts[COH_ROW_ACTS_MAX];
} PlantRow;

typedef struct Plant {
    const char *name;
    PlantRow row[2];
} Plant;

static const Plant plants[] = {
    { "an invalidation is not acknowledged", {
        { PEER(S, INV), COH_PEER_I, { COH_ACT_ZAP } },
    } },
    { "an invalidation is acknowledged before the copy is gone", {
        { PEER(S, INV), COH_PEER_I, { COH_ACT_SEND_ACK, COH_ACT_ZAP } },
    } },
    { "an invalidation is acknowledged and forgotten", {
        { PEER(S, INV), COH_PEER_I, { COH_ACT_SEND_ACK } },
    } },
    { "an upgrade is granted before the last invalidation", {
        { PEER(SM_AD, GRANT), COH_PEER_XM_I, { COH_ACT_UNPROTECT } },
    } },
    { "a page becomes writable before the last acknowledgement", {
        { PEER(IM_AD, DATA_M), COH_PEER_XM_I, { COH_ACT_INSTALL_RW } },
    } },
    { "a page is sent away while it can still be written", {
        { PEER(M, FWD_GETM), COH_PEER_I,
          { COH_ACT_COPY, COH_ACT_ZAP, COH_ACT_SEND_DATA_M } },
    } },
    { "a page is sent away before it is gone", {
        { PEER(M, FWD_GETM), COH_PEER_I,
          { COH_ACT_PROTECT, COH_ACT_COPY, COH_ACT_SEND_DATA_M, COH_ACT_ZAP } },
    } },
    { "the owner stays owner while others read", {
        { PEER(M, FWD_GETS), COH_PEER_M,
          { COH_ACT_COPY, COH_ACT_SEND_DATA_S } },
    } },
    { "a reader that supplies loses its copy, unrecorded", {
        { PEER(S, FWD_GETS), COH_PEER_I,
          { COH_ACT_COPY, COH_ACT_ZAP, COH_ACT_SEND_DATA_S } },
    } },
    { "an untouched page is shared, but writable", {
        { HOME(U, GETS), COH_HOME_S_B, { COH_ACT_SEND_ZERO } },
    } },
    { "a copy that is only to be read is installed writable", {
        { PEER(IS_D, DATA_S), COH_PEER_XS_I, { COH_ACT_INSTALL_RW } },
    } },
    { "an invalidation overtakes an installation", {
        { HOME(S, GETS), COH_HOME_S, { COH_ACT_FWD_GETS } },
        { PEER(XS_I, INV), COH_PEER_I, { COH_ACT_SEND_ACK } },
    } },
    { "a late copy is installed after its acknowledgement", {
        { PEER(IS_D, DATA_S), COH_PEER_XS_I,
          { COH_ACT_SEND_DONE, COH_ACT_INSTALL_RO } },
        { PEER(XS_I, INV), COH_PEER_XS_I, { COH_ACT_SEND_ACK } },
    } },
    { "the home does not wait for DONE", {
        { HOME(S, GETM), COH_HOME_M, { COH_ACT_FWD_GETM_INV } },
    } },
    { "a full home refuses a write-back: the last copy is dropped", {
        { HOME(M, PUT_LAST), COH_HOME_S_B, { COH_ACT_SEND_DROP } },
        { PEER(M, DROP), COH_PEER_I, { COH_ACT_ZAP, COH_ACT_SEND_DONE } },
    } },
    { "the last reader drops its copy", {
        { HOME(S, PUT_LAST), COH_HOME_S_B, { COH_ACT_SEND_DROP } },
    } },
    { "a dropped copy stays readable", {
        { PEER(S, DROP), COH_PEER_I, { COH_ACT_SEND_DONE } },
    } },
    { "an upgrade goes on as if its copy had not been taken", {
        { PEER(SM_AD, INV), COH_PEER_SM_AD,
          { COH_ACT_ZAP, COH_ACT_SEND_ACK } },
    } },
    { "the owner operates on a word, but the home does not wait", {
        { HOME(M, GETV), COH_HOME_M, { COH_ACT_FWD_GETV } },
    } },
    { "a word is operated on where many have it", {
        { HOME(S, GETV), COH_HOME_S_B, { COH_ACT_FWD_GETS } },
    } },
    { "the owner answers before it has operated", {
        { PEER(M, FWD_GETV), COH_PEER_M,
          { COH_ACT_SEND_VALUE, COH_ACT_SEND_DONE, COH_ACT_OPERATE } },
    } },
    { "the owner of a page that is filled keeps it", {
        { PEER(M, INV), COH_PEER_M, { COH_ACT_SEND_ACK } },
    } },
    { "the owner of a page that is filled can read it for a while", {
        { PEER(M, INV), COH_PEER_I, { COH_ACT_SEND_ACK, COH_ACT_ZAP } },
    } },
    { "a page is filled as soon as its home says so", {
        { PEER(IF_AD, GRANT), COH_PEER_XM_I, { COH_ACT_INSTALL_KEPT } },
    } },
    { "a page is filled before it is granted", {
        { PEER(IF_AD, ACK), COH_PEER_XM_I, { COH_ACT_INSTALL_KEPT } },
    } },
    { "an untouched page is not filled, but zero", {
        { PEER(IF_AD, ZERO), COH_PEER_XM_I, { COH_ACT_INSTALL_ZERO } },
    } },
    { "a page is filled where others read it", {
        { HOME(S, GETO), COH_HOME_M_B, { COH_ACT_SEND_ZERO } },
    } },
    { "a page's owner is not told that it is filled", {
        { HOME(M, GETO), COH_HOME_M_B, { COH_ACT_SEND_ZERO } },
    } },
    { "a page's bytes come where they are not wanted", {
        { HOME(M, GETO), COH_HOME_M_B, { COH_ACT_FWD_GETM_INV } },
    } },
    { "a busy home lets a page be filled", {
        { HOME(M_B, GETO), COH_HOME_M_B, { COH_ACT_INV_GRANT } },
    } },
    { "whoever waits for a page is not woken", {
        { PEER(XS_I, INSTALLED), COH_PEER_S, { COH_ACT_SEND_DONE } },
    } },
};

/* Mutants that must survive, and why each is no bug. */
static const struct {
    const char *mutant, *because;
} harmless[] = {
    { "peer S + EVICT without SEND_PUT",
      "an eviction is a wish; that it helps is for the engine's tests" },
    { "peer M + EVICT without SEND_PUT", "as above" },
    { "home S + PUT_LAST without ADOPT", "as above" },
    { "peer SM_AD + LOAD without WAKE",
      "the upgrade wakes it too, only later" },
    { "peer SM_A + LOAD without WAKE", "as above" },
    { "home M + PUT_LAST without ADOPT", "as above" },
    { "peer M + FWD_GETV: SEND_DONE before SEND_VALUE",
      "the value is known; where the page goes next does not matter to it" },
};

/* Shapes that find most, and take least time to, go first. */
static const ModelShape shapes[] = {
    { .nodes = 2, .pages = 1, .late_faults = 1, .operators = 1, .fillers = 2,
      .states_max = STATES_MAX },
    { .nodes = 2, .pages = 1, .late_faults = 2, .states_max = STATES_MAX },
    { .nodes = 2, .pages = 1, .operators = 2, .states_max = STATES_MAX },
    { .nodes = 3, .pages = 1, .states_max = STATES_MAX },
    { .nodes = 3, .pages = 1, .fillers = 2, .states_max = STATES_MAX },
    { .nodes = 3, .pages = 1, .operators = 1, .states_max = STATES_MAX },
    /* Two acknowledgements after the data: a supplier and two others. */
    { .nodes = 4, .pages = 1, .states_max = STATES_MAX },
};

/* Search in a child: a mutant may crash. */
static bool is_found(void)
{
    pid_t child = fork();
    int status;

    if (!child) {
        for (size_t i = 0; i < G_N_ELEMENTS(shapes); i++) {
            if (model_search(&shapes[i]).violation) {
                _exit(1);
            }
        }
        _exit(0);
    }
    g_assert_cmpint(waitpid(child, &status, 0), ==, child);
    return !WIFEXITED(status) || WEXITSTATUS(status);
}

static void test_planted(gconstpointer opaque)
{
    const Plant *plant = opaque;
    CohRow saved[G_N_ELEMENTS(plant->row)];
    bool found;

    for (size_t i = 0; i < G_N_ELEMENTS(plant->row); i++) {
        const PlantRow *r = &plant->row[i];

        if (r->row) {
            saved[i] = *r->row;
            r->row->kind = COH_ROW_STEP;
            r->row->next = r->next;
            memcpy(r->row->acts, r->acts, sizeof(r->acts));
        }
    }
    found = is_found();
    for (size_t i = 0; i < G_N_ELEMENTS(plant->row); i++) {
        if (plant->row[i].row) {
            *plant->row[i].row = saved[i];
        }
    }
    g_assert_true(found);
}

static void test_none(void)
{
    g_assert_false(is_found());
}

typedef struct Mutation {
    unsigned tried, survived;
    GHashTable *unexplained;
} Mutation;

static bool is_harmless(const char *name)
{
    for (size_t i = 0; i < G_N_ELEMENTS(harmless); i++) {
        if (!strcmp(harmless[i].mutant, name)) {
            return true;
        }
    }
    return false;
}

static void try_mutant(Mutation *m, char *name)
{
    m->tried++;
    if (!is_found()) {
        m->survived++;
        if (!is_harmless(name)) {
            g_hash_table_add(m->unexplained, g_strdup(name));
        }
    }
    g_free(name);
}

static void mutate_row(Mutation *m, CohRow *row, const char *cell,
                       unsigned states, const char *(*state_name)(unsigned))
{
    CohRow saved = *row;

    for (int i = 0; i < COH_ROW_ACTS_MAX && saved.acts[i]; i++) {
        /* Without one action: the later ones move up. */
        memmove(&row->acts[i], &saved.acts[i + 1],
                COH_ROW_ACTS_MAX - i - 1);
        row->acts[COH_ROW_ACTS_MAX - 1] = COH_ACT_NONE;
        try_mutant(m, g_strdup_printf("%s without %s", cell,
                                      coh_act_name(saved.acts[i])));
        *row = saved;
        if (i && saved.acts[i - 1] != saved.acts[i]) {
            row->acts[i - 1] = saved.acts[i];
            row->acts[i] = saved.acts[i - 1];
            try_mutant(m, g_strdup_printf("%s: %s before %s", cell,
                                          coh_act_name(saved.acts[i]),
                                          coh_act_name(saved.acts[i - 1])));
            *row = saved;
        }
    }
    for (unsigned next = 0; next < states; next++) {
        if (next != saved.next) {
            row->next = next;
            try_mutant(m, g_strdup_printf("%s goes to %s", cell,
                                          state_name(next)));
            *row = saved;
        }
    }
}

static void mutate_peer(Mutation *m)
{
    for (unsigned s = 0; s < COH_PEER__MAX; s++) {
        for (unsigned e = 0; e < COH_PEV__MAX; e++) {
            g_autofree char *cell =
                g_strdup_printf("peer %s + %s", coh_peer_state_name(s),
                                coh_peer_event_name(e));

            if (coh_peer_table[s][e].kind == COH_ROW_STEP) {
                mutate_row(m, &coh_peer_table[s][e], cell, COH_PEER__MAX,
                           coh_peer_state_name);
            }
        }
    }
}

static void mutate_home(Mutation *m)
{
    for (unsigned s = 0; s < COH_HOME__MAX; s++) {
        for (unsigned e = 0; e < COH_HEV__MAX; e++) {
            g_autofree char *cell =
                g_strdup_printf("home %s + %s", coh_home_state_name(s),
                                coh_home_event_name(e));

            if (coh_home_table[s][e].kind == COH_ROW_STEP) {
                mutate_row(m, &coh_home_table[s][e], cell, COH_HOME__MAX,
                           coh_home_state_name);
            }
        }
    }
}

static void test_mechanical(gconstpointer opaque)
{
    void (*mutate)(Mutation *) = opaque;
    Mutation m = {
        .unexplained = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                             NULL),
    };
    GHashTableIter iter;
    gpointer name;

    mutate(&m);
    g_test_message("%u mutants, %u survive", m.tried, m.survived);
    g_hash_table_iter_init(&iter, m.unexplained);
    while (g_hash_table_iter_next(&iter, &name, NULL)) {
        g_test_message("unexplained: %s", (char *)name);
        g_test_fail();
    }
    g_assert_cmpint(m.tried, >, 50);
    g_hash_table_unref(m.unexplained);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/mutants/none", test_none);
    for (size_t i = 0; i < G_N_ELEMENTS(plants); i++) {
        g_autofree char *path = g_strdup_printf("/mutants/%s",
                                                plants[i].name);

        g_test_add_data_func(path, &plants[i], test_planted);
    }
    g_test_add_data_func("/mutants/every-peer-row", mutate_peer,
                         test_mechanical);
    g_test_add_data_func("/mutants/every-home-row", mutate_home,
                         test_mechanical);
    return g_test_run();
}
