/* SPDX-License-Identifier: Apache-2.0 */
#define _POSIX_C_SOURCE 200809L /* open, mmap */

#include "gguf_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "gguf_cursor.h"

enum {
    /* The shortest entry is an empty key, a type and one byte; the shortest tensor record an empty
     * name, no dimension, a format and an offset. Counts are checked against these before anything
     * is allocated, so that a file cannot ask for more memory than a multiple of its own size. */
    SMALLEST_ENTRY_BYTES = 8 + 4 + 1,
    SMALLEST_TENSOR_BYTES = 8 + 4 + 4 + 8,
    DEFAULT_ALIGNMENT_BYTES = 32,
    LARGEST_ALIGNMENT_BYTES = 1 << 16
};

static const struct format_row {
    gguf_format format;
    const char *name;
    uint32_t block_elements, block_bytes;
} formats[] = {
    {GGUF_F32, "F32", 1, 4},       {GGUF_F16, "F16", 1, 2},       {GGUF_BF16, "BF16", 1, 2},
    {GGUF_Q4_0, "Q4_0", 32, 18},   {GGUF_Q4_1, "Q4_1", 32, 20},   {GGUF_Q8_0, "Q8_0", 32, 34},
    {GGUF_Q4_K, "Q4_K", 256, 144}, {GGUF_Q6_K, "Q6_K", 256, 210},
};

static const struct format_row *find_format(uint32_t format) {
    for (size_t i = 0; i < sizeof formats / sizeof formats[0]; i++) {
        if ((uint32_t)formats[i].format == format) return &formats[i];
    }
    return NULL;
}

const char *gguf_format_name(gguf_format format) {
    const struct format_row *row = find_format((uint32_t)format);
    return row ? row->name : "?";
}

size_t gguf_row_bytes(gguf_format format, uint64_t extent) {
    const struct format_row *row = find_format((uint32_t)format);
    if (!row || extent % row->block_elements) return 0;
    const uint64_t blocks = extent / row->block_elements;
    return blocks > SIZE_MAX / row->block_bytes ? 0 : (size_t)blocks * row->block_bytes;
}

static bool parse_entry(gguf_cursor *cursor, gguf_entry *entry, host_error *error) {
    if (!gguf_take_string(cursor, &entry->key)) {
        return host_fail(error, "the key at byte %zu runs past the end of the file", cursor->at);
    }
    const int key_length = entry->key.length_bytes > 80 ? 80 : (int)entry->key.length_bytes;
    const char *key = entry->key.bytes;
    if (!gguf_take_u32(cursor, &entry->type)) {
        return host_fail(error, "key '%.*s': the file ends before its type", key_length, key);
    }
    entry->element_type = entry->type;
    entry->count = 1;
    if (entry->type == GGUF_VALUE_ARRAY) {
        if (!gguf_take_u32(cursor, &entry->element_type) || !gguf_take_u64(cursor, &entry->count)) {
            return host_fail(error, "key '%.*s': the file ends inside its array header", key_length,
                             key);
        }
        if (entry->element_type == GGUF_VALUE_ARRAY) {
            return host_fail(error, "key '%.*s': arrays of arrays are not supported", key_length,
                             key);
        }
    }
    entry->value = cursor->bytes + cursor->at;
    if (!gguf_skip_values(cursor, entry->element_type, entry->count)) {
        return host_fail(error,
                         "key '%.*s': %llu value(s) of type %u are unknown or run past the end of "
                         "the file",
                         key_length, key, (unsigned long long)entry->count, entry->element_type);
    }
    return true;
}

static bool parse_tensor(gguf_cursor *cursor, gguf_tensor *tensor, uint64_t *offset,
                         host_error *error) {
    uint32_t dimension_count, format_id;
    if (!gguf_take_string(cursor, &tensor->name) || !gguf_take_u32(cursor, &dimension_count)) {
        return host_fail(error, "the tensor list runs past the end of the file");
    }
    const int name_length = tensor->name.length_bytes > 80 ? 80 : (int)tensor->name.length_bytes;
    const char *name = tensor->name.bytes;
    if (dimension_count < 1 || dimension_count > GGUF_MAX_DIMENSIONS) {
        return host_fail(error, "tensor '%.*s' has %u dimensions, 1 to %d are allowed", name_length,
                         name, dimension_count, GGUF_MAX_DIMENSIONS);
    }
    tensor->dimension_count = (int)dimension_count;
    for (int d = 0; d < GGUF_MAX_DIMENSIONS; d++) tensor->extent[d] = 1;
    for (uint32_t d = 0; d < dimension_count; d++) {
        if (!gguf_take_u64(cursor, &tensor->extent[d])) {
            return host_fail(error, "tensor '%.*s': the file ends inside its shape", name_length,
                             name);
        }
    }
    if (!gguf_take_u32(cursor, &format_id) || !gguf_take_u64(cursor, offset)) {
        return host_fail(error, "tensor '%.*s': the file ends inside its record", name_length,
                         name);
    }
    if (!find_format(format_id)) {
        return host_fail(error, "tensor '%.*s' has number format %u, which this reader lacks",
                         name_length, name, format_id);
    }
    tensor->format = (gguf_format)format_id;
    size_t size_bytes = gguf_row_bytes(tensor->format, tensor->extent[0]);
    for (int d = 1; d < GGUF_MAX_DIMENSIONS && size_bytes; d++) {
        const uint64_t extent = tensor->extent[d];
        size_bytes = extent == 0 || extent > SIZE_MAX / size_bytes ? 0 : size_bytes * extent;
    }
    if (size_bytes == 0) {
        return host_fail(error,
                         "tensor '%.*s': shape %llu x %llu x %llu x %llu is empty, too large, or "
                         "no whole number of %s blocks",
                         name_length, name, (unsigned long long)tensor->extent[0],
                         (unsigned long long)tensor->extent[1],
                         (unsigned long long)tensor->extent[2],
                         (unsigned long long)tensor->extent[3], gguf_format_name(tensor->format));
    }
    tensor->size_bytes = size_bytes;
    return true;
}

static bool place_tensor(const gguf_file *file, size_t data_start, uint64_t alignment,
                         gguf_tensor *tensor, uint64_t offset, host_error *error) {
    const int name_length = tensor->name.length_bytes > 80 ? 80 : (int)tensor->name.length_bytes;
    const size_t data_bytes = file->size_bytes - data_start;
    if (offset % alignment) {
        return host_fail(error, "tensor '%.*s' starts at %llu, not a multiple of %llu", name_length,
                         tensor->name.bytes, (unsigned long long)offset,
                         (unsigned long long)alignment);
    }
    if (offset > data_bytes || tensor->size_bytes > data_bytes - offset) {
        return host_fail(error,
                         "tensor '%.*s' needs %zu bytes at %llu, but the data section has %zu",
                         name_length, tensor->name.bytes, tensor->size_bytes,
                         (unsigned long long)offset, data_bytes);
    }
    tensor->data = file->bytes + data_start + offset;
    return true;
}

static bool parse_tensors(gguf_file *file, gguf_cursor *cursor, host_error *error) {
    int64_t alignment = DEFAULT_ALIGNMENT_BYTES;
    if (gguf_find(file, "general.alignment") &&
        !gguf_read_integer(file, "general.alignment", 1, LARGEST_ALIGNMENT_BYTES, &alignment,
                           error)) {
        return false;
    }
    if (alignment & (alignment - 1)) {
        return host_fail(error, "general.alignment is %lld, not a power of two",
                         (long long)alignment);
    }
    uint64_t *offsets = calloc(file->tensor_count + 1, sizeof *offsets);
    if (!offsets) return host_fail(error, "out of memory for the tensor list");
    bool done = true;
    for (size_t i = 0; done && i < file->tensor_count; i++) {
        done = parse_tensor(cursor, &file->tensors[i], &offsets[i], error);
    }
    const size_t padding = (size_t)alignment - 1;
    size_t data_start = (cursor->at + padding) & ~padding;
    if (data_start > file->size_bytes) data_start = file->size_bytes;
    for (size_t i = 0; done && i < file->tensor_count; i++) {
        done = place_tensor(file, data_start, (uint64_t)alignment, &file->tensors[i], offsets[i],
                            error);
    }
    free(offsets);
    return done;
}

static bool parse_all(gguf_file *file, host_error *error) {
    gguf_cursor cursor = {.bytes = file->bytes, .size_bytes = file->size_bytes};
    uint32_t magic, version;
    uint64_t tensor_count, entry_count;
    if (!gguf_take_u32(&cursor, &magic) || !gguf_take_u32(&cursor, &version) ||
        !gguf_take_u64(&cursor, &tensor_count) || !gguf_take_u64(&cursor, &entry_count)) {
        return host_fail(error, "%zu bytes are too few for a GGUF header", file->size_bytes);
    }
    if (magic != 0x46554747u) return host_fail(error, "not a GGUF file: magic is 0x%08x", magic);
    if (version != 2 && version != 3) {
        return host_fail(error, "GGUF version %u, this reader knows 2 and 3", version);
    }
    const uint64_t left_bytes = file->size_bytes - cursor.at;
    if (entry_count > left_bytes / SMALLEST_ENTRY_BYTES ||
        tensor_count > left_bytes / SMALLEST_TENSOR_BYTES) {
        return host_fail(error, "%llu keys and %llu tensors cannot fit into %llu bytes",
                         (unsigned long long)entry_count, (unsigned long long)tensor_count,
                         (unsigned long long)left_bytes);
    }
    file->entries = calloc((size_t)entry_count + 1, sizeof *file->entries);
    file->tensors = calloc((size_t)tensor_count + 1, sizeof *file->tensors);
    if (!file->entries || !file->tensors) return host_fail(error, "out of memory for the index");
    for (size_t i = 0; i < entry_count; i++) {
        if (!parse_entry(&cursor, &file->entries[i], error)) return false;
        file->entry_count = i + 1;
    }
    file->tensor_count = (size_t)tensor_count;
    return parse_tensors(file, &cursor, error);
}

bool gguf_parse(gguf_file *file, const uint8_t *bytes, size_t size_bytes, host_error *error) {
    *file = (gguf_file){.bytes = bytes, .size_bytes = size_bytes};
    if (parse_all(file, error)) return true;
    gguf_close(file);
    return false;
}

bool gguf_open(gguf_file *file, const char *path, host_error *error) {
    *file = (gguf_file){0};
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (descriptor < 0) return host_fail(error, "%s: %s", path, strerror(errno));
    struct stat status;
    void *mapping = MAP_FAILED;
    if (fstat(descriptor, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0) {
        mapping = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, descriptor, 0);
    }
    close(descriptor);
    if (mapping == MAP_FAILED) {
        return host_fail(error, "%s: not a regular file that can be mapped", path);
    }
    host_error reason;
    if (!gguf_parse(file, mapping, (size_t)status.st_size, &reason)) {
        munmap(mapping, (size_t)status.st_size);
        return host_fail(error, "%s: %s", path, reason.text);
    }
    file->mapping = mapping;
    return true;
}

void gguf_close(gguf_file *file) {
    free(file->entries);
    free(file->tensors);
    if (file->mapping) munmap(file->mapping, file->size_bytes);
    *file = (gguf_file){0};
}

const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name) {
    const size_t length = strlen(name);
    for (size_t i = 0; i < file->tensor_count; i++) {
        const gguf_string *candidate = &file->tensors[i].name;
        if (candidate->length_bytes == length && memcmp(candidate->bytes, name, length) == 0) {
            return &file->tensors[i];
        }
    }
    return NULL;
}
