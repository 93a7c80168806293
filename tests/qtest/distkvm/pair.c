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

/* Each node's log is in @p->dir. */
void pair_start_nodes(Pair *p, int nodes, const PairShape *shape)
{
    p->nodes = nodes;
    p->dir = g_dir_make_tmp("distkvm-XXXXXX", NULL);
    for (int n = 0; n < nodes; n++) {
        g_autofree char *log = pair_log_path(p, n);

        p->node[n] = qtest_initf(
            "-machine %s -m 64M -smp %s -nodefaults -accel distkvm,"
            "vmi=qtest,node=%d,peers=unix:%d:%s,dead-after-ms=2000%s"
            " -trace distkvm_class_b_* -trace distkvm_view"
            " -trace distkvm_memmap_* -trace distkvm_io_*"
            " -trace distkvm_irq_flush -trace distkvm_msi_held -D %s %s",
            shape->machine ?: "q35",
            shape->smp ?: nodes == 2 ? "2" : "3", n, nodes, p->dir,
            shape->accel ?: "", log,
            (n ? shape->others : shape->devices) ?: "");
        p->pid[n] = qtest_pid(p->node[n]);
    }
    for (int n = 0; n < nodes; n++) {
        pair_wait_flag(p->node[n], "formed");
    }
}

/* The map of node 0 reaches the others shortly after they have joined. */
void pair_wait_map(Pair *p)
{
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

