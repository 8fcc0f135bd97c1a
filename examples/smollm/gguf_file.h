/* SPDX-License-Identifier: Apache-2.0 */
/* Reads a GGUF model file: metadata and tensors, without copying either.
 *
 * The file is not trusted. gguf_parse checks every count, length and offset against the bytes that
 * are there before anything else looks at them, so whatever it hands out lies inside the file. */
#ifndef SMOLLM_GGUF_FILE_H
#define SMOLLM_GGUF_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "host_error.h"

enum { GGUF_MAX_DIMENSIONS = 4 };

/* Number formats of tensors; the values are the file's own. */
typedef enum gguf_format {
    GGUF_F32 = 0,
    GGUF_F16 = 1,
    GGUF_Q4_0 = 2,
    GGUF_Q4_1 = 3,
    GGUF_Q8_0 = 8,
    GGUF_Q4_K = 12,
    GGUF_Q6_K = 14,
    GGUF_BF16 = 30
} gguf_format;

typedef struct gguf_string {
    const char *bytes; /* not terminated; points into the file */
    size_t length_bytes;
} gguf_string;

typedef struct gguf_entry {
    gguf_string key;
    uint32_t type;         /* the file's value type */
    uint32_t element_type; /* arrays: type of the elements; otherwise equal to type */
    uint64_t count;        /* arrays: number of elements; otherwise 1 */
    const uint8_t *value;  /* first element */
} gguf_entry;

typedef struct gguf_tensor {
    gguf_string name;
    int dimension_count;
    uint64_t extent[GGUF_MAX_DIMENSIONS]; /* extent[0] is the contiguous one; unused ones are 1 */
    gguf_format format;
    const uint8_t *data;
    size_t size_bytes;
} gguf_tensor;

typedef struct gguf_file {
    const uint8_t *bytes;
    size_t size_bytes;
    void *mapping; /* NULL when the bytes belong to the caller */
    gguf_entry *entries;
    size_t entry_count;
    gguf_tensor *tensors;
    size_t tensor_count;
} gguf_file;

/* Maps the file and parses it. On failure *file is empty and error says why. */
bool gguf_open(gguf_file *file, const char *path, host_error *error);

/* The same for bytes in memory, which must outlive *file. */
bool gguf_parse(gguf_file *file, const uint8_t *bytes, size_t size_bytes, host_error *error);

void gguf_close(gguf_file *file);

/* Metadata. find answers NULL when the key is missing; read fails when it is missing or of another
 * kind. Strings of read_strings point into the file; the array is the caller's to free. */
const gguf_entry *gguf_find(const gguf_file *file, const char *key);
bool gguf_read_integer(const gguf_file *file, const char *key, int64_t low, int64_t high,
                       int64_t *out, host_error *error);
bool gguf_read_real(const gguf_file *file, const char *key, double *out, host_error *error);
bool gguf_read_string(const gguf_file *file, const char *key, gguf_string *out, host_error *error);
bool gguf_read_strings(const gguf_file *file, const char *key, gguf_string **out, size_t *out_count,
                       host_error *error);
/* Array of 32-bit integers; elements come one by one because the file does not align them. */
bool gguf_find_int32_array(const gguf_file *file, const char *key, const uint8_t **out,
                           size_t *out_count, host_error *error);
int32_t gguf_int32_at(const uint8_t *array, size_t index);

const gguf_tensor *gguf_find_tensor(const gguf_file *file, const char *name);
const char *gguf_format_name(gguf_format format);
/* Bytes of one row of `extent` elements; 0 when extent is not a whole number of blocks. */
size_t gguf_row_bytes(gguf_format format, uint64_t extent);

#endif
