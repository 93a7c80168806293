/*
 * Logical destinations while some local APICs are in x2APIC mode
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/units.h"
#include "libqtest.h"

/* Firmware that fills the 64 KiB below 1 MiB, and the reset vector in it. */
#define FIRMWARE_SIZE (64 * KiB)
#define RESET_VECTOR 0xfff0

/* Bytes that CPU n sets are at these addresses plus n. */
#define AT_LOGICAL 0x700
#define AT_LAST 0x800

#define WAIT_US (60 * G_USEC_PER_SEC)

/*
 * CPU 0 starts CPUs 2 and 18, all three in x2APIC mode.  CPU 1 stays in xAPIC
 * mode.  Then CPU 0 sends vector 0x51 to the logical destination of CPU 18,
 * cluster 1 and bit 2, and vector 0x41 to CPUs 2 and 18 by their APIC IDs.
 * A CPU that has both pending takes 0x51 first.
 */
static const uint8_t firmware[] = {
    /* 0x00, an application processor starts: */
    0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00,   /* mov    $0x1b,%ecx     APIC_BASE */
    0x0f, 0x32,                           /* rdmsr                           */
    0x80, 0xcc, 0x04,                     /* or     $0x4,%ah          x2APIC */
    0x0f, 0x30,                           /* wrmsr                           */
    0x66, 0xb9, 0x0f, 0x08, 0x00, 0x00,   /* mov    $0x80f,%ecx          SVR */
    0x66, 0xb8, 0xff, 0x01, 0x00, 0x00,   /* mov    $0x1ff,%eax      enabled */
    0x66, 0x31, 0xd2,                     /* xor    %edx,%edx                */
    0x0f, 0x30,                           /* wrmsr                           */
    0x66, 0xb9, 0x02, 0x08, 0x00, 0x00,   /* mov    $0x802,%ecx      APIC ID */
    0x0f, 0x32,                           /* rdmsr                           */
    0x89, 0xc3,                           /* mov    %ax,%bx                  */
    0xc1, 0xe0, 0x08,                     /* shl    $0x8,%ax                 */
    0x05, 0x00, 0x40,                     /* add    $0x4000,%ax              */
    0x89, 0xc4,                           /* mov    %ax,%sp                  */
    0xc6, 0x87, 0x00, 0x06, 0x01,         /* movb   $0x1,0x600(%bx)          */
    0xfb,                                 /* sti                             */
    0xf4,                                 /* hlt                             */
    0xeb, 0xfd,                           /* jmp    .-1                      */
    /* 0x39, vector 0x51: */
    0xc6, 0x87, 0x00, 0x07, 0x01,         /* movb   $0x1,0x700(%bx)          */
    0xeb, 0x05,                           /* jmp    0x45                     */
    /* 0x40, vector 0x41: */
    0xc6, 0x87, 0x00, 0x08, 0x01,         /* movb   $0x1,0x800(%bx)          */
    /* 0x45, end of interrupt: */
    0x66, 0xb9, 0x0b, 0x08, 0x00, 0x00,   /* mov    $0x80b,%ecx          EOI */
    0x66, 0x31, 0xc0,                     /* xor    %eax,%eax                */
    0x66, 0x31, 0xd2,                     /* xor    %edx,%edx                */
    0x0f, 0x30,                           /* wrmsr                           */
    0xcf,                                 /* iret                            */
    /* 0x54, the bootstrap processor starts: */
    0xc7, 0x06, 0x44, 0x01, 0x39, 0x00,   /* movw   $0x39,0x144              */
    0x8c, 0x0e, 0x46, 0x01,               /* mov    %cs,0x146                */
    0xc7, 0x06, 0x04, 0x01, 0x40, 0x00,   /* movw   $0x40,0x104              */
    0x8c, 0x0e, 0x06, 0x01,               /* mov    %cs,0x106                */
    0x66, 0xb9, 0x1b, 0x00, 0x00, 0x00,   /* mov    $0x1b,%ecx     APIC_BASE */
    0x0f, 0x32,                           /* rdmsr                           */
    0x80, 0xcc, 0x04,                     /* or     $0x4,%ah          x2APIC */
    0x0f, 0x30,                           /* wrmsr                           */
    0x66, 0xb9, 0x0f, 0x08, 0x00, 0x00,   /* mov    $0x80f,%ecx          SVR */
    0x66, 0xb8, 0xff, 0x01, 0x00, 0x00,   /* mov    $0x1ff,%eax      enabled */
    0x66, 0x31, 0xd2,                     /* xor    %edx,%edx                */
    0x0f, 0x30,                           /* wrmsr                           */
    0x66, 0xb9, 0x30, 0x08, 0x00, 0x00,   /* mov    $0x830,%ecx          ICR */
    0xb2, 0x02,                           /* mov    $2,%dl                   */
    0xe8, 0x28, 0x00,                     /* call   0xb9                     */
    0xb2, 0x12,                           /* mov    $18,%dl                  */
    0xe8, 0x23, 0x00,                     /* call   0xb9                     */
    0x66, 0xba, 0x04, 0x00, 0x01, 0x00,   /* mov    $0x10004,%edx     CPU 18 */
    0x66, 0xb8, 0x51, 0x08, 0x00, 0x00,   /* mov    $0x851,%eax      logical */
    0x0f, 0x30,                           /* wrmsr                           */
    0x66, 0xb8, 0x41, 0x00, 0x00, 0x00,   /* mov    $0x41,%eax      physical */
    0x66, 0xba, 0x02, 0x00, 0x00, 0x00,   /* mov    $2,%edx                  */
    0x0f, 0x30,                           /* wrmsr                           */
    0xb2, 0x12,                           /* mov    $18,%dl                  */
    0x0f, 0x30,                           /* wrmsr                           */
    0xf4,                                 /* hlt                             */
    0xeb, 0xfd,                           /* jmp    .-1                      */
    /* 0xb9, start the CPU whose APIC ID is in %edx, and wait for it: */
    0x66, 0xb8, 0x00, 0x45, 0x00, 0x00,   /* mov    $0x4500,%eax        INIT */
    0x0f, 0x30,                           /* wrmsr                           */
    0x66, 0xb8, 0xf0, 0x46, 0x00, 0x00,   /* mov    $0x46f0,%eax     STARTUP */
    0x0f, 0x30,                           /* wrmsr                           */
    0x89, 0xd3,                           /* mov    %dx,%bx                  */
    0x80, 0xbf, 0x00, 0x06, 0x00,         /* cmpb   $0x0,0x600(%bx)          */
    0x74, 0xf9,                           /* je     .-5                      */
    0xc3,                                 /* ret                             */
};
static const uint8_t reset_vector[] = {
    0xea, 0x54, 0x00, 0x00, 0xf0,         /* ljmp   $0xf000,$0x54            */
};

static char *firmware_file(void)
{
    g_autofree uint8_t *image = g_malloc0(FIRMWARE_SIZE);
    char *path;
    int fd = g_file_open_tmp("qtest-x2apic-XXXXXX", &path, NULL);

    g_assert_cmpint(fd, !=, -1);
    close(fd);
    memcpy(image, firmware, sizeof(firmware));
    memcpy(image + RESET_VECTOR, reset_vector, sizeof(reset_vector));
    g_assert_true(g_file_set_contents(path, (char *)image, FIRMWARE_SIZE,
                                      NULL));
    return path;
}

static void wait_byte(QTestState *qts, uint64_t addr)
{
    gint64 end = g_get_monotonic_time() + WAIT_US;

    while (!qtest_readb(qts, addr)) {
        g_assert_cmpint(g_get_monotonic_time(), <, end);
        g_usleep(1000);
    }
}

static void test_mixed_modes(void)
{
    g_autofree char *path = firmware_file();
    QTestState *qts = qtest_initf("-accel tcg -M q35 -cpu max -smp 19 "
                                  "-nodefaults -bios %s", path);

    unlink(path);
    wait_byte(qts, AT_LAST + 2);
    wait_byte(qts, AT_LAST + 18);
    g_assert_cmpint(qtest_readb(qts, AT_LOGICAL + 18), ==, 1);
    g_assert_cmpint(qtest_readb(qts, AT_LOGICAL + 2), ==, 0);
    qtest_quit(qts);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);

    if (qtest_has_accel("tcg") && qtest_has_machine("q35")) {
        qtest_add_func("x2apic/logical-destination/mixed-modes",
                       test_mixed_modes);
    }

    return g_test_run();
}
