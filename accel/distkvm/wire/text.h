/*
 * distkvm: words of peers, made fit to be shown
 *
 * Words of a peer go into lines of the log, into answers of QMP, and into
 * messages to other peers.  No terminal obeys them, they leave room for the words
 * around them, and a message that repeats them is not too long.
 *
 * Pure; any thread.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_TEXT_H
#define DISTKVM_TEXT_H

/* Bytes that are shown of the words of a peer. */
#define TEXT_PEER_MAX 200
/*
 * Bytes of a line that has such words in it.  JSON writes up to 6 bytes for
 * each: with them a message keeps to the 16 KiB of wire/rules.c.
 */
#define TEXT_LINE_MAX 2000

/*
 * @text, which a peer said, in at most TEXT_PEER_MAX bytes of UTF-8, all of
 * which can be printed; the caller's.
 */
char *text_of_peer(const char *text);
/* The same in at most TEXT_LINE_MAX bytes: a line of this node. */
char *text_line(const char *text);

#endif
