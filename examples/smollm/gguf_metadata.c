/* SPDX-License-Identifier: Apache-2.0 */
/* Looks up metadata of a parsed file. Bounds were checked by gguf_parse; here only kinds are. */
#include <stdlib.h>
#include <string.h>

#include "gguf_cursor.h"
#include "gguf_file.h"

const gguf_entry *gguf_find(const gguf_file *file, const char *key) {
    const size_t length = strlen(key);
    for (size_t i = 0; i < file->entry_count; i++) {
        const gguf_string *candidate = &file->entries[i].key;
        if (candidate->length_bytes == length && memcmp(candidate->bytes, key, length) == 0) {
            return &file->entries[i];
        }
    }
    return NULL;
}

static bool find_scalar(const gguf_file *file, const char *key, const gguf_entry **out,
                        host_error *error) {
    *out = gguf_find(file, key);
    if (!*out) return host_fail(error, "the file has no key '%s'", key);
    if ((*out)->type == GGUF_VALUE_ARRAY) {
        return host_fail(error, "key '%s' is an array where one value is needed", key);
    }
    return true;
}

/* Sign-extends (or not) the little-endian integer of the entry. */
static bool integer_of(const gguf_entry *entry, int64_t *out) {
    uint64_t bits = 0;
    const size_t value_bytes = gguf_value_bytes(entry->type);
    if (value_bytes == 0) return false;
    memcpy(&bits, entry->value, value_bytes);
    switch (entry->type) {
    case GGUF_VALUE_I8:
        *out = (int8_t)bits;
        return true;
    case GGUF_VALUE_I16:
        *out = (int16_t)bits;
        return true;
    case GGUF_VALUE_I32:
        *out = (int32_t)bits;
        return true;
    case GGUF_VALUE_I64:
    case GGUF_VALUE_U8:
    case GGUF_VALUE_BOOL:
    case GGUF_VALUE_U16:
    case GGUF_VALUE_U32:
        *out = (int64_t)bits;
        return true;
    case GGUF_VALUE_U64:
        *out = (int64_t)bits;
        return bits <= INT64_MAX;
    default:
        return false;
    }
}

bool gguf_read_integer(const gguf_file *file, const char *key, int64_t low, int64_t high,
                       int64_t *out, host_error *error) {
    const gguf_entry *entry;
    int64_t value;
    if (!find_scalar(file, key, &entry, error)) return false;
    if (!integer_of(entry, &value)) return host_fail(error, "key '%s' is no integer", key);
    if (value < low || value > high) {
        return host_fail(error, "key '%s' is %lld, outside %lld to %lld", key, (long long)value,
                         (long long)low, (long long)high);
    }
    *out = value;
    return true;
}

bool gguf_read_real(const gguf_file *file, const char *key, double *out, host_error *error) {
    const gguf_entry *entry;
    if (!find_scalar(file, key, &entry, error)) return false;
    if (entry->type == GGUF_VALUE_F32) {
        float value;
        memcpy(&value, entry->value, sizeof value);
        *out = (double)value;
        return true;
    }
    if (entry->type == GGUF_VALUE_F64) {
        memcpy(out, entry->value, sizeof *out);
        return true;
    }
    return host_fail(error, "key '%s' is no floating-point number", key);
}

bool gguf_read_string(const gguf_file *file, const char *key, gguf_string *out, host_error *error) {
    const gguf_entry *entry;
    if (!find_scalar(file, key, &entry, error)) return false;
    if (entry->type != GGUF_VALUE_STRING) return host_fail(error, "key '%s' is no string", key);
    gguf_cursor cursor = {.bytes = entry->value,
                          .size_bytes = file->size_bytes - (size_t)(entry->value - file->bytes)};
    return gguf_take_string(&cursor, out) ||
           host_fail(error, "key '%s' runs past the end of the file", key);
}

bool gguf_read_strings(const gguf_file *file, const char *key, gguf_string **out, size_t *out_count,
                       host_error *error) {
    const gguf_entry *entry = gguf_find(file, key);
    if (!entry) return host_fail(error, "the file has no key '%s'", key);
    if (entry->type != GGUF_VALUE_ARRAY || entry->element_type != GGUF_VALUE_STRING) {
        return host_fail(error, "key '%s' is no array of strings", key);
    }
    gguf_string *strings = calloc((size_t)entry->count + 1, sizeof *strings);
    if (!strings) return host_fail(error, "out of memory for the strings of '%s'", key);
    gguf_cursor cursor = {.bytes = entry->value,
                          .size_bytes = file->size_bytes - (size_t)(entry->value - file->bytes)};
    for (uint64_t i = 0; i < entry->count; i++) {
        if (!gguf_take_string(&cursor, &strings[i])) {
            free(strings);
            return host_fail(error, "key '%s' runs past the end of the file", key);
        }
    }
    *out = strings;
    *out_count = (size_t)entry->count;
    return true;
}

bool gguf_find_int32_array(const gguf_file *file, const char *key, const uint8_t **out,
                           size_t *out_count, host_error *error) {
    const gguf_entry *entry = gguf_find(file, key);
    if (!entry) return host_fail(error, "the file has no key '%s'", key);
    if (entry->type != GGUF_VALUE_ARRAY ||
        (entry->element_type != GGUF_VALUE_I32 && entry->element_type != GGUF_VALUE_U32)) {
        return host_fail(error, "key '%s' is no array of 32-bit integers", key);
    }
    *out = entry->value;
    *out_count = (size_t)entry->count;
    return true;
}

int32_t gguf_int32_at(const uint8_t *array, size_t index) {
    int32_t value;
    memcpy(&value, array + index * sizeof value, sizeof value);
    return value;
}
