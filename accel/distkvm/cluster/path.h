/*
 * distkvm: the choice of a transport
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_PATH_H
#define DISTKVM_PATH_H

#include "accel/distkvm/node.h"

/*
 * transport=@text; NULL: auto.  Main thread, before there are threads that use
 * getenv(): UCX is told by the environment.  False and @errp if @text is not
 * known, or does not go with peers=.
 */
bool distkvm_config_transport(DistKVM *d, const char *text, Error **errp);
/* The word of transport= for @transport. */
const char *distkvm_transport_name(DistKVMTransport transport);
/*
 * Set up the transport that the option asks for.  Main thread; the engine runs,
 * membership not yet.  False and @errp if this host cannot give it.
 */
bool distkvm_start_transport(DistKVM *d, Error **errp);

/*
 * All nodes are known: choose.  False if no way suits them, which was said.
 * Member thread.
 */
bool path_decide(void);
/* Is the choice streams?  Member thread. */
bool path_uses_streams(void);

#endif
