/*
 * distkvm: the options of -accel distkvm
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_ACCEL_OPTIONS_H
#define DISTKVM_ACCEL_OPTIONS_H

#include "qemu/accel.h"
#include "qom/object.h"

#define TYPE_DISTKVM_ACCEL ACCEL_CLASS_NAME("distkvm")
OBJECT_DECLARE_SIMPLE_TYPE(DistKVMAccel, DISTKVM_ACCEL)

/* Of spin_us: the host's CPUs decide. */
#define SPIN_AUTO (-1)

/*
 * As they were given, or their defaults; a string without either is NULL.
 * Main thread.
 */
struct DistKVMAccel {
    AccelState parent_obj;

    char *vmi;
    char *peers;
    char *vcpus;
    char *mem;
    char *cap;
    char *cluster;
    char *tls_creds;
    char *tls_authz;
    char *transport;
    char *dma_policy;
    bool insecure;
    int64_t node;
    int64_t join_timeout_s;
    int64_t dead_after_ms;
    int64_t hold_us;
    int64_t delta_pages;
    int64_t readahead;
    bool walk_prefetch;
    int64_t spin_us;
    bool affinity;
    bool companions;
    int64_t lanes;
    int64_t clock_skew_ppm;
    bool numa, test_device;
    int64_t distance;
};

/* Give @a the defaults.  Main thread. */
void accel_options_init(DistKVMAccel *a);
/*
 * @oc, the class of DistKVMAccel, has a property for each option, which refuses
 * a value out of its range.  Main thread.
 */
void accel_options_add(ObjectClass *oc);

#endif
