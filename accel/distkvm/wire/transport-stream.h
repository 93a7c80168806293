/*
 * distkvm: frames over streams, which membership brings
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TRANSPORT_STREAM_H
#define DISTKVM_TRANSPORT_STREAM_H

#include "transport.h"

/* Streams come from cluster/lane-streams.c. */
TransportNew transport_stream_new;

#endif
