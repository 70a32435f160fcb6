//! Copying memory, byte by byte: 40 bytes of flash instead of the 2,300 of the compiler's own, which go word by word. What the lamp copies is
//! short. A device with flash to spare leaves this file out.

use core::arch::global_asm;

// `memmove` of C and of the Arm run-time ABI (section 5.3.4): to r0, from r1, r2 bytes. `memcpy` may be the same. r0 stays as it is.
global_asm!(
    ".syntax unified",
    ".pushsection .text.memmove,\"ax\",%progbits",
    ".global memmove, memcpy, __aeabi_memmove, __aeabi_memmove4, __aeabi_memmove8, __aeabi_memcpy, __aeabi_memcpy4, __aeabi_memcpy8",
    ".type memmove, %function",
    ".thumb_func",
    "memmove:",
    "memcpy:",
    "__aeabi_memmove:",
    "__aeabi_memmove4:",
    "__aeabi_memmove8:",
    "__aeabi_memcpy:",
    "__aeabi_memcpy4:",
    "__aeabi_memcpy8:",
    "subs r3, r0, r1",
    "cmp r3, r2",
    "blo 3f",
    // The target does not begin within the source: from the front.
    "mov r12, r0",
    "1:",
    "subs r2, #1",
    "it lo",
    "bxlo lr",
    "ldrb r3, [r1], #1",
    "strb r3, [r12], #1",
    "b 1b",
    // It does: from the back.
    "3:",
    "subs r2, #1",
    "it lo",
    "bxlo lr",
    "ldrb r3, [r1, r2]",
    "strb r3, [r0, r2]",
    "b 3b",
    ".size memmove, . - memmove",
    ".popsection",
);
