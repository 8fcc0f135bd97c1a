/* SPDX-License-Identifier: Apache-2.0 */
/* The switch from one fiber to another: what a called function must keep, and the stack pointer. A
 * new fiber "returns" into its kernel. The kernel's struct goes where the calling convention wants
 * one of more than 16 bytes: on x86-64 on the stack, on aarch64 by address. ("System V Application
 * Binary Interface, AMD64", 3.2.3; "Procedure Call Standard for the Arm 64-bit
 * Architecture", 6.8.2) */
#include <string.h>

#include "simt_core.h"

#if defined(__x86_64__)
__asm__(".text\n.globl simt_switch\n.hidden simt_switch\n.type simt_switch, @function\n"
        "simt_switch:\n"
        "push %rbp\npush %rbx\npush %r12\npush %r13\npush %r14\npush %r15\n"
        "mov %rsp, (%rdi)\nmov %rsi, %rsp\n"
        "pop %r15\npop %r14\npop %r13\npop %r12\npop %rbx\npop %rbp\nret\n"
        ".size simt_switch, .-simt_switch\n"
        ".globl simt_fiber_begin\n.hidden simt_fiber_begin\nsimt_fiber_begin:\n"
        "call simt_fiber_entered\nret\n"
        ".globl simt_fiber_end\n.hidden simt_fiber_end\nsimt_fiber_end:\n"
        "and $-16, %rsp\ncall simt_thread_done\nud2\n");
#elif defined(__aarch64__)
__asm__(".text\n.globl simt_switch\n.hidden simt_switch\n.type simt_switch, %function\n"
        "simt_switch:\n"
        "sub sp, sp, #160\n"
        "stp x19, x20, [sp]\nstp x21, x22, [sp, #16]\nstp x23, x24, [sp, #32]\n"
        "stp x25, x26, [sp, #48]\nstp x27, x28, [sp, #64]\nstp x29, x30, [sp, #80]\n"
        "stp d8, d9, [sp, #96]\nstp d10, d11, [sp, #112]\n"
        "stp d12, d13, [sp, #128]\nstp d14, d15, [sp, #144]\n"
        "mov x9, sp\nstr x9, [x0]\nmov sp, x1\n"
        "ldp x19, x20, [sp]\nldp x21, x22, [sp, #16]\nldp x23, x24, [sp, #32]\n"
        "ldp x25, x26, [sp, #48]\nldp x27, x28, [sp, #64]\nldp x29, x30, [sp, #80]\n"
        "ldp d8, d9, [sp, #96]\nldp d10, d11, [sp, #112]\n"
        "ldp d12, d13, [sp, #128]\nldp d14, d15, [sp, #144]\n"
        "add sp, sp, #160\nret\n"
        ".globl simt_fiber_begin\n.hidden simt_fiber_begin\nsimt_fiber_begin:\n"
        "bl simt_fiber_entered\nmov x0, x19\nblr x20\nbl simt_thread_done\nbrk #0\n"
        ".globl simt_fiber_end\n.hidden simt_fiber_end\nsimt_fiber_end:\nbrk #0\n");
#else
#    error "the switch of fibers is written for x86-64 and aarch64"
#endif

void *simt_fiber_prepare(uint8_t *stack, size_t stack_bytes, void (*function)(void),
                         const void *args, size_t args_bytes) {
    const uintptr_t place =
        ((uintptr_t)stack + stack_bytes - 64 - args_bytes) & ~(uintptr_t)127; /* tensor maps: 64 */
    memcpy((void *)place, args, args_bytes);
#if defined(__x86_64__)
    /* Registers, simt_fiber_begin, the kernel, where it returns to, its struct. */
    void **top = (void **)place;
    top[-1] = (void *)(uintptr_t)simt_fiber_end;
    memcpy(&top[-2], &function, sizeof function);
    top[-3] = (void *)(uintptr_t)simt_fiber_begin;
    memset(top - 9, 0, 6 * sizeof *top);
    return top - 9;
#else
    void **saved = (void **)(place - 160);
    memset(saved, 0, 160);
    saved[0] = (void *)place; /* x19 */
    memcpy(&saved[1], &function, sizeof function);
    saved[11] = (void *)(uintptr_t)simt_fiber_begin; /* x30 */
    return saved;
#endif
}
