/* SPDX-License-Identifier: Apache-2.0 */
#include "mla_append_arguments.h"
#include "mla_append_launch.h"
#include "gpu_launch.h"
#include "stored_number.h"

enum { PLAIN_BY_8, PLAIN_BY_4, PLAIN_ELEMENTS, FP8_DS_BY_8, FP8_DS_BY_4, FP8_DS_ELEMENTS };
static const char *const symbols[] = {"mla_append_plain_by_8",
                                      "mla_append_plain_by_4",
                                      "mla_append_plain_elements",
                                      "mla_append_fp8_ds_by_8",
                                      "mla_append_fp8_ds_by_4",
                                      "mla_append_fp8_ds_elements",
                                      NULL};

const char *tenon_gpu_mla_append_declines(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_mla_append_args *a = problem->args;
    const int64_t n_slots = a->cache->shape[0] * a->cache->shape[1];
    if (n_slots > INT32_MAX || a->cache->shape[0] > INT32_MAX || a->kv_c->shape[0] > INT32_MAX)
        return tenon_decline(reason, "%lld slots and %lld tokens, beyond 32 bits",
                             (long long)n_slots, (long long)a->kv_c->shape[0]);
    return NULL;
}

/* Numbers that a lane can move at a time: 16 bytes of the input, in one piece on both sides. */
static uint32_t piece_of(const tenon_mla_append_args *a, const mla_append_arguments *k,
                         bool fp8_ds) {
    const uint32_t wide = k->kv_c_number == TENON_NUMBER_F32 ? 4 : 8;
    const int64_t element_bytes = tenon_number_bytes((tenon_number)k->number),
                  piece_bytes = fp8_ds ? 16 : wide * element_bytes,
                  unit = piece_bytes < 16 ? piece_bytes : 16;
    const bool aligned =
        k->kv_c_number == k->k_pe_number && tenon_gpu_rows_aligned(a->kv_c) &&
        tenon_gpu_rows_aligned(a->k_pe) && k->d_latent % wide == 0 && k->d_row % wide == 0 &&
        k->cache_step == 1 && (uintptr_t)k->cache % 16 == 0 &&
        k->cache_page * element_bytes % unit == 0 && k->cache_slot * element_bytes % unit == 0;
    return aligned ? wide : 1;
}

int32_t tenon_gpu_mla_append_plan(tenon_kernel_plan *p, tenon_error *error) {
    return tenon_gpu_load(p, "mla_append", symbols, error);
}

int32_t tenon_gpu_mla_append_run(const tenon_kernel_plan *p, const void *args, tenon_error *error) {
    const tenon_mla_append_args *a = args;
    const int64_t *to = a->cache->strides;
    const bool fp8_ds = a->cache_format == TENON_MLA_CACHE_FP8_DS;
    mla_append_arguments k = {
        .kv_c = tenon_data(a->kv_c),
        .k_pe = tenon_data(a->k_pe),
        .slot_mapping = tenon_data(a->slot_mapping),
        .scale = a->kv_scale ? tenon_data(a->kv_scale) : NULL,
        .cache = tenon_data(a->cache),
        .fault = (void *)a->fault,
        .kv_c_token = a->kv_c->strides[0],
        .k_pe_token = a->k_pe->strides[0],
        .cache_page = to[0],
        .cache_slot = to[1],
        .cache_step = to[a->cache->ndim - 1],
        .d_latent = (uint32_t)a->kv_c->shape[1],
        .d_row = (uint32_t)a->cache->shape[a->cache->ndim - 1],
        .kv_c_number = (uint32_t)tenon_number_of(a->kv_c->dtype),
        .k_pe_number = (uint32_t)tenon_number_of(a->k_pe->dtype),
        .number = (uint32_t)tenon_stored_number(a->cache->dtype, a->kv_element),
        .n_slots = (uint32_t)(a->cache->shape[0] * a->cache->shape[1]),
        .page_size = (uint32_t)a->cache->shape[1],
        .n_tokens = (uint32_t)a->kv_c->shape[0],
        .slots_are_64 = a->slot_mapping->dtype.bits == 64,
    };
    const uint32_t piece = piece_of(a, &k, fp8_ds);
    const uint32_t by = piece == 8 ? PLAIN_BY_8 : piece == 4 ? PLAIN_BY_4 : PLAIN_ELEMENTS;
    /* gfx1250 has waves of 32: half as many tokens in a block. */
    const uint64_t wave = tenon_gpu_wave_lanes(p);
    return tenon_gpu_launch(
        p, fp8_ds ? by + FP8_DS_BY_8 : by,
        (tenon_gpu_grid){.blocks = tenon_gpu_blocks(k.n_tokens * wave, MLA_APPEND_BLOCK_LANES),
                         .block_lanes = MLA_APPEND_BLOCK_LANES},
        a->stream, &k, error);
}
