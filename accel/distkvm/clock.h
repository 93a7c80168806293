/*
 * distkvm: one guest time on all nodes
 *
 * Guest time runs on every node at the rate of node 0 and is corrected
 * forwards only.  Every frame carries the sender's guest time, and no
 * receiver lets the guest see the frame's effect before its own clock has
 * reached it (Lamport 1978): so no vCPU sees time before what another handed
 * to it, at any drift of the hosts' crystals.  Any thread; readers take no
 * lock.
 * Spec: docs/architecture.rst, "Time".
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_CLOCK_H
#define DISTKVM_CLOCK_H

/*
 * Main thread, once, before all others.  Test hook: this node's crystal is
 * @skew_ppm fast, from -1000 to 1000.
 */
void cluster_clock_init(int skew_ppm);

/* The host's monotonic time in ns, as skewed by the test hook. */
int64_t cluster_clock_host_ns(void);

/* Guest time in ns; stands still while the guest is stopped. */
int64_t cluster_clock_ns(void);

/*
 * Guest time is at least @ns: a peer has seen that much.  Guest time goes with
 * host time.  The sum of all leaps ahead of it, which peers cause, is bounded
 * by the limit below and a few parts per thousand of the time passed; a leap
 * beyond that is not made.
 */
void cluster_clock_observe(int64_t ns);
/* The same for a time that this host's processors have seen; no bound. */
void cluster_clock_advance(int64_t ns);
/*
 * Can an honest peer's clock show @ns?  It may itself have been moved as far
 * ahead as the limit allows, so this is twice as patient.
 */
bool cluster_clock_may_be(int64_t ns);
/* How far a node may be ahead that was stopped and not yet given up. */
void cluster_clock_limit(int64_t leap_ns);

/*
 * The host's time in ns since its boot, also while it was suspended, unlike
 * get_clock().  Time that peers count passes during a suspension, too.
 */
int64_t host_boottime_ns(void);
/*
 * CPU time of thread @tid of this process in ns; 0 if there is none.  As
 * pthread_getcpuclockid() has it, but by the number that the kernel knows.
 */
int64_t host_thread_ns(uint32_t tid);

/* Stop guest time and return where it stands. */
int64_t cluster_clock_freeze(void);
/* Let guest time run from @ns, which the cluster agreed on. */
void cluster_clock_start(int64_t ns);

/*
 * Node 0 read @reference_ns between our sending at @sent_host_ns and our
 * receiving at @received_host_ns.  Followers only.
 */
void cluster_clock_sample(int64_t sent_host_ns, int64_t reference_ns,
                          int64_t received_host_ns);

/*
 * Rate against this host's crystal in parts per billion, and the last known
 * difference to node 0 in ns; for display.
 */
void cluster_clock_quality(int64_t *rate_ppb, int64_t *offset_ns);

#endif
