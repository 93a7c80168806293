/*
 * distkvm: this node's lines in the log
 *
 * A write to a log may block for ever: standard error may be a pipe that
 * nobody reads, or a file on a full disk.  Threads that keep the cluster alive
 * hand their text to a thread of its own, which alone waits for the log.
 * At most SAY_LINES_MAX lines wait; more are counted, not kept.
 *
 * Any thread, any lock; never blocks.  The end of the process waits for lines
 * that are not written yet, half a second at most.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_SAY_H
#define DISTKVM_SAY_H

#define SAY_LINES_MAX 256
/* Refusals of strangers that are written in a second; the rest is counted. */
#define SAY_REFUSALS_PER_S 3

void say_info(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void say_warning(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void say_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* A peer was turned away, or left: a warning that none can repeat at will. */
void say_refusal(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

#endif
