/*
 * distkvm: a SCSI device that is a file
 *
 * To be preloaded.  A character device answers as one of the kernel's sg driver,
 * and SG_IO writes to the file DISTKVM_SG of the environment.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include <scsi/sg.h>
#include "qemu/bswap.h"
#include "real-ioctl.h"

#define READ_CAPACITY_10 0x25
#define WRITE_10 0x2a
#define BLOCK 512

static void sg_io(sg_io_hdr_t *io)
{
    io->status = io->host_status = io->driver_status = 0;
    io->sb_len_wr = io->resid = 0;
    if (io->dxfer_direction == SG_DXFER_FROM_DEV) {
        memset(io->dxferp, 0, io->dxfer_len);
        if (io->cmdp[0] == READ_CAPACITY_10) {
            stl_be_p((uint8_t *)io->dxferp + 4, BLOCK);
        }
    } else if (io->cmdp[0] == WRITE_10) {
        int fd = open(getenv("DISTKVM_SG"), O_WRONLY);

        if (pwrite(fd, io->dxferp, io->dxfer_len,
                   (off_t)ldl_be_p(io->cmdp + 2) * BLOCK) != io->dxfer_len) {
            abort();
        }
        close(fd);
    }
}

int ioctl(int fd, unsigned long request, ...)
{
    void *arg;

    IOCTL_ARG(arg, request);
    switch (request) {
    case SG_GET_VERSION_NUM:
        *(int *)arg = 30000;
        return 0;
    case SG_GET_SCSI_ID:
        memset(arg, 0, sizeof(struct sg_scsi_id));
        return 0;
    case SG_IO:
        sg_io(arg);
        return 0;
    default:
        return real_ioctl(fd, request, arg);
    }
}
