/*
 * distkvm: the guest's time stamp counter
 *
 * Crystals of two hosts differ, and KVM has no way to bend a counter's rate by
 * parts per million.  So five times a second every vCPU's counter is compared
 * with guest time: one that is behind is set forwards; one that is ahead takes
 * guest time along.  Between two corrections counters of different hosts drift
 * apart by less than a page takes to travel (docs/limits.rst).
 * Spec: docs/architecture.rst, "Time".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qapi/error.h"
#include "cpu.h"
#include "hw/core/cpu.h"
#include "qemu/error-report.h"
#include "qemu/host-utils.h"
#include "qemu/main-loop.h"
#include "qemu/timer.h"
#include "system/kvm.h"
#include "system/runstate.h"
#include "accel/distkvm/clock.h"
#include "accel/distkvm/node.h"
#include "accel/distkvm/trace.h"
#include "kvm-tsc.h"
#include "tsc.h"

/* Where no processor counts. */
#define TCG_KHZ 1000000
#define PERIOD_MS 200
/* A counter that is behind by less is left alone: setting it costs more. */
#define LAG_MIN_NS 1000
/* A comparison that took no longer is good enough; how often to try. */
#define LOOK_NS 5000
#define LOOKS_MAX 5
/* A counter that is this far off is not counting guest time at all. */
#define UNRULY_MS 1000

static struct {
    uint32_t khz_of[COH_NODES_MAX];     /* 0: any; member thread, then const */
    uint32_t khz;
    bool unruly;                        /* atomic: counters do as they like */
    QEMUTimer *timer;
} tsc = { .khz = TCG_KHZ };

static CPUState *first_local(void)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (distkvm_cpu_is_local(cpu)) {
            return cpu;
        }
    }
    return NULL;
}

static bool counts_here(void)
{
    return kvm_enabled() && first_local();
}

int64_t vmi_tsc_ticks(void)
{
    return muldiv64(cluster_clock_ns(), tsc.khz, TCG_KHZ);
}

/* ------------------------------------------------------------ frequency */

void vmi_tsc_hello(QDict *hello)
{
    uint32_t khz = counts_here() ? cpu_env(first_local())->tsc_khz : 0;

    tsc.khz_of[distkvm->id] = khz;
    qdict_put_int(hello, "tsc-khz", khz);
    qdict_put_bool(hello, "tsc-scaling",
                   counts_here() &&
                   kvm_check_extension(kvm_state, KVM_CAP_TSC_CONTROL));
}

void vmi_tsc_peer(CohNodeId node, uint32_t khz)
{
    tsc.khz_of[node] = khz;
}

/* ------------------------------------------------------------- counting */

static int64_t ticks_of(int64_t ns)
{
    return muldiv64(ns, tsc.khz, TCG_KHZ);
}

static bool is_unruly(int64_t lag)
{
    return llabs(lag) > (int64_t)tsc.khz * UNRULY_MS;
}

/* A comparison of the counter with guest time, during which took_ns passed. */
typedef struct Look {
    int64_t lag;                /* ticks that the counter is behind */
    int64_t took_ns;
} Look;

/* The quickest of a few: a look that is held up sees a lag. */
static bool look(CPUState *cpu, Look *best)
{
    *best = (Look) { .took_ns = INT64_MAX };
    for (int i = 0; i < LOOKS_MAX && best->took_ns > LOOK_NS; i++) {
        int64_t before = cluster_clock_ns();
        uint64_t value;
        int64_t took;

        if (vmi_kvm_tsc_read(cpu, &value) < 0) {
            return false;
        }
        took = cluster_clock_ns() - before;
        if (took < best->took_ns) {
            best->took_ns = took;
            best->lag = ticks_of(before + took / 2) - (int64_t)value;
        }
    }
    return true;
}

static void give_up(CPUState *cpu)
{
    qatomic_set(&tsc.unruly, true);
    if (cpu_env(cpu)->features[FEAT_8000_0007_EDX] & CPUID_APM_INVTSC) {
        warn_report_once("distkvm: the TSC of vCPU %d cannot be kept to guest"
                         " time, but the guest relies on it: start all nodes"
                         " with -cpu MODEL,invtsc=off", cpu->cpu_index);
    }
}

/* The guest does not run: the counter may go back. */
static void set_exactly(CPUState *cpu, run_on_cpu_data unused)
{
    Look l;

    if (!look(cpu, &l) || vmi_kvm_tsc_shift(cpu, l.lag) < 0 ||
        !look(cpu, &l) || is_unruly(l.lag)) {
        give_up(cpu);
    }
}

static void correct(CPUState *cpu, run_on_cpu_data unused)
{
    Look l;

    if (qatomic_read(&tsc.unruly) || !look(cpu, &l)) {
        return;
    }
    trace_distkvm_tsc_lag(cpu->cpu_index, l.lag, l.took_ns);
    if (is_unruly(l.lag)) {
        /* The guest has set it itself, or the host has: not ours any more. */
        give_up(cpu);
    } else if (llabs(l.lag) <= ticks_of(MAX(l.took_ns, LAG_MIN_NS))) {
        /* No more than the comparison itself may be wrong by. */
        return;
    } else if (l.lag > 0) {
        vmi_kvm_tsc_shift(cpu, l.lag);
    } else {
        cluster_clock_advance(cluster_clock_ns() +
                              (int64_t)muldiv64(-l.lag, TCG_KHZ, tsc.khz));
    }
}

static void for_local_cpus(bool exactly)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        if (!distkvm_cpu_is_local(cpu)) {
            continue;
        }
        if (exactly) {
            run_on_cpu(cpu, set_exactly, RUN_ON_CPU_NULL);
        } else {
            async_run_on_cpu(cpu, correct, RUN_ON_CPU_NULL);
        }
    }
}

static void on_timer(void *unused)
{
    if (runstate_is_running() && !qatomic_read(&tsc.unruly) &&
        !qatomic_read(&distkvm->failed)) {
        for_local_cpus(false);
    }
    timer_mod(tsc.timer, qemu_clock_get_ms(QEMU_CLOCK_REALTIME) + PERIOD_MS);
}

void vmi_tsc_after_reset(CPUState *cpu)
{
    /* The first reset comes before the clock runs. */
    if (tsc.timer) {
        run_on_cpu(cpu, set_exactly, RUN_ON_CPU_NULL);
    }
}

/* Before vCPUs are resumed: none sees the counter go back. */
static void vm_state_changed(void *unused, bool running, RunState state)
{
    if (running) {
        for_local_cpus(true);
    }
}

static bool set_frequency(Error **errp)
{
    CPUState *cpu;

    CPU_FOREACH(cpu) {
        uint32_t khz = cpu_env(cpu)->tsc_khz;

        if (!distkvm_cpu_is_local(cpu) || vmi_tsc_equal(khz, tsc.khz)) {
            continue;
        }
        if (vmi_kvm_tsc_scale(cpu, tsc.khz) < 0) {
            error_setg(errp, "distkvm: the TSC of vCPU %d cannot be set to %u"
                       " kHz", cpu->cpu_index, tsc.khz);
            return false;
        }
        cpu_env(cpu)->tsc_khz = tsc.khz;
    }
    return true;
}

bool vmi_tsc_start(Error **errp)
{
    CohNodeSet members = distkvm_members();
    CohNodeId n;

    COH_SET_FOREACH(n, &members) {
        if (tsc.khz_of[n]) {
            tsc.khz = tsc.khz_of[n];
            break;
        }
    }
    if (!counts_here()) {
        return true;
    }
    if (!set_frequency(errp)) {
        return false;
    }
    qemu_add_vm_change_state_handler(vm_state_changed, NULL);
    tsc.timer = timer_new_ms(QEMU_CLOCK_REALTIME, on_timer, NULL);
    on_timer(NULL);
    return true;
}
