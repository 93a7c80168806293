/*
 * distkvm: coherent memory, for emulators
 *
 * Spec: include/system/distkvm-memory.h.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#include "qemu/osdep.h"
#include "qemu/atomic.h"
#include "qemu/bswap.h"
#include "system/distkvm-memory.h"
#include "pingpong.h"
#include "accel/distkvm/node.h"

static PingPong pingpong;

static int check(uint64_t addr, size_t length)
{
    if (!distkvm || !distkvm->engine || !node_is_formed()) {
        return -ENOTCONN;
    }
    return !length || length > COH_PAGE_SIZE ||
           addr >= distkvm->ram_bytes ||
           addr % COH_PAGE_SIZE + length > COH_PAGE_SIZE ? -EINVAL : 0;
}

static bool is_word(uint64_t addr, size_t length)
{
    return length <= 8 && is_power_of_2(length) && addr % length == 0;
}

int distkvm_vld_page(uint64_t addr, DistkvmRw rw)
{
    int ret = check(addr, 1);

    return ret ?: engine_validate(distkvm->engine, addr >> COH_PAGE_BITS,
                                  rw != DISTKVM_READ);
}

int distkvm_vld_range(uint64_t addr, uint64_t length, DistkvmRw rw)
{
    int ret = check(addr, 1);
    CohPage first = addr >> COH_PAGE_BITS;

    if (ret || !length || length > distkvm->ram_bytes - addr) {
        return ret ?: -EINVAL;
    }
    return engine_validate_range(distkvm->engine, first,
                                 ((addr + length - 1) >> COH_PAGE_BITS) -
                                 first + 1, rw != DISTKVM_READ);
}

int distkvm_page_is_valid(uint64_t addr, DistkvmRw rw)
{
    int ret = check(addr, 1);

    return ret ?: engine_has(distkvm->engine, addr >> COH_PAGE_BITS,
                             rw != DISTKVM_READ);
}

int distkvm_inv_page(uint64_t addr, DistkvmRw rw)
{
    int ret = check(addr, 1);

    if (!ret && rw != DISTKVM_READ &&
        !engine_has(distkvm->engine, addr >> COH_PAGE_BITS, true)) {
        return 0;
    }
    ret = ret ?: engine_give_up(distkvm->engine, addr >> COH_PAGE_BITS);
    return ret || rw == DISTKVM_READ ? ret : distkvm_vld_page(addr,
                                                              DISTKVM_READ);
}

/* A word of @buffer, as the guest orders bytes. */
static uint64_t get_word(const void *buffer, size_t size)
{
    return ldn_le_p(buffer, size);
}

static int operate(uint64_t addr, CohOpCode code, size_t size,
                   uint64_t operand, uint64_t expected, void *buffer)
{
    CohOp op = {
        .code = code, .size = size, .offset = addr % COH_PAGE_SIZE,
        .operand = operand, .expected = expected,
    };
    uint64_t old;
    int ret = engine_operate(distkvm->engine, addr >> COH_PAGE_BITS, &op,
                             &old);

    if (!ret && buffer) {
        stn_le_p(buffer, size, old);
    }
    return ret;
}

static int read_modify_write(uint64_t addr, void *buffer, size_t size,
                             DistkvmOp op)
{
    switch (op) {
    case DISTKVM_INCREMENT:
        return operate(addr, COH_OP_ADD, size, 1, 0, buffer);
    case DISTKVM_DECREMENT:
        return operate(addr, COH_OP_ADD, size, -1, 0, buffer);
    case DISTKVM_EXCHANGE:
        return operate(addr, COH_OP_EXCHANGE, size, get_word(buffer, size), 0,
                       buffer);
    case DISTKVM_TEST_AND_SET:
        return operate(addr, COH_OP_EXCHANGE, size, 1, 0, buffer);
    case DISTKVM_COMPARE_SWAP:
        return operate(addr, COH_OP_COMPARE_SWAP, size,
                       get_word((uint8_t *)buffer + size, size),
                       get_word(buffer, size), buffer);
    default:
        return -EINVAL;
    }
}

/* More than a word: the page comes, and its faults do the rest. */
static int copy(uint64_t addr, bool write, void *buffer, size_t length)
{
    CohPage page = addr >> COH_PAGE_BITS;
    int ret = engine_validate(distkvm->engine, page, write);
    uint8_t *host = engine_host(distkvm->engine, page);

    if (!ret && write) {
        memcpy(host + addr % COH_PAGE_SIZE, buffer, length);
    } else if (!ret) {
        memcpy(buffer, host + addr % COH_PAGE_SIZE, length);
    }
    return ret;
}

int distkvm_get_page(uint64_t addr, DistkvmRw rw, void *buffer,
                     size_t length, DistkvmOp op)
{
    int ret = check(addr, length);

    if (ret || (rw == DISTKVM_RMW) != (op != DISTKVM_OP_NONE)) {
        return ret ?: -EINVAL;
    }
    if (rw == DISTKVM_RMW) {
        return is_word(addr, length)
               ? read_modify_write(addr, buffer, length, op) : -EINVAL;
    }
    if (!is_word(addr, length)) {
        return copy(addr, rw == DISTKVM_WRITE, buffer, length);
    }
    if (rw == DISTKVM_WRITE) {
        return operate(addr, COH_OP_WRITE, length, get_word(buffer, length),
                       0, NULL);
    }
    return operate(addr, COH_OP_READ, length, 0, 0, buffer);
}

int distkvm_mem_access(uint64_t addr, DistkvmRw rw, void *buffer,
                       size_t length)
{
    CohPage page = addr >> COH_PAGE_BITS;
    int ret = check(addr, length);
    CohOp op = {
        .code = rw == DISTKVM_WRITE ? COH_OP_WRITE : COH_OP_READ,
        .size = length, .offset = addr % COH_PAGE_SIZE,
    };

    if (ret || rw == DISTKVM_RMW || !is_word(addr, length)) {
        return ret ?: -EINVAL;
    }
    if (engine_has(distkvm->engine, page, rw == DISTKVM_WRITE)) {
        pingpong_used(&pingpong, page);
    } else if (pingpong_missed(&pingpong, page)) {
        return distkvm_get_page(addr, rw, buffer, length, DISTKVM_OP_NONE);
    } else {
        ret = engine_validate(distkvm->engine, page, rw == DISTKVM_WRITE);
        if (ret) {
            return ret;
        }
    }
    /* If it has gone since, this faults and waits for it. */
    if (rw == DISTKVM_WRITE) {
        op.operand = get_word(buffer, length);
        coh_op_perform(&op, engine_host(distkvm->engine, page));
    } else {
        stn_le_p(buffer, length,
                 coh_op_perform(&op, engine_host(distkvm->engine, page)));
    }
    return 0;
}
