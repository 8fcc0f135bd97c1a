/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_FORMAT_STORAGE_H
#define TENON_FORMAT_STORAGE_H

/* How each format lies in a tensor. An entry is what the storage tensor counts: a byte, or a 32-bit
 * word. `k_per` columns take `k_entries` entries, `n_per` rows take one. Formats with k_first store
 * [k, n] order, all others [n, k]. `group` is the fixed number of columns of a block, 0 where the
 * descriptor's group_cols says it.
 *
 *  X(format, number, entry_bytes, k_first, k_per, k_entries, n_per, group) */

#include "number.h"
#include "tenon_base.h"

#define TENON_FORMAT_STORAGE(X)                                                                    \
    X(FP8, UNKNOWN, 1, 0, 1, 1, 1, 0)                                                              \
    X(INT8, I8, 1, 0, 1, 1, 1, 0)                                                                  \
    X(INT4, U4, 1, 0, 2, 1, 1, 0)                                                                  \
    X(INT4_GPTQ, U4, 4, 1, 8, 1, 1, 0)                                                             \
    X(INT4_GPTQ_V2, U4, 4, 1, 8, 1, 1, 0)                                                          \
    X(INT4_AWQ, U4, 4, 1, 1, 1, 8, 0)                                                              \
    X(INT4_CT, U4, 4, 0, 8, 1, 1, 0)                                                               \
    X(INT8_CT, U8, 4, 0, 4, 1, 1, 0)                                                               \
    X(MXFP4, E2M1, 1, 0, 2, 1, 1, 32)                                                              \
    X(MXFP6_E2M3, E2M3, 1, 0, 4, 3, 1, 32)                                                         \
    X(MXFP6_E3M2, E3M2, 1, 0, 4, 3, 1, 32)                                                         \
    X(MXFP8, UNKNOWN, 1, 0, 1, 1, 1, 32)                                                           \
    X(NVFP4, E2M1, 1, 0, 2, 1, 1, 16)                                                              \
    X(GGUF_Q4_0, U4, 1, 0, 32, 18, 1, 32)                                                          \
    X(GGUF_Q4_1, U4, 1, 0, 32, 20, 1, 32)                                                          \
    X(GGUF_Q8_0, I8, 1, 0, 32, 34, 1, 32)                                                          \
    X(GGUF_Q4_K, U4, 1, 0, 256, 144, 1, 256)                                                       \
    X(GGUF_Q6_K, U8, 1, 0, 256, 210, 1, 256)

typedef struct tenon_format_storage {
    const char *name;
    tenon_number number; /* what a code stands for; UNKNOWN: the tensor or the descriptor says */
    int32_t entry_bytes;
    int32_t k_first;
    int32_t k_per, k_entries;
    int32_t n_per;
    int32_t group;
} tenon_format_storage;

/* NULL for NONE, PACKED and anything unknown. */
static inline const tenon_format_storage *tenon_format_storage_of(int32_t format) {
#define TENON_STORAGE_ROW(format_, number, entry_bytes, k_first, k_per, k_entries, n_per, group)   \
    [TENON_FORMAT_##format_] = {                                                                   \
        #format_, TENON_NUMBER_##number, entry_bytes, k_first, k_per, k_entries, n_per, group},
    static const tenon_format_storage rows[TENON_FORMAT_COUNT] = {
        TENON_FORMAT_STORAGE(TENON_STORAGE_ROW)};
#undef TENON_STORAGE_ROW
    if (format <= TENON_FORMAT_NONE || format >= TENON_FORMAT_COUNT || !rows[format].name)
        return NULL;
    return &rows[format];
}

static inline int tenon_format_is_gguf(int32_t format) {
    return format >= TENON_FORMAT_GGUF_Q4_0 && format <= TENON_FORMAT_GGUF_Q6_K;
}

static inline int tenon_format_is_mx(int32_t format) {
    return format >= TENON_FORMAT_MXFP4 && format <= TENON_FORMAT_MXFP8;
}

static inline int tenon_format_is_word_packed(int32_t format) {
    return format >= TENON_FORMAT_INT4_GPTQ && format <= TENON_FORMAT_INT8_CT;
}

#endif
