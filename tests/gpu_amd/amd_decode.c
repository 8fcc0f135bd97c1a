/* SPDX-License-Identifier: Apache-2.0
 */
#include "amd_decode.h"

#include <ctype.h>
#include <stdlib.h>

static void refuse(amd_wave *wave, const amd_instruction *inst) {
    amd_stop(wave, GPU_AMD_UNKNOWN_INSTRUCTION, -1, "%s",
             inst->problem ? inst->problem : "no memory");
}

static void run_off(amd_wave *wave, const amd_instruction *inst) {
    (void)inst;
    amd_stop(wave, GPU_AMD_NO_CODE, -1, "the program counter ran off the code");
}

static const amd_opcode unknown_row = {"unknown", refuse, GPU_AMD_OTHER, AMD_F32, 0, 0, 0};
static const amd_opcode end_row = {"end of code", run_off, GPU_AMD_OTHER, AMD_F32, 0, 0, 0};

/* "000000001900: C00A0100 00000000": the address and up to five words. */
static bool parse_encoding(const char *text, uint64_t *address, uint32_t *words, unsigned *count) {
    char *end;
    *address = strtoull(text, &end, 16);
    if (end == text || *end != ':') return false;
    *count = 0;
    for (text = end + 1; *count < 5; text = end) {
        while (*text == ' ') text++;
        unsigned digits = 0;
        while (isxdigit((unsigned char)text[digits])) digits++;
        if (digits != 8) break;
        words[(*count)++] = (uint32_t)strtoul(text, &end, 16);
    }
    return *count > 0;
}

/* Stands where the code has a hole or stops. */
static void make_end(amd_instruction *inst, uint64_t code_offset) {
    memset(inst, 0, sizeof *inst);
    inst->text = "end of code";
    inst->code_offset = code_offset;
    inst->opcode = &end_row;
    inst->execute = run_off;
}

static bool add_line(amd_program *program, size_t *capacity, char *line) {
    char *comment = strstr(line, "// ");
    uint64_t address;
    uint32_t words[5] = {0};
    unsigned word_count;
    if (!comment || !parse_encoding(comment + 3, &address, words, &word_count)) return true;
    *comment = 0;
    while (isspace((unsigned char)*line)) line++;
    char *end = line + strlen(line);
    while (end > line && isspace((unsigned char)end[-1])) *--end = 0;
    if (program->count && address <= program->instructions[program->count - 1].code_offset)
        return true;
    const amd_instruction *previous =
        program->count ? &program->instructions[program->count - 1] : NULL;
    bool gap = previous && previous->code_offset + previous->size_bytes != address;
    if (program->count + 3 > *capacity) {
        size_t larger = *capacity ? *capacity * 2 : 512;
        amd_instruction *grown = realloc(program->instructions, larger * sizeof *grown);
        if (!grown) return false;
        program->instructions = grown;
        *capacity = larger;
    }
    if (gap)
        make_end(&program->instructions[program->count],
                 program->instructions[program->count - 1].code_offset + 4),
            program->count++;
    amd_instruction *inst = &program->instructions[program->count++];
    memset(inst, 0, sizeof *inst);
    inst->text = line;
    inst->code_offset = address;
    inst->size_bytes = (uint8_t)(4 * word_count);
    char copy[256];
    snprintf(copy, sizeof copy, "%s", line);
    amd_decode_line(copy, words, word_count, inst);
    if (!inst->execute || inst->problem) inst->execute = refuse;
    if (!inst->opcode) inst->opcode = &unknown_row;
    return true;
}

long amd_instruction_at(const amd_program *program, uint64_t code_offset) {
    size_t low = 0, high = program->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (program->instructions[middle].code_offset < code_offset)
            low = middle + 1;
        else
            high = middle;
    }
    return low < program->count && program->instructions[low].code_offset == code_offset ? (long)low
                                                                                         : -1;
}

/* Branch distances become indices; one that hits no instruction leads to the end. A gap in the code
 * ends it as well. */
static void link_branches(amd_program *program) {
    for (size_t i = 0; i < program->count; i++) {
        amd_instruction *inst = &program->instructions[i];
        if (inst->opcode->unit != GPU_AMD_BRANCH || inst->problem) continue;
        long target = amd_instruction_at(program, inst->code_offset + 4 +
                                                      (uint64_t)(int64_t)inst->target * 4);
        inst->target = target < 0 ? (int32_t)program->count : (int32_t)target;
    }
}

bool amd_decode(char *disassembly, amd_program *out) {
    size_t capacity = 0;
    memset(out, 0, sizeof *out);
    out->text = disassembly;
    for (char *line = disassembly, *next; line; line = next) {
        next = strchr(line, '\n');
        if (next) *next++ = 0;
        if (*line == '\t' && !add_line(out, &capacity, line)) return false;
    }
    if (!capacity) {
        out->instructions = calloc(1, sizeof *out->instructions);
        if (!out->instructions) return false;
    }
    make_end(&out->instructions[out->count], 0);
    link_branches(out);
    return true;
}

void amd_free_program(amd_program *program) {
    for (size_t i = 0; i < program->count; i++)
        if (program->instructions[i].problem)
            free((char *)(uintptr_t)program->instructions[i].problem);
    free(program->instructions);
    free(program->text);
    memset(program, 0, sizeof *program);
}
