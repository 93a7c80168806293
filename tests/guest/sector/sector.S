/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A disk's boot sector for SeaBIOS on q35: the smallest guest with a console
 * and a power button.  It says that it is up on the first serial port, sends
 * every character back that it gets there, and powers off when asked.
 */

/* Ports: UART 16550 data and line status; ACPI PM1 status, enable, control. */
#define UART        0x3f8
#define UART_LSR    0x3fd
#define LSR_DATA    0x01
#define LSR_EMPTY   0x20
#define PM1_STS     0x600
#define PM1_EN      0x602
#define PM1_CNT     0x604
/* Bit 8 of status and enable. */
#define POWER_BUTTON 0x0100
/* SLP_EN with type 0 is soft-off. */
#define SOFT_OFF    0x2000

    .code16
    .globl _start
_start:
    cli
    cld
    xorw    %ax, %ax
    movw    %ax, %ds
    movw    %ax, %ss
    movw    $0x7c00, %sp
    movw    $PM1_EN, %dx
    movw    $POWER_BUTTON, %ax
    outw    %ax, %dx
    movw    $text, %si
say:
    lodsb
    testb   %al, %al
    jz      listen
    call    put
    jmp     say

listen:
    movw    $UART_LSR, %dx
    inb     %dx, %al
    testb   $LSR_DATA, %al
    jz      button
    movw    $UART, %dx
    inb     %dx, %al
    call    put
    jmp     listen
button:
    movw    $PM1_STS, %dx
    inw     %dx, %ax
    testw   $POWER_BUTTON, %ax
    jnz     off
    /* The timer of SeaBIOS wakes this 18 times a second. */
    sti
    hlt
    cli
    jmp     listen
off:
    movw    $PM1_CNT, %dx
    movw    $SOFT_OFF, %ax
    outw    %ax, %dx
    jmp     off

put:
    pushw   %ax
    movw    $UART_LSR, %dx
1:
    inb     %dx, %al
    testb   $LSR_EMPTY, %al
    jz      1b
    popw    %ax
    movw    $UART, %dx
    outb    %al, %dx
    ret

text:
    .asciz  "sector: up\r\n"

    .org    510
    .word   0xaa55
