/*
 * distkvm: functions of GLib as the linker's --wrap names them
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#ifndef DISTKVM_FAKE_ROOT_H
#define DISTKVM_FAKE_ROOT_H

#include <glib.h>

/* GLib's own. */
GDir *__real_g_dir_open(const char *path, guint flags, GError **err);
gboolean __real_g_file_test(const char *path, GFileTest test);
/* In their place, below a root of the test. */
GDir *__wrap_g_dir_open(const char *path, guint flags, GError **err);
gboolean __wrap_g_file_test(const char *path, GFileTest test);

#endif
