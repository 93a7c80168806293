/*
 * Words of peers, made fit to be shown
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "accel/distkvm/wire/text.h"

/* Room for a message that says why, as wire/rules.c has it. */
#define MESSAGE_BYTES (16 << 10)
/* "\u0001" in JSON. */
#define ESCAPED_BYTES 6
#define OTHER_WORDS_BYTES 1000

typedef char *Shown(const char *text);

static const struct {
    Shown *fn;
    gsize max;
} shown[] = {
    { text_of_peer, TEXT_PEER_MAX },
    { text_line, TEXT_LINE_MAX },
};

static char *repeated(const char *text, gsize n)
{
    GString *all = g_string_new(NULL);

    while (n--) {
        g_string_append(all, text);
    }
    return g_string_free(all, false);
}

/* @n times @text is shown as @wanted times @as. */
static void check(unsigned i, const char *text, gsize n, const char *as,
                  gsize wanted)
{
    g_autofree char *said = repeated(text, n);
    g_autofree char *is = shown[i].fn(said);
    g_autofree char *should = repeated(as, wanted);

    g_assert_cmpstr(is, ==, should);
}

static void test_longest(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(shown); i++) {
        gsize max = shown[i].max;

        check(i, "a", 0, "a", 0);
        check(i, "a", max - 1, "a", max - 1);
        check(i, "a", max, "a", max);
        check(i, "a", max + 1, "a", max);
        check(i, "a", 1 << 20, "a", max);
        check(i, "\"", max + 1, "\"", max);
    }
}

/* No character is cut in two: the bound is none of 3. */
static void test_whole_characters(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(shown); i++) {
        g_assert_cmpint(shown[i].max % 3, !=, 0);
        check(i, "\xe2\x82\xac", shown[i].max, "\xe2\x82\xac",
              shown[i].max / 3);
        check(i, "\xc3\xa4", shown[i].max / 2, "\xc3\xa4",
              shown[i].max / 2);
        check(i, "\xc3\xa4", shown[i].max / 2 + 1, "\xc3\xa4",
              shown[i].max / 2);
    }
}

/* Neither commands of a terminal nor bytes that are no character. */
static void test_printable(void)
{
    for (unsigned i = 0; i < G_N_ELEMENTS(shown); i++) {
        check(i, "\x1b[2J\r\n", 2, "?[2J??", 2);
        check(i, "\x1b", shown[i].max + 1, "?", shown[i].max);
        check(i, "a\xff", 2, "a\xef\xbf\xbd", 2);
    }
}

static void test_fits_a_message(void)
{
    g_assert_cmpint(TEXT_LINE_MAX * ESCAPED_BYTES + OTHER_WORDS_BYTES, <,
                    MESSAGE_BYTES);
    g_assert_cmpint(TEXT_PEER_MAX + OTHER_WORDS_BYTES, <, TEXT_LINE_MAX);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/text/longest", test_longest);
    g_test_add_func("/text/whole-characters", test_whole_characters);
    g_test_add_func("/text/printable", test_printable);
    g_test_add_func("/text/fits-a-message", test_fits_a_message);
    return g_test_run();
}
