/* SPDX-License-Identifier: Apache-2.0 */
/* A read position inside bytes that nobody has checked: each take moves on only if all of what it
 * wants is there. GGUF is little-endian, as is every machine this example runs on. */
#ifndef SMOLLM_GGUF_CURSOR_H
#define SMOLLM_GGUF_CURSOR_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "gguf_file.h"

/* The file's value types. */
enum {
    GGUF_VALUE_U8 = 0,
    GGUF_VALUE_I8 = 1,
    GGUF_VALUE_U16 = 2,
    GGUF_VALUE_I16 = 3,
    GGUF_VALUE_U32 = 4,
    GGUF_VALUE_I32 = 5,
    GGUF_VALUE_F32 = 6,
    GGUF_VALUE_BOOL = 7,
    GGUF_VALUE_STRING = 8,
    GGUF_VALUE_ARRAY = 9,
    GGUF_VALUE_U64 = 10,
    GGUF_VALUE_I64 = 11,
    GGUF_VALUE_F64 = 12
};

typedef struct gguf_cursor {
    const uint8_t *bytes;
    size_t size_bytes;
    size_t at; /* always <= size_bytes */
} gguf_cursor;

static inline bool gguf_take(gguf_cursor *cursor, void *out, size_t count_bytes) {
    if (count_bytes > cursor->size_bytes - cursor->at) return false;
    memcpy(out, cursor->bytes + cursor->at, count_bytes);
    cursor->at += count_bytes;
    return true;
}

static inline bool gguf_take_u32(gguf_cursor *cursor, uint32_t *out) {
    return gguf_take(cursor, out, sizeof *out);
}

static inline bool gguf_take_u64(gguf_cursor *cursor, uint64_t *out) {
    return gguf_take(cursor, out, sizeof *out);
}

static inline bool gguf_take_string(gguf_cursor *cursor, gguf_string *out) {
    uint64_t length_bytes;
    if (!gguf_take_u64(cursor, &length_bytes)) return false;
    if (length_bytes > cursor->size_bytes - cursor->at) return false;
    out->bytes = (const char *)cursor->bytes + cursor->at;
    out->length_bytes = (size_t)length_bytes;
    cursor->at += (size_t)length_bytes;
    return true;
}

/* 0 for types without a fixed size and for unknown ones. */
static inline size_t gguf_value_bytes(uint32_t type) {
    switch (type) {
    case GGUF_VALUE_U8:
    case GGUF_VALUE_I8:
    case GGUF_VALUE_BOOL:
        return 1;
    case GGUF_VALUE_U16:
    case GGUF_VALUE_I16:
        return 2;
    case GGUF_VALUE_U32:
    case GGUF_VALUE_I32:
    case GGUF_VALUE_F32:
        return 4;
    case GGUF_VALUE_U64:
    case GGUF_VALUE_I64:
    case GGUF_VALUE_F64:
        return 8;
    default:
        return 0;
    }
}

static inline bool gguf_skip_values(gguf_cursor *cursor, uint32_t type, uint64_t count) {
    if (type == GGUF_VALUE_STRING) {
        gguf_string ignored;
        for (uint64_t i = 0; i < count; i++) {
            if (!gguf_take_string(cursor, &ignored)) return false;
        }
        return true;
    }
    const size_t element_bytes = gguf_value_bytes(type);
    if (element_bytes == 0 || count > (cursor->size_bytes - cursor->at) / element_bytes) {
        return false;
    }
    cursor->at += (size_t)count * element_bytes;
    return true;
}

#endif
