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
/* Lines of a limit that are written in a second; the rest is counted. */
#define SAY_LIMITED_PER_S 3

/* Warnings of one kind, which a peer could cause without end. */
typedef struct SayLimit {
    const char *subject;        /* of "N more SUBJECT since the line before" */
    /* The log's own, under its lock. */
    int64_t second_ns;          /* get_clock() at the first line counted    */
    unsigned written;           /* in that second                           */
    unsigned silent;            /* since the last line that was written     */
} SayLimit;

void say_info(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void say_warning(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void say_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
/* @limit is static. */
void say_limited(SayLimit *limit, const char *fmt, ...) G_GNUC_PRINTF(2, 3);
/* A peer was turned away, or left. */
void say_refusal(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

#endif
