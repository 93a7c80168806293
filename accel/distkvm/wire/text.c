/*
 * distkvm: words of peers, made fit to be shown
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "text.h"

/* Whole characters only. */
static char *printable(const char *text, gsize max)
{
    GString *shown = g_string_new(NULL);
    g_autofree char *valid = g_utf8_make_valid(text, -1);

    for (const char *at = valid; *at; at = g_utf8_next_char(at)) {
        gunichar c = g_utf8_get_char(at);
        gsize before = shown->len;

        g_string_append_unichar(shown, g_unichar_isprint(c) ? c : '?');
        if (shown->len > max) {
            g_string_truncate(shown, before);
            break;
        }
    }
    return g_string_free(shown, false);
}

char *text_of_peer(const char *text)
{
    return printable(text, TEXT_PEER_MAX);
}

char *text_line(const char *text)
{
    return printable(text, TEXT_LINE_MAX);
}
