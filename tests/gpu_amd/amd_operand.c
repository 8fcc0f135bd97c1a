/* SPDX-License-Identifier: Apache-2.0
 *
 * One line of disassembly: its operands and modifiers.
 */
#include "amd_decode.h"
#include "amd_matrix.h"
#include "amd_numbers.h"

#include <ctype.h>
#include <stdlib.h>

static bool starts(const char *text, const char *with) {
    return strncmp(text, with, strlen(with)) == 0;
}

/* "[3:4]" or "3" after the register letter. */
static bool parse_range(const char *text, unsigned *first, unsigned *last) {
    char *end;
    bool bracket = *text == '[';
    if (bracket) text++;
    if (!isdigit((unsigned char)*text)) return false;
    *first = *last = (unsigned)strtoul(text, &end, 10);
    if (bracket && *end == ':') *last = (unsigned)strtoul(end + 1, &end, 10);
    if (bracket && *end++ != ']') return false;
    return *end == 0 && *last >= *first && *last < 256;
}

static bool parse_register(const char *text, amd_operand *out) {
    static const struct {
        const char *name;
        uint8_t first, count;
    } named[] = {
        {"vcc", AMD_VCC, 2},          {"vcc_lo", AMD_VCC, 1},   {"vcc_hi", AMD_VCC + 1, 1},
        {"exec", AMD_EXEC, 2},        {"exec_lo", AMD_EXEC, 1}, {"m0", AMD_M0, 1},
        {"exec_hi", AMD_EXEC + 1, 1}, {"flat_scratch", 102, 2}, {"flat_scratch_lo", 102, 1},
        {"flat_scratch_hi", 103, 1},
    };
    for (size_t i = 0; i < sizeof named / sizeof *named; i++)
        if (strcmp(text, named[i].name) == 0) {
            out->kind = AMD_SCALAR;
            out->first = named[i].first;
            out->count = named[i].count;
            return true;
        }
    if (strcmp(text, "src_scc") == 0 || strcmp(text, "scc") == 0) {
        out->kind = AMD_SCC;
        return true;
    }
    unsigned first, last;
    if ((*text != 'v' && *text != 'a' && *text != 's') || !parse_range(text + 1, &first, &last))
        return false;
    if (*text == 's' && last > 105) return false;
    out->kind = *text == 's' ? AMD_SCALAR : AMD_VECTOR;
    out->first = (uint16_t)(first + (*text == 'a' ? AMD_ACCUMULATORS : 0));
    out->count = (uint8_t)(last - first + 1);
    return last - first < 64;
}

static bool parse_constant(const char *text, amd_number number, amd_operand *out) {
    char *end;
    out->kind = AMD_CONSTANT;
    bool hex = starts(text, "0x") || starts(text, "-0x");
    if (!hex && (strchr(text, '.') || strchr(text, 'e'))) {
        double value = strtod(text, &end);
        out->is_float = true;
        switch (number) {
        case AMD_F16:
            out->value = amd_half_bits((float)value);
            break;
        case AMD_BF16:
            out->value = amd_bfloat_bits((float)value);
            break;
        case AMD_F64:
            out->value = amd_double_bits(value);
            break;
        default:
            out->value = amd_bits((float)value);
            break;
        }
        return *end == 0;
    }
    if (!isdigit((unsigned char)*text) && *text != '-') return false;
    long long value = strtoll(text, &end, 0);
    if (*end || value < INT32_MIN || value > (long long)UINT32_MAX) return false;
    out->value = (uint64_t)value;
    /* A literal in double precision is its upper half; small integers are themselves. */
    if (number == AMD_F64 && hex) out->value = (uint64_t)value << 32;
    return true;
}

static bool parse_operand(char *text, const amd_opcode *opcode, amd_operand *out) {
    memset(out, 0, sizeof *out);
    size_t length = strlen(text);
    if (starts(text, "sext(") && text[length - 1] == ')') {
        text[length - 1] = 0;
        text += 5;
        out->sign_extend = true;
    } else if (starts(text, "neg(") && text[length - 1] == ')') {
        text[length - 1] = 0;
        text += 4;
        out->negate = true;
    } else if (starts(text, "lit(") && text[length - 1] == ')') {
        /* a literal whose value has an inline constant, too */
        text[length - 1] = 0;
        text += 4;
    } else if (*text == '-' && !isdigit((unsigned char)text[1])) {
        text++;
        out->negate = true;
    }
    length = strlen(text);
    if (*text == '|' && length > 1 && text[length - 1] == '|') {
        text[length - 1] = 0;
        text++;
        out->absolute = true;
    }
    if (strcmp(text, "off") == 0) {
        out->kind = AMD_OFF;
        return true;
    }
    return parse_register(text, out) || parse_constant(text, (amd_number)opcode->number, out);
}

/* "[1,0,1]" as bits, the first one lowest. */
static bool parse_bits(const char *text, uint8_t *out) {
    unsigned bits = 0, place = 0;
    if (*text++ != '[') return false;
    for (;; place++) {
        if ((*text != '0' && *text != '1') || place > 7) return false;
        bits |= (unsigned)(*text++ - '0') << place;
        if (*text == ']') break;
        if (*text++ != ',') return false;
    }
    *out = (uint8_t)bits;
    return text[1] == 0;
}

static bool parse_number(const char *text, long lowest, long highest, long *out) {
    char *end;
    *out = strtol(text, &end, 0);
    return end != text && *end == 0 && *out >= lowest && *out <= highest;
}

static bool parse_select(const char *text, uint8_t *out) {
    static const char *const names[] = {"BYTE_0", "BYTE_1", "BYTE_2", "BYTE_3",
                                        "WORD_0", "WORD_1", "DWORD"};
    for (uint8_t i = 0; i < 7; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

static bool parse_unused(const char *text, uint8_t *out) {
    static const char *const names[] = {"UNUSED_PAD", "UNUSED_SEXT", "UNUSED_PRESERVE"};
    for (uint8_t i = 0; i < 3; i++)
        if (strcmp(text, names[i]) == 0) {
            *out = i;
            return true;
        }
    return false;
}

/* The modifiers that DPP is spelled with; their values are in the encoding. */
static bool is_dpp_word(const char *text) {
    static const char *const words[] = {
        "quad_perm:",      "row_shl:",   "row_shr:",      "row_ror:",   "row_mirror",
        "row_half_mirror", "row_bcast:", "row_newbcast:", "wave_shl:",  "wave_rol:",
        "wave_shr:",       "wave_ror:",  "row_mask:",     "bank_mask:", "bound_ctrl:"};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (starts(text, words[i])) return true;
    return false;
}

static bool is_one_of(const char *text, const char *const *words) {
    for (; *words; words++)
        if (strcmp(text, *words) == 0) return true;
    return false;
}

static bool parse_modifier(char *text, amd_instruction *inst) {
    static const char *const cache_words[] = {"sc0", "sc1", "nt", "glc", "slc", "scc", NULL};
    unsigned allowed = inst->opcode->modifiers;
    char *colon = strchr(text, ':'), *value = colon ? colon + 1 : text;
    long number;
    if (starts(text, "offset:swizzle(")) return allowed & AMD_MOD_OFFSET;
    if (starts(text, "offset:") && (allowed & AMD_MOD_OFFSET)) {
        if (!parse_number(value, -(1 << 21), 1 << 21, &number)) return false;
        inst->offset = (int32_t)number;
        return true;
    }
    if (starts(text, "offset0:") || starts(text, "offset1:")) {
        if (!(allowed & AMD_MOD_OFFSETS) || !parse_number(value, 0, 255, &number)) return false;
        *(text[6] == '0' ? &inst->offset0 : &inst->offset1) = (uint8_t)number;
        return true;
    }
    if (starts(text, "op_sel:"))
        return (allowed & (AMD_MOD_HALF | AMD_MOD_PACKED | AMD_MOD_SELECT)) &&
               parse_bits(value, &inst->op_sel);
    if (starts(text, "op_sel_hi:"))
        return (allowed & AMD_MOD_PACKED) && parse_bits(value, &inst->op_sel_hi);
    if (starts(text, "neg_lo:"))
        return (allowed & AMD_MOD_PACKED) && parse_bits(value, &inst->neg_lo);
    if (starts(text, "neg_hi:"))
        return (allowed & AMD_MOD_PACKED) && parse_bits(value, &inst->neg_hi);
    if (strcmp(text, "clamp") == 0) return inst->clamp = true, allowed & AMD_MOD_CLAMP;
    if (strcmp(text, "mul:2") == 0) return inst->result_scale = 1, allowed & AMD_MOD_SCALE;
    if (strcmp(text, "mul:4") == 0) return inst->result_scale = 2, allowed & AMD_MOD_SCALE;
    if (strcmp(text, "div:2") == 0) return inst->result_scale = 3, allowed & AMD_MOD_SCALE;
    if (is_one_of(text, cache_words)) {
        if (strcmp(text, "sc0") == 0 || strcmp(text, "glc") == 0) inst->sc0 = true;
        return allowed & AMD_MOD_CACHE;
    }
    if (strcmp(text, "offen") == 0) return inst->offen = true, allowed & AMD_MOD_BUFFER;
    if (strcmp(text, "idxen") == 0) return inst->idxen = true, allowed & AMD_MOD_BUFFER;
    if (strcmp(text, "lds") == 0) return inst->to_lds = true, allowed & AMD_MOD_BUFFER;
    if (starts(text, "cbsz:") || starts(text, "abid:") || starts(text, "blgp:")) {
        if (!(allowed & AMD_MOD_MATRIX) || !parse_number(value, 0, 15, &number)) return false;
        *(*text == 'c' ? &inst->cbsz : *text == 'a' ? &inst->abid : &inst->blgp) = (uint8_t)number;
        return true;
    }
    if (starts(text, "bitop3:")) {
        if (!(allowed & AMD_MOD_TRUTH_TABLE) || !parse_number(value, 0, 255, &number)) return false;
        inst->truth_table = (uint8_t)number;
        return true;
    }
    if (is_dpp_word(text)) return inst->has_dpp && (allowed & AMD_MOD_DPP);
    if (starts(text, "dst_sel:"))
        return inst->has_sdwa && parse_select(value, &inst->destination_select);
    if (starts(text, "dst_unused:"))
        return inst->has_sdwa && parse_unused(value, &inst->destination_unused);
    if (starts(text, "src0_sel:"))
        return inst->has_sdwa && parse_select(value, &inst->source_select[0]);
    if (starts(text, "src1_sel:"))
        return inst->has_sdwa && parse_select(value, &inst->source_select[1]);
    return false;
}

/* Cuts at a separator outside of brackets; returns the rest, or NULL at the end. */
static char *cut(char *text, char separator) {
    int depth = 0;
    bool quoted = false;
    for (; *text; text++) {
        if (*text == '"') quoted = !quoted;
        if (*text == '[' || *text == '(') depth++;
        if (*text == ']' || *text == ')') depth--;
        if (*text == separator && depth == 0 && !quoted) {
            *text = 0;
            return text + 1;
        }
    }
    return NULL;
}

static char *trimmed(char *text) {
    while (isspace((unsigned char)*text)) text++;
    char *end = text + strlen(text);
    while (end > text && isspace((unsigned char)end[-1])) *--end = 0;
    return text;
}

/* What the encoding holds in numbers where the text has many spellings. */
static const char *take_immediate(amd_instruction *inst, const uint32_t *words,
                                  unsigned word_count) {
    const char *name = inst->opcode->name;
    uint32_t low = words[0] & 0xffff;
    if (strcmp(name, "s_waitcnt") == 0) {
        inst->immediate = (low & 15) | (low >> 14 & 3) << 4 | (low >> 8 & 15) << 8;
    } else if (strcmp(name, "s_getreg_b32") == 0 || starts(name, "s_setreg_")) {
        inst->immediate = (low & 63) | (low >> 6 & 31) << 8 | (low >> 11 & 31) << 16;
        bool known = (low & 63) == 1 || ((low & 63) == 20 && *name == 's' && name[2] == 'g');
        if (!known) return "hardware register";
    } else if (strcmp(name, "s_set_gpr_idx_on") == 0) {
        inst->immediate = words[0] >> 8 & 15;
    } else if (inst->opcode->unit == GPU_AMD_BRANCH) {
        inst->target = (int16_t)low;
    } else {
        inst->immediate = low;
    }
    if (inst->has_dpp) {
        if (word_count < 2) return "encoding of DPP";
        inst->dpp_control = (uint16_t)(words[1] >> 8 & 0x1ff);
        inst->bound_control = words[1] >> 19 & 1;
        inst->bank_mask = words[1] >> 24 & 15;
        inst->row_mask = words[1] >> 28 & 15;
    }
    return NULL;
}

/* Operands that are spelled like functions are in the encoding. */
static bool is_encoded_operand(const char *text) {
    static const char *const words[] = {"hwreg(", "gpr_idx("};
    for (size_t i = 0; i < sizeof words / sizeof *words; i++)
        if (starts(text, words[i])) return true;
    return false;
}

static const char *parse_modifiers(char *text, amd_instruction *inst) {
    while (text) {
        char *rest = cut(text, ' ');
        text = trimmed(text);
        if (*text && !parse_modifier(text, inst)) return text;
        text = rest;
    }
    return NULL;
}

static const char *parse_operands(char *text, amd_instruction *inst) {
    if (inst->opcode->unit == GPU_AMD_WAIT) return NULL;
    while (text) {
        char *rest = cut(text, ',');
        text = trimmed(text);
        char *modifiers = rest ? NULL : cut(text, ' ');
        if (*text && !is_encoded_operand(text)) {
            char copy[64];
            snprintf(copy, sizeof copy, "%s", text);
            if (inst->operand_count < AMD_OPERANDS &&
                parse_operand(copy, inst->opcode, &inst->operand[inst->operand_count]))
                inst->operand_count++;
            else if (rest || parse_modifiers(text, inst))
                return text;
        }
        const char *problem = parse_modifiers(modifiers, inst);
        if (problem) return problem;
        text = rest;
    }
    return NULL;
}

static const char *check_operands(amd_instruction *inst) {
    unsigned allowed = inst->opcode->modifiers;
    for (int i = 0; i < inst->operand_count; i++) {
        amd_operand *operand = &inst->operand[i];
        int place = i - inst->first_source;
        if ((operand->negate || operand->absolute) && !(allowed & AMD_MOD_SIGN))
            return "neg or abs of an operand";
        if (operand->sign_extend && !inst->has_sdwa) return "sext of an operand";
        if (i < inst->opcode->destinations && operand->kind != AMD_VECTOR &&
            operand->kind != AMD_SCALAR)
            return "destination";
        bool selected =
            inst->has_sdwa && place >= 0 && place < 2 && inst->source_select[place] != AMD_DWORD;
        bool half = (allowed & AMD_MOD_HALF) && place >= 0 && (inst->op_sel >> place & 1);
        bool moved = inst->has_dpp && place == 0;
        operand->plain = operand->kind == AMD_VECTOR && !operand->negate && !operand->absolute &&
                         !selected && !half && !moved;
        uint16_t top = (uint16_t)(operand->first + operand->count);
        if (operand->kind == AMD_SCALAR && operand->first < 102 && top > inst->scalar_top)
            inst->scalar_top = top;
        if (operand->kind != AMD_VECTOR) continue;
        if (operand->first < AMD_ACCUMULATORS && top > AMD_ACCUMULATORS) return "register range";
        if (top > AMD_VECTOR_ROWS) return "register range";
        if (operand->first < AMD_ACCUMULATORS && top > inst->vector_top) inst->vector_top = top;
        if (operand->first >= AMD_ACCUMULATORS && top - AMD_ACCUMULATORS > inst->accumulator_top)
            inst->accumulator_top = (uint16_t)(top - AMD_ACCUMULATORS);
    }
    return NULL;
}

static char *strip(char *name, amd_instruction *inst) {
    char *end = name + strlen(name);
    if (end - name > 4 && strcmp(end - 4, "_dpp") == 0)
        inst->has_dpp = true, end[-4] = 0;
    else if (end - name > 5 && strcmp(end - 5, "_sdwa") == 0)
        inst->has_sdwa = true, end[-5] = 0;
    end = name + strlen(name);
    if (end - name > 4 && (strcmp(end - 4, "_e32") == 0 || strcmp(end - 4, "_e64") == 0))
        end[-4] = 0;
    return name;
}

static const char *remember(const char *what, const char *detail) {
    size_t bytes = strlen(what) + strlen(detail) + 4;
    char *text = malloc(bytes);
    if (text) snprintf(text, bytes, "%s: %s", what, detail);
    return text;
}

void amd_decode_line(char *line, const uint32_t *words, unsigned word_count,
                     amd_instruction *inst) {
    char *operands = cut(line, ' ');
    inst->destination_select = inst->source_select[0] = inst->source_select[1] = AMD_DWORD;
    inst->opcode = amd_find_opcode(strip(line, inst));
    if (!inst->opcode) {
        inst->problem = remember("this instruction is not implemented", line);
        return;
    }
    if ((inst->opcode->modifiers & AMD_MOD_PACKED) && !(inst->opcode->modifiers & AMD_MOD_SIGN))
        inst->op_sel_hi = 7;
    inst->first_source = inst->opcode->destinations;
    const char *problem = (inst->has_dpp && !(inst->opcode->modifiers & AMD_MOD_DPP)) ? "DPP"
                          : (inst->has_sdwa && !(inst->opcode->modifiers & AMD_MOD_SDWA))
                              ? "SDWA"
                              : take_immediate(inst, words, word_count);
    if (!problem) problem = parse_operands(operands, inst);
    if (!problem) problem = check_operands(inst);
    if (!problem && inst->opcode->unit == GPU_AMD_MATRIX) problem = amd_matrix_problem(inst);
    if (problem) {
        inst->problem = remember("not implemented for this instruction", problem);
        return;
    }
    bool upper_half = (inst->opcode->modifiers & AMD_MOD_HALF) && (inst->op_sel & 8);
    inst->plain_write =
        !inst->has_dpp && !(inst->has_sdwa && inst->destination_select != AMD_DWORD) && !upper_half;
    inst->execute = inst->opcode->execute;
}
