/*
 * distkvm: a thread that waits for a page is woken where its engine runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "vcpu-affinity.h"

void keep_init(Keep *keep)
{
    memset(keep, 0, sizeof(*keep));
    keep->fd = -1;
    keep->rest_ns = KEEP_REST_NS;
}

void keep_free(Keep *keep)
{
    keep_end(keep);
    if (keep->fd >= 0) {
        close(keep->fd);
    }
    keep_init(keep);
}

void keep_end(Keep *keep)
{
    bool usual = CPU_EQUAL(&keep->had, &keep->usual);
    cpu_set_t now;

    /* What somebody else has set in between is what it shall be. */
    if (keep->tid && !sched_getaffinity(keep->tid, sizeof(now), &now) &&
        CPU_COUNT(&now) == 1 && CPU_ISSET(keep->cpu, &now)) {
        sched_setaffinity(keep->tid, sizeof(now),
                          usual ? &keep->whole : &keep->had);
    }
    keep->tid = 0;
}

bool keep_crowded(const KeepTimes *before, const KeepTimes *now)
{
    return 2 * (now->delayed_ns - before->delayed_ns) >
           now->ran_ns - before->ran_ns;
}

void keep_open(int *fd, uint32_t tid, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%u/%s", tid,
                                            name);

    if (*fd >= 0) {
        close(*fd);
    }
    *fd = open(path, O_RDONLY | O_CLOEXEC);
}

static bool read_times(Keep *keep, KeepTimes *times)
{
    char text[96], *at;
    ssize_t len = keep->fd < 0 ? -1
                               : pread(keep->fd, text, sizeof(text) - 1, 0);

    if (len <= 0) {
        return false;
    }
    text[len] = '\0';
    times->ran_ns = g_ascii_strtoll(text, &at, 10);
    times->delayed_ns = g_ascii_strtoll(at, NULL, 10);
    /* Kernels that do not count say that it never ran. */
    return times->ran_ns > 0;
}

static void rest(Keep *keep, int64_t now_ns)
{
    keep->rest_until_ns = now_ns + keep->rest_ns;
    keep->rest_ns = MIN(2 * keep->rest_ns, KEEP_REST_MAX_NS);
}

/* Whether @tid may be kept, as far as the others on its CPU go. */
static bool has_room(Keep *keep, uint32_t tid, int64_t now_ns)
{
    KeepTimes times;
    bool lately, crowded;

    if (keep->watched != tid) {
        keep_open(&keep->fd, tid, "schedstat");
        keep->watched = tid;
        keep->looked_ns = 0;
    } else if (now_ns - keep->looked_ns < KEEP_LOOK_NS) {
        return true;
    }
    if (!read_times(keep, &times)) {
        /* It has ended, perhaps; a new one may have its number. */
        keep->watched = 0;
        return false;
    }
    /* What was while it rested, or slept, says nothing. */
    lately = keep->looked_ns && now_ns - keep->looked_ns < 2 * KEEP_LOOK_NS;
    crowded = lately && keep_crowded(&keep->times, &times);
    if (lately && !crowded) {
        keep->rest_ns = KEEP_REST_NS;
    }
    keep->looked_ns = now_ns;
    keep->times = times;
    return !crowded;
}

static bool bind_to(Keep *keep, uint32_t tid, int cpu)
{
    cpu_set_t one;

    if (sched_getaffinity(tid, sizeof(keep->had), &keep->had) ||
        CPU_COUNT(&keep->had) == 1 || !CPU_ISSET(cpu, &keep->had)) {
        return false;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(tid, sizeof(one), &one)) {
        return false;
    }
    keep->tid = tid;
    keep->cpu = cpu;
    return true;
}

bool keep_near(Keep *keep, uint32_t tid, int cpu, int64_t now_ns)
{
    bool kept = keep->tid == tid && keep->cpu == cpu;

    if (now_ns < keep->rest_until_ns) {
        return false;
    }
    if (!kept) {
        keep_end(keep);
    }
    if (!has_room(keep, tid, now_ns) || (!kept && !bind_to(keep, tid, cpu))) {
        /* Nor will it be different at its next fault. */
        rest(keep, now_ns);
        return false;
    }
    keep->since_ns = now_ns;
    return true;
}
