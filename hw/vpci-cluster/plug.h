/*
 * vpci-cluster: the slots of other nodes, on node 0
 *
 * Which of them have stand-ins, and which news their owners were told.
 * Main thread, BQL held.  A stand-in also goes on the thread that has the
 * guest's write to its port, or to ACPI: a vCPU's, or one that serves other
 * nodes.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef VPCI_PLUG_H
#define VPCI_PLUG_H

#include "qapi/qapi-commands-distkvm-pci.h"
#include "function.h"
#include "stand-in.h"

/* A stand-in for @f of @node was made at the start. */
void plug_early(unsigned node, const VpciFunction *f);
/* All of them were: tell their owners. */
void plug_ready(void);
/*
 * Was a device pulled out of @slot of @node of which the guest has not let go?
 * The next one is to wait, until distkvm_pci_slot_opened() is called.
 */
bool plug_is_closed(unsigned node, unsigned slot);
/*
 * NULL, or the fault in @f of @node, if its slot has taken all functions that
 * came before.  As plug_late().
 */
const char *plug_check_late(unsigned node, const VpciFunction *f);
/* Others would have no addresses, because of @why, which is static; or NULL. */
void plug_refuse_late(const char *why);
/*
 * Make one for @f of @node, with its ROM at @rom, while the guest may run, and
 * tell the owner.  NULL, or the fault in @f, which goes on after "it sent ".
 */
const char *plug_late(unsigned node, const VpciFunction *f,
                      const uint8_t *rom);
/* As vpci_lost(): those that there are live no more, and no slot opens. */
void plug_lost(unsigned node);
/* The state of @s, which is on its bus, for management. */
DistKVMPciState plug_state(const StandIn *s);

#endif
