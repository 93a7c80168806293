/*
 * distkvm: this node's lines in the log
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/error-report.h"
#include "qemu/lockable.h"
#include "qemu/thread.h"
#include "qemu/timer.h"
#include "say.h"

#define AT_EXIT_MS 500
/* Terminals and logs need no longer line; text of peers is cut before. */
#define LINE_BYTES_MAX 2048

typedef enum SayKind {
    SAY_INFO,
    SAY_WARNING,
    SAY_ERROR,
} SayKind;

typedef struct SayLine {
    SayKind kind;
    char *text;
} SayLine;

static struct {
    QemuMutex lock;
    QemuCond changed;
    GQueue lines;               /* SayLine; under lock */
    bool writing;               /* under lock: a line is on its way */
    bool started;               /* under lock */
    unsigned dropped;           /* under lock */
} say;

static void __attribute__((constructor)) say_construct(void)
{
    qemu_mutex_init(&say.lock);
    qemu_cond_init(&say.changed);
    g_queue_init(&say.lines);
}

static void write_line(const SayLine *line)
{
    switch (line->kind) {
    case SAY_INFO:
        info_report("%s", line->text);
        break;
    case SAY_WARNING:
        warn_report("%s", line->text);
        break;
    case SAY_ERROR:
        error_report("%s", line->text);
        break;
    }
}

static SayLine *line_new(SayKind kind, char *text)
{
    SayLine *line = g_new(SayLine, 1);

    if (strlen(text) > LINE_BYTES_MAX) {
        text[LINE_BYTES_MAX] = '\0';
    }
    line->kind = kind;
    line->text = text;
    return line;
}

static void line_free(SayLine *line)
{
    g_free(line->text);
    g_free(line);
}

/* The next line, waited for; with a count of those that found no room. */
static SayLine *take_line(void)
{
    SayLine *line;

    QEMU_LOCK_GUARD(&say.lock);
    say.writing = false;
    qemu_cond_broadcast(&say.changed);
    while (g_queue_is_empty(&say.lines) && !say.dropped) {
        qemu_cond_wait(&say.changed, &say.lock);
    }
    say.writing = true;
    line = g_queue_pop_head(&say.lines);
    if (!line) {
        line = line_new(SAY_WARNING, g_strdup_printf(
            "distkvm: %u lines found no room in this log", say.dropped));
        say.dropped = 0;
    }
    return line;
}

static void *say_thread(void *unused)
{
    for (;;) {
        SayLine *line = take_line();

        write_line(line);
        line_free(line);
    }
    return NULL;
}

static void say_at_exit(void)
{
    int64_t end = get_clock() + AT_EXIT_MS * SCALE_MS;

    QEMU_LOCK_GUARD(&say.lock);
    while (!g_queue_is_empty(&say.lines) || say.writing) {
        int64_t left = (end - get_clock()) / SCALE_MS;

        if (left <= 0 ||
            !qemu_cond_timedwait(&say.changed, &say.lock, left)) {
            break;
        }
    }
}

static void start_locked(void)
{
    QemuThread thread;

    say.started = true;
    atexit(say_at_exit);
    qemu_thread_create(&thread, "distkvm-log", say_thread, NULL,
                       QEMU_THREAD_DETACHED);
}

static void say_locked(SayKind kind, char *text)
{
    SayLine *line = line_new(kind, text);

    if (!say.started) {
        start_locked();
    }
    if (g_queue_get_length(&say.lines) < SAY_LINES_MAX) {
        g_queue_push_tail(&say.lines, line);
    } else {
        say.dropped++;
        line_free(line);
    }
    qemu_cond_broadcast(&say.changed);
}

#define SAY(kind) \
    do { \
        va_list ap; \
        char *text; \
        va_start(ap, fmt); \
        text = g_strdup_vprintf(fmt, ap); \
        va_end(ap); \
        QEMU_LOCK_GUARD(&say.lock); \
        say_locked(kind, text); \
    } while (0)

void say_info(const char *fmt, ...)
{
    SAY(SAY_INFO);
}

void say_warning(const char *fmt, ...)
{
    SAY(SAY_WARNING);
}

void say_error(const char *fmt, ...)
{
    SAY(SAY_ERROR);
}

/* May one more line be written now?  @silent: those that were not. */
static bool may_say_locked(SayLimit *limit, unsigned *silent)
{
    int64_t now = get_clock();

    if (now - limit->second_ns >= NANOSECONDS_PER_SECOND) {
        limit->second_ns = now;
        limit->written = 0;
    }
    if (limit->written >= SAY_LIMITED_PER_S) {
        limit->silent++;
        return false;
    }
    limit->written++;
    *silent = limit->silent;
    limit->silent = 0;
    return true;
}

static void G_GNUC_PRINTF(2, 0) vsay_limited(SayLimit *limit, const char *fmt,
                                             va_list ap)
{
    unsigned silent = 0;

    QEMU_LOCK_GUARD(&say.lock);
    if (!may_say_locked(limit, &silent)) {
        return;
    }
    say_locked(SAY_WARNING, g_strdup_vprintf(fmt, ap));
    if (silent) {
        say_locked(SAY_WARNING, g_strdup_printf(
            "distkvm: %u more %s since the line before", silent,
            limit->subject));
    }
}

void say_limited(SayLimit *limit, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsay_limited(limit, fmt, ap);
    va_end(ap);
}

void say_refusal(const char *fmt, ...)
{
    static SayLimit refusals = { .subject = "peers were refused, or left," };
    va_list ap;

    va_start(ap, fmt);
    vsay_limited(&refusals, fmt, ap);
    va_end(ap);
}
