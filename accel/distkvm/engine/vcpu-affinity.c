/*
 * distkvm: a thread that waits for a page is woken where its engine runs
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "vcpu-affinity.h"

void vcpu_affinity_init(VcpuAffinity *vcpu)
{
    memset(vcpu, 0, sizeof(*vcpu));
    vcpu->fd = -1;
    vcpu->backoff_ns = VCPU_BACKOFF_NS;
}

void vcpu_affinity_free(VcpuAffinity *vcpu)
{
    vcpu_affinity_release(vcpu);
    if (vcpu->fd >= 0) {
        close(vcpu->fd);
    }
    vcpu_affinity_init(vcpu);
}

void vcpu_affinity_release(VcpuAffinity *vcpu)
{
    bool usual = CPU_EQUAL(&vcpu->had, &vcpu->usual);
    cpu_set_t now;

    /* If anybody has changed the affinity meanwhile, theirs wins. */
    if (vcpu->tid && !sched_getaffinity(vcpu->tid, sizeof(now), &now) &&
        CPU_COUNT(&now) == 1 && CPU_ISSET(vcpu->cpu, &now)) {
        sched_setaffinity(vcpu->tid, sizeof(now),
                          usual ? &vcpu->whole : &vcpu->had);
    }
    vcpu->tid = 0;
}

bool vcpu_affinity_is_crowded(const VcpuTimes *before, const VcpuTimes *now)
{
    return 2 * (now->delayed_ns - before->delayed_ns) >
           now->ran_ns - before->ran_ns;
}

void vcpu_affinity_open(int *fd, uint32_t tid, const char *name)
{
    g_autofree char *path = g_strdup_printf("/proc/self/task/%u/%s", tid,
                                            name);

    if (*fd >= 0) {
        close(*fd);
    }
    *fd = open(path, O_RDONLY | O_CLOEXEC);
}

static bool read_times(VcpuAffinity *vcpu, VcpuTimes *times)
{
    char text[96], *at;
    ssize_t len = vcpu->fd < 0 ? -1
                               : pread(vcpu->fd, text, sizeof(text) - 1, 0);

    if (len <= 0) {
        return false;
    }
    text[len] = '\0';
    times->ran_ns = g_ascii_strtoll(text, &at, 10);
    times->delayed_ns = g_ascii_strtoll(at, NULL, 10);
    /* Kernels that do not count say 0. */
    return times->ran_ns > 0;
}

static void back_off(VcpuAffinity *vcpu, int64_t now_ns)
{
    vcpu->backoff_until_ns = now_ns + vcpu->backoff_ns;
    vcpu->backoff_ns = MIN(2 * vcpu->backoff_ns, VCPU_BACKOFF_MAX_NS);
}

/* May @tid be bound, as far as the other threads on its CPU go? */
static bool has_room(VcpuAffinity *vcpu, uint32_t tid, int64_t now_ns)
{
    VcpuTimes times;
    bool lately, crowded;

    if (vcpu->watched != tid) {
        vcpu_affinity_open(&vcpu->fd, tid, "schedstat");
        vcpu->watched = tid;
        vcpu->looked_ns = 0;
    } else if (now_ns - vcpu->looked_ns < VCPU_LOOK_NS) {
        return true;
    }
    if (!read_times(vcpu, &times)) {
        /* It has ended, perhaps; a new one may have its number. */
        vcpu->watched = 0;
        return false;
    }
    /* Times from before a backoff, or a sleep, say nothing. */
    lately = vcpu->looked_ns && now_ns - vcpu->looked_ns < 2 * VCPU_LOOK_NS;
    crowded = lately && vcpu_affinity_is_crowded(&vcpu->times, &times);
    if (lately && !crowded) {
        vcpu->backoff_ns = VCPU_BACKOFF_NS;
    }
    vcpu->looked_ns = now_ns;
    vcpu->times = times;
    return !crowded;
}

static bool bind_to(VcpuAffinity *vcpu, uint32_t tid, int cpu)
{
    cpu_set_t one;

    if (sched_getaffinity(tid, sizeof(vcpu->had), &vcpu->had) ||
        CPU_COUNT(&vcpu->had) == 1 || !CPU_ISSET(cpu, &vcpu->had)) {
        return false;
    }
    CPU_ZERO(&one);
    CPU_SET(cpu, &one);
    if (sched_setaffinity(tid, sizeof(one), &one)) {
        return false;
    }
    vcpu->tid = tid;
    vcpu->cpu = cpu;
    return true;
}

bool vcpu_affinity_bind(VcpuAffinity *vcpu, uint32_t tid, int cpu,
                        int64_t now_ns)
{
    bool bound = vcpu->tid == tid && vcpu->cpu == cpu;

    if (now_ns < vcpu->backoff_until_ns) {
        return false;
    }
    if (!bound) {
        vcpu_affinity_release(vcpu);
    }
    if (!has_room(vcpu, tid, now_ns) || (!bound && !bind_to(vcpu, tid, cpu))) {
        /* It would be no different at its next fault. */
        back_off(vcpu, now_ns);
        return false;
    }
    vcpu->since_ns = now_ns;
    return true;
}
