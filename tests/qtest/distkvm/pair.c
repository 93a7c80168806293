/*
 * distkvm: nodes that execute no guest code, driven from outside
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "pair.h"

QDict *pair_query(QTestState *s)
{
    QDict *answer = qtest_qmp(s, "{ 'execute': 'query-distkvm' }");
    QDict *info = qdict_get_qdict(answer, "return");

    g_assert_nonnull(info);
    qobject_ref(info);
    qobject_unref(answer);
    return info;
}

bool pair_flag(QTestState *s, const char *name)
{
    g_autoptr(QDict) info = pair_query(s);

    return qdict_get_bool(info, name);
}

int64_t pair_counter(QTestState *s, const char *name)
{
    g_autoptr(QDict) info = pair_query(s);

    return qdict_get_int(qdict_get_qdict(info, "memory"), name);
}

void pair_wait_flag(QTestState *s, const char *name)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;

    while (!pair_flag(s, name)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(20 * 1000);
    }
}

char *pair_log_path(const Pair *p, int n)
{
    return g_strdup_printf("%s/node-%d.log", p->dir, n);
}

bool pair_has_arrived(const Pair *p, int node, int cpu, uint8_t vector)
{
    g_autofree char *command = g_strdup_printf("info lapic %d", cpu);
    g_autofree char *text = qtest_hmp(p->node[node], "%s", command);
    g_autofree char *wanted = g_strdup_printf(" %d", vector);
    const char *irr = strstr(text, "IRR\t");
    g_autofree char *line = irr ? g_strndup(irr, strcspn(irr, "\n")) : NULL;
    const char *at = line;

    while (at && (at = strstr(at, wanted))) {
        at += strlen(wanted);
        if (!g_ascii_isdigit(*at)) {
            return true;
        }
    }
    return false;
}

void pair_wait_arrived(const Pair *p, int node, int cpu, uint8_t vector)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;

    while (!pair_has_arrived(p, node, cpu, vector)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
    }
}

/* Each node's log is in @p->dir. */
void pair_start_nodes(Pair *p, int nodes, const PairShape *shape)
{
    p->nodes = nodes;
    p->dir = g_dir_make_tmp("distkvm-XXXXXX", NULL);
    for (int n = 0; n < nodes; n++) {
        g_autofree char *log = pair_log_path(p, n);

        p->node[n] = qtest_initf(
            "-machine %s -m 64M -smp %s -nodefaults -accel distkvm,"
            "vmi=qtest,node=%d,peers=unix:%d:%s,dead-after-ms=%d%s"
            " -trace distkvm_class_b_* -trace distkvm_view"
            " -trace distkvm_memmap_* -trace distkvm_io_*"
            " -trace distkvm_irq_flush -trace distkvm_msi_held -D %s %s",
            shape->machine ?: "q35",
            shape->smp ?: nodes == 2 ? "2" : "3", n, nodes, p->dir,
            shape->dead_after_ms ?: 2000, shape->accel ?: "", log,
            (n ? shape->others : shape->devices) ?: "");
        p->pid[n] = qtest_pid(p->node[n]);
    }
    for (int n = 0; n < nodes; n++) {
        pair_wait_flag(p->node[n], "formed");
    }
}

static bool is_running(QTestState *s)
{
    QDict *answer = qtest_qmp(s, "{ 'execute': 'query-status' }");
    bool running = qdict_get_bool(qdict_get_qdict(answer, "return"), "running");

    qobject_unref(answer);
    return running;
}

/*
 * Node 0 runs once all nodes have told of their PCI functions, and another
 * node once it has heard that these are accepted.  Node 0's map reaches the
 * others shortly after they have joined, which may be earlier.
 */
void pair_wait_map(Pair *p)
{
    gint64 until = g_get_monotonic_time() + WAIT_US;

    for (int n = 0; n < p->nodes; n++) {
        while (!is_running(p->node[n])) {
            g_assert_cmpint(g_get_monotonic_time(), <, until);
            g_usleep(1000);
        }
    }
    for (int n = 1; n < p->nodes; n++) {
        gint64 end = g_get_monotonic_time() + WAIT_US;
        uint32_t value = 0;

        do {
            g_assert_cmpint(g_get_monotonic_time(), <, end);
            g_usleep(value ? 20 * 1000 : 0);
            qtest_writel(p->node[0], PAGE_OF_NODE_0, ++value);
        } while (qtest_readl(p->node[n], PAGE_OF_NODE_0) != value);
    }
}

void pair_start(Pair *p)
{
    pair_start_nodes(p, 2, &(PairShape) { 0 });
    pair_wait_map(p);
}

void pair_remove_sockets(Pair *p)
{
    for (int n = 0; n < p->nodes; n++) {
        g_autofree char *path = g_strdup_printf("%s/node-%d.sock", p->dir, n);
        g_autofree char *log = pair_log_path(p, n);

        unlink(path);
        unlink(log);
    }
    rmdir(p->dir);
    g_free(p->dir);
}

void pair_end(Pair *p)
{
    for (int n = p->nodes; n-- > 0; ) {
        qtest_quit(p->node[n]);
    }
    pair_remove_sockets(p);
}

