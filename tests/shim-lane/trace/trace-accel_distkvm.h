/*
 * Trace events of a lane's parts: nobody listens
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef TRACE_ACCEL_DISTKVM_H
#define TRACE_ACCEL_DISTKVM_H

#define trace_distkvm_bad_frame(...) ((void)0)
#define trace_distkvm_class_b_received(...) ((void)0)
#define trace_distkvm_class_b_sent(...) ((void)0)
#define trace_distkvm_coh_step(...) ((void)0)
#define trace_distkvm_prejoin(...) ((void)0)
#define trace_distkvm_evict(...) ((void)0)
#define trace_distkvm_fault(...) ((void)0)
#define trace_distkvm_fetched(...) ((void)0)
#define trace_distkvm_late(...) ((void)0)
#define trace_distkvm_recv(...) ((void)0)
#define trace_distkvm_send(...) ((void)0)

#endif
