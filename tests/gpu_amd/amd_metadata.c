/* SPDX-License-Identifier: Apache-2.0
 */
#include "amd_metadata.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- MessagePack: a value at a time, never beyond the end ---- */

typedef enum kind { BROKEN, NUMBER, STRING, ARRAY, MAP, OTHER } kind;

typedef struct value {
    kind kind;
    uint64_t number; /* of NUMBER; bytes of STRING; entries of ARRAY and MAP */
    const uint8_t *text;
} value;

typedef struct reader {
    const uint8_t *at, *end;
} reader;

static bool take(reader *from, int bytes, uint64_t *out) {
    if (from->end - from->at < bytes) return false;
    *out = 0;
    for (int i = 0; i < bytes; i++) *out = *out << 8 | *from->at++;
    return true;
}

static value string_of(reader *from, uint64_t bytes) {
    value v = {BROKEN, 0, NULL};
    if ((uint64_t)(from->end - from->at) < bytes) return v;
    v = (value){STRING, bytes, from->at};
    from->at += bytes;
    return v;
}

static value next(reader *from) {
    value broken = {BROKEN, 0, NULL};
    uint64_t head, n;
    if (!take(from, 1, &head)) return broken;
    if (head < 0x80) return (value){NUMBER, head, NULL};
    if (head < 0x90) return (value){MAP, head & 15, NULL};
    if (head < 0xa0) return (value){ARRAY, head & 15, NULL};
    if (head < 0xc0) return string_of(from, head & 31);
    if (head >= 0xe0) return (value){NUMBER, (uint64_t)(int64_t)(int8_t)head, NULL};
    switch (head) {
    case 0xc0:
        return (value){OTHER, 0, NULL};
    case 0xc2:
        return (value){NUMBER, 0, NULL};
    case 0xc3:
        return (value){NUMBER, 1, NULL};
    case 0xcc:
    case 0xd0:
        return take(from, 1, &n) ? (value){NUMBER, n, NULL} : broken;
    case 0xcd:
    case 0xd1:
        return take(from, 2, &n) ? (value){NUMBER, n, NULL} : broken;
    case 0xce:
    case 0xd2:
    case 0xca:
        return take(from, 4, &n) ? (value){NUMBER, n, NULL} : broken;
    case 0xcf:
    case 0xd3:
    case 0xcb:
        return take(from, 8, &n) ? (value){NUMBER, n, NULL} : broken;
    case 0xd9:
    case 0xc4:
        return take(from, 1, &n) ? string_of(from, n) : broken;
    case 0xda:
    case 0xc5:
        return take(from, 2, &n) ? string_of(from, n) : broken;
    case 0xdb:
    case 0xc6:
        return take(from, 4, &n) ? string_of(from, n) : broken;
    case 0xdc:
        return take(from, 2, &n) ? (value){ARRAY, n, NULL} : broken;
    case 0xdd:
        return take(from, 4, &n) ? (value){ARRAY, n, NULL} : broken;
    case 0xde:
        return take(from, 2, &n) ? (value){MAP, n, NULL} : broken;
    case 0xdf:
        return take(from, 4, &n) ? (value){MAP, n, NULL} : broken;
    default:
        return broken;
    }
}

/* Passes over what belongs to a value that was just read. */
static bool skip(reader *from, value v, int depth) {
    if (v.kind == BROKEN || depth > 16) return false;
    uint64_t entries = v.kind == ARRAY ? v.number : v.kind == MAP ? 2 * v.number : 0;
    for (uint64_t i = 0; i < entries; i++)
        if (!skip(from, next(from), depth + 1)) return false;
    return true;
}

static bool is(value v, const char *text) {
    return v.kind == STRING && v.number == strlen(text) && memcmp(v.text, text, v.number) == 0;
}

/* ---- the fields ---- */

static bool read_argument(reader *from, amd_kernel_metadata *kernel) {
    static const struct {
        const char *name;
        amd_hidden what;
        uint8_t axis;
    } known[] = {
        {"hidden_block_count_x", AMD_HIDDEN_BLOCK_COUNT, 0},
        {"hidden_block_count_y", AMD_HIDDEN_BLOCK_COUNT, 1},
        {"hidden_block_count_z", AMD_HIDDEN_BLOCK_COUNT, 2},
        {"hidden_group_size_x", AMD_HIDDEN_GROUP_SIZE, 0},
        {"hidden_group_size_y", AMD_HIDDEN_GROUP_SIZE, 1},
        {"hidden_group_size_z", AMD_HIDDEN_GROUP_SIZE, 2},
        {"hidden_remainder_x", AMD_HIDDEN_REMAINDER, 0},
        {"hidden_remainder_y", AMD_HIDDEN_REMAINDER, 1},
        {"hidden_remainder_z", AMD_HIDDEN_REMAINDER, 2},
        {"hidden_grid_dims", AMD_HIDDEN_GRID_DIMS, 0},
        {"hidden_dynamic_lds_size", AMD_HIDDEN_DYNAMIC_LDS, 0},
    };
    value map = next(from);
    if (map.kind != MAP) return false;
    uint64_t offset = 0, bytes = 0;
    bool hidden = false;
    amd_hidden_argument argument = {AMD_HIDDEN_ZERO, 0, 0, 0};
    for (uint64_t i = 0; i < map.number; i++) {
        value key = next(from), v = next(from);
        if (is(key, ".offset"))
            offset = v.number;
        else if (is(key, ".size"))
            bytes = v.number;
        else if (is(key, ".value_kind") && v.kind == STRING && v.number > 7 &&
                 memcmp(v.text, "hidden_", 7) == 0) {
            hidden = true;
            for (size_t k = 0; k < sizeof known / sizeof *known; k++)
                if (is(v, known[k].name))
                    argument.what = known[k].what, argument.axis = known[k].axis;
        }
        if (!skip(from, v, 0)) return false;
    }
    if (offset > 65536 || bytes > 65536) return false;
    if (!hidden) {
        if (offset + bytes > kernel->info.explicit_bytes)
            kernel->info.explicit_bytes = (uint32_t)(offset + bytes);
    } else if (argument.what != AMD_HIDDEN_ZERO) {
        if (kernel->hidden_count == AMD_HIDDEN || bytes > 8) return false;
        argument.offset = (uint32_t)offset;
        argument.bytes = (uint32_t)bytes;
        kernel->hidden[kernel->hidden_count++] = argument;
    }
    return true;
}

static bool copy_name(value v, char *out) {
    if (v.kind != STRING || v.number >= AMD_NAME_BYTES) return false;
    memcpy(out, v.text, v.number);
    out[v.number] = 0;
    return true;
}

static bool read_kernel(reader *from, amd_kernel_metadata *kernel) {
    const struct {
        const char *name;
        uint32_t *field;
    } numbers[] = {
        {".kernarg_segment_size", &kernel->info.argument_bytes},
        {".group_segment_fixed_size", &kernel->info.lds_bytes},
        {".private_segment_fixed_size", &kernel->info.scratch_bytes},
        {".vgpr_count", &kernel->info.vgprs},
        {".agpr_count", &kernel->info.agprs},
        {".sgpr_count", &kernel->info.sgprs},
        {".vgpr_spill_count", &kernel->info.vgpr_spills},
        {".sgpr_spill_count", &kernel->info.sgpr_spills},
        {".max_flat_workgroup_size", &kernel->info.max_block_threads},
    };
    value map = next(from);
    if (map.kind != MAP) return false;
    for (uint64_t i = 0; i < map.number; i++) {
        value key = next(from);
        reader here = *from;
        value v = next(from);
        if (is(key, ".args") && v.kind == ARRAY) {
            for (uint64_t k = 0; k < v.number; k++)
                if (!read_argument(from, kernel)) return false;
            continue;
        }
        if (is(key, ".name") && !copy_name(v, kernel->name)) return false;
        if (is(key, ".symbol") && !copy_name(v, kernel->symbol)) return false;
        if (is(key, ".uses_dynamic_stack")) kernel->dynamic_stack = v.number;
        for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
            if (is(key, numbers[k].name)) {
                if (v.kind != NUMBER || v.number > 1u << 20) return false;
                *numbers[k].field = (uint32_t)v.number;
            }
        *from = here;
        if (!skip(from, next(from), 0)) return false;
    }
    return *kernel->symbol;
}

bool amd_read_metadata(const uint8_t *note, size_t bytes, amd_kernel_metadata **out, size_t *count,
                       char *text, size_t text_bytes) {
    reader from = {note, note + bytes};
    value map = next(&from);
    *out = NULL;
    *count = 0;
    for (uint64_t i = 0; map.kind == MAP && i < map.number; i++) {
        value key = next(&from), v = next(&from);
        if (!is(key, "amdhsa.kernels")) {
            if (!skip(&from, v, 0)) break;
            continue;
        }
        /* A kernel takes far more than 16 bytes of the note. */
        if (v.kind != ARRAY || v.number > bytes / 16) break;
        amd_kernel_metadata *kernels = calloc(v.number ? v.number : 1, sizeof *kernels);
        for (; kernels && *count < v.number; ++*count)
            if (!read_kernel(&from, &kernels[*count])) break;
        if (kernels && *count == v.number) {
            *out = kernels;
            return true;
        }
        free(kernels);
        break;
    }
    *count = 0;
    snprintf(text, text_bytes, "code object: the metadata note is damaged or names no kernels");
    return false;
}
