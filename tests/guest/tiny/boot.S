/*
 * tiny guest: from multiboot, and from SIPI, to C
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define STACK_BITS 12
/* As tiny.h has it. */
#define LAST_CPU 7

    .section .multiboot, "a"
    .align 4
    .long 0x1badb002, 0, -0x1badb002

    .text
    .code32
    .globl start
start:
    mov $stacks_end, %esp
    lgdt gdt_pointer
    ljmp $8, $1f
1:  mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    push %ebx
    call tiny_main
halt:
    cli
    hlt
    jmp halt

/* Copied to AP_START, where the start-up IPI points. */
    .globl ap_start, ap_start_end
    .code16
ap_start:
    cli
    xor %ax, %ax
    mov %ax, %ds
    lgdtl (gdt_pointer_low - ap_start + 0x8000)
    mov %cr0, %eax
    or $1, %al
    mov %eax, %cr0
    ljmpl $8, $ap_start_32
gdt_pointer_low:
    .word 23
    .long gdt_low - ap_start + 0x8000
    .align 8
gdt_low:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
ap_start_end:

    .code32
ap_start_32:
    mov $16, %eax
    mov %eax, %ds
    mov %eax, %es
    mov %eax, %ss
    lgdt gdt_pointer
    /*
     * Stacks go down from the end, one for each CPU by its APIC's id.  CPUID has
     * eight bits of the id in any mode of the APIC.  They are 0 for id 256 alone,
     * since CPU 0 does not come here.
     */
    mov $1, %eax
    cpuid
    mov %ebx, %eax
    shr $24, %eax
    jnz 1f
    mov $LAST_CPU, %eax
1:  lock incl ap_count
    mov %eax, %edx
    shl $STACK_BITS, %eax
    mov $stacks_end, %esp
    sub %eax, %esp
    push %edx
    call tiny_ap_main
    jmp halt

/* Every vector pushes its number and calls C. */
    .globl vectors
    .align 8
vectors:
    .set i, 0
    .rept 256
    .align 8
    push $i
    jmp common
    .set i, i + 1
    .endr
common:
    pusha
    cld
    /* Also the two words after it: where, or an error code and where. */
    push 40(%esp)
    push 40(%esp)
    push 40(%esp)
    call tiny_interrupt
    add $12, %esp
    popa
    add $4, %esp
    /* Not iret: where KVM interprets the guest it does not know that. */
    pushl 8(%esp)
    popfl
    ret $8

    .data
    .align 8
gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
gdt_pointer:
    .word 23
    .long gdt
    .globl ap_count
ap_count:
    .long 0

    .bss
    .align 4096
    .skip 8 << STACK_BITS
stacks_end:
    .section .note.GNU-stack, "", @progbits
