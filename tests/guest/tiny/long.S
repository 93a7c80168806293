/*
 * tiny guest: excursions into 64 bits
 *
 * Where KVM interprets the guest, this is the only mode with page tables.
 *
 * SPDX-License-Identifier: GPL-2.0-or-later
 */
#define ROUNDS_COUNT 500
#define ROUNDS_LOOK 200
#define CR4_PAE 0x20
#define MSR_EFER 0xc0000080
#define EFER_LME 0x100
#define CR0_PG 0x80000000
#define TABLE 0x63
/* Present, writable, accessed, dirty; and of 2 MiB. */
#define LARGE 0xe3
#define WINDOW 0x40000000

    .text
    .code32
/* void in_long_mode(routine): no interrupts meanwhile. */
    .globl in_long_mode
in_long_mode:
    push %ebx
    push %esi
    push %edi
    mov 16(%esp), %esi
    cli
    mov %cr4, %eax
    or $CR4_PAE, %eax
    mov %eax, %cr4
    mov $level4, %eax
    mov %eax, %cr3
    mov $MSR_EFER, %ecx
    rdmsr
    or $EFER_LME, %eax
    wrmsr
    mov %cr0, %eax
    or $CR0_PG, %eax
    mov %eax, %cr0
    lgdt long_gdt_pointer
    ljmp $24, $1f

    .code64
1:  mov %esi, %eax
    call *%rax
    mov $long_return, %eax
    ljmp *(%rax)

    .code32
2:  mov $16, %eax
    mov %eax, %ss
    mov %cr0, %eax
    and $~CR0_PG, %eax
    mov %eax, %cr0
    mov $MSR_EFER, %ecx
    rdmsr
    and $~EFER_LME, %eax
    wrmsr
    mov %cr4, %eax
    and $~CR4_PAE, %eax
    mov %eax, %cr4
    sti
    pop %edi
    pop %esi
    pop %ebx
    ret

    .code64
/* Add 1 to both halves of long_counter, beyond what 32 bits address. */
    .globl count_64
count_64:
    mov $ROUNDS_COUNT, %ecx
    /* The same memory again, 512 GiB further up. */
    mov $(1 << 39), %rdi
    mov $long_counter, %eax
    add %rax, %rdi
1:  mov $0x100000001, %rax
    lock xadd %rax, (%rdi)
    dec %ecx
    jnz 1b
    ret

/* For each turn: tell in "got" what is behind the window. */
    .globl look_64
look_64:
    mov $turn, %esi
    mov $got, %ebx
    mov $WINDOW, %edi
    mov $1, %ecx
1:  pause
    cmp %ecx, (%rsi)
    jne 1b
    invlpg (%rdi)
    mov (%rdi), %eax
    mov %eax, (%rbx)
    movl $0, (%rsi)
    inc %ecx
    cmp $(ROUNDS_LOOK + 1), %ecx
    jne 1b
    ret

    .data
    .align 8
long_gdt:
    .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff, 0x00af9b000000ffff
long_gdt_pointer:
    .word 31
    .long long_gdt
long_return:
    .long 2b
    .word 8
    .align 8
    .globl long_counter
long_counter:
    .quad 0

    .align 4096
level4:
    .long level3 + TABLE, 0, level3 + TABLE, 0
    .skip 4096 - 16
level3:
    .long level2 + TABLE, 0, window_level2 + TABLE, 0
    .skip 4096 - 16
level2:
    .set i, 0
    .rept 512
    .long i * 0x200000 + LARGE, 0
    .set i, i + 1
    .endr
window_level2:
    .long window + TABLE, 0
    .skip 4096 - 8
/* Its first entry maps the window; another CPU changes it. */
    .globl window
window:
    .skip 4096
    .section .note.GNU-stack, "", @progbits
