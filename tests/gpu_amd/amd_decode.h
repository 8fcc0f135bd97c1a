/* SPDX-License-Identifier: Apache-2.0
 *
 * From the text of llvm-objdump to instructions. The text gives names, operands and modifiers; what
 * text spells in many ways (wait counters, DPP controls, swizzles, branch distances) is taken from
 * the encoding, which the text carries too.
 */
#ifndef AMD_DECODE_H
#define AMD_DECODE_H

#include "amd_core.h"

typedef struct amd_program {
    amd_instruction
        *instructions; /* in the order of addresses; one more at the end, which stops the run */
    size_t count;
    char *text; /* what the instructions' texts point into */
} amd_program;

/* Disassembly of an ELF file in memory, to be freed; NULL with the reason in text. */
char *amd_disassemble(const void *image, size_t bytes, char *text, size_t text_bytes);
/* Takes disassembly over. False: no memory. */
bool amd_decode(char *disassembly, amd_program *out);
void amd_free_program(amd_program *program);
/* Index of the instruction at a code offset, -1: none begins there. */
long amd_instruction_at(const amd_program *program, uint64_t code_offset);
/* One line: name, operands, modifiers. Sets problem when there is something that no row knows. */
void amd_decode_line(char *line, const uint32_t *words, unsigned word_count, amd_instruction *out);

#endif
