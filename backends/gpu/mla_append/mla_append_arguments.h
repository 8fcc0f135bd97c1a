/* SPDX-License-Identifier: Apache-2.0 */
/* What the launcher of mla_append hands to its kernels. Strides in elements. */
#ifndef TENON_MLA_APPEND_ARGUMENTS_H
#define TENON_MLA_APPEND_ARGUMENTS_H

#include "device/device_arguments.h"

enum { MLA_APPEND_BLOCK_LANES = 256 };

/* An FP8_DS row, as FORMATS.md has it. */
enum {
    FP8_DS_LATENT = 512,
    FP8_DS_GROUP = 128,
    FP8_DS_SCALES_AT = 512,
    FP8_DS_ROPE_AT = 528,
    FP8_DS_ROPE = 64
};

typedef struct mla_append_arguments {
    tenon_device_const_bytes kv_c, k_pe, slot_mapping, scale; /* scale: f32, or NULL */
    tenon_device_bytes cache;
    tenon_device_fault fault;
    int64_t kv_c_token, k_pe_token;
    int64_t cache_page, cache_slot, cache_step;
    uint32_t d_latent, d_row;
    uint32_t kv_c_number, k_pe_number, number;
    uint32_t n_slots, page_size, n_tokens;
    uint32_t slots_are_64;
} mla_append_arguments;

#endif /* TENON_MLA_APPEND_ARGUMENTS_H */
