/* SPDX-License-Identifier: Apache-2.0 */
/* mla_append: a wave for each token. A lane moves 16 bytes of the input at a time, converted on the
 * way; a group of 128 latents of an FP8_DS row is the work of neighbouring lanes, which find its
 * scale by DPP. */
#include "device/device_fault.h"
#include "device/device_reduce.h"
#include "device/device_row.h"
#include "mla_append_arguments.h"

/* Where the token's row begins, in elements; -1: nowhere. */
DEVICE int64_t row_of_token(const mla_append_arguments *a, uint32_t token) {
    const int64_t place = load_index(a->slot_mapping, token, a->slots_are_64);
    if (place >= 0 && place < a->n_slots)
        return (uint32_t)place / a->page_size * a->cache_page +
               (uint32_t)place % a->page_size * a->cache_slot;
    if (place != -1 && lane_id() == 0)
        report_fault(a->fault, TENON_OP_MLA_APPEND, TENON_FAULT_PAGE_OUT_OF_RANGE, token, place,
                     a->n_slots);
    return -1;
}

DEVICE uint32_t token_of_wave(void) {
    return block_x() * (MLA_APPEND_BLOCK_LANES / WAVE_LANES) + wave_id();
}

DEVICE void append_plain(const mla_append_arguments *a, const int piece) {
    const uint32_t token = token_of_wave();
    if (token >= a->n_tokens) return;
    const int64_t row = row_of_token(a, token);
    if (row < 0) return;
    const float scale = a->scale ? *(TENON_GLOBAL const float *)a->scale : 1;
    for (uint32_t d = lane_id() * (uint32_t)piece; d < a->d_row;
         d += WAVE_LANES * (uint32_t)piece) {
        float x[8];
        if (d < a->d_latent)
            load_piece(a->kv_c, token * a->kv_c_token + d, a->kv_c_number, piece, x);
        else
            load_piece(a->k_pe, token * a->k_pe_token + (d - a->d_latent), a->k_pe_number, piece,
                       x);
        const int64_t at = row + d * a->cache_step;
        if (a->number <= TENON_NUMBER_BF16) {
            store_piece(a->cache, at, a->number, piece, x);
        } else {
            if (a->scale)
                for (int j = 0; j < piece; j++) x[j] /= scale;
            store_piece_bytes(a->cache, at, a->number, piece, x);
        }
    }
}

/* lanes * passes * piece = 128 */
DEVICE void append_fp8_ds(const mla_append_arguments *a, const int piece, const int lanes,
                          const int passes) {
    const uint32_t token = token_of_wave();
    if (token >= a->n_tokens) return;
    const int64_t row = row_of_token(a, token);
    if (row < 0) return;
    const uint32_t lane = lane_id() % (uint32_t)lanes, n_groups = FP8_DS_LATENT / FP8_DS_GROUP;
    for (uint32_t group = lane_id() / (uint32_t)lanes; group < n_groups;
         group += WAVE_LANES / (uint32_t)lanes) {
        float x[8], amax = 0;
        for (int p = 0; p < passes; p++) {
            const uint32_t d =
                group * FP8_DS_GROUP + (uint32_t)(p * lanes + (int)lane) * (uint32_t)piece;
            load_piece(a->kv_c, token * a->kv_c_token + d, a->kv_c_number, piece, x + p * piece);
            for (int j = 0; j < piece; j++)
                amax = larger_f32(amax, magnitude_f32(x[p * piece + j]));
        }
        float scale = group_max_f32(amax, (uint32_t)lanes) / 448.0f;
        if (!(scale > 0)) scale = 1;
        if (lane == 0) store_4(a->cache + row + FP8_DS_SCALES_AT + group * 4, bits_of(scale));
        for (int p = 0; p < passes; p++) {
            const uint32_t d =
                group * FP8_DS_GROUP + (uint32_t)(p * lanes + (int)lane) * (uint32_t)piece;
            for (int j = 0; j < piece; j++) x[p * piece + j] /= scale;
            store_piece_bytes(a->cache, row + d, TENON_NUMBER_E4M3FN, piece, x + p * piece);
        }
    }
    for (uint32_t d = lane_id() * (uint32_t)piece; d < FP8_DS_ROPE;
         d += WAVE_LANES * (uint32_t)piece) {
        float x[8];
        load_piece(a->k_pe, token * a->k_pe_token + d, a->k_pe_number, piece, x);
        store_piece(a->cache + row + FP8_DS_ROPE_AT, d, TENON_NUMBER_BF16, piece, x);
    }
}

/* Rows of both sides on 16-byte boundaries, and of whole pieces; or element by element. */
DEVICE_KERNEL(mla_append_plain_by_8,
              MLA_APPEND_BLOCK_LANES)(DEVICE_ARGUMENT mla_append_arguments a) {
    append_plain(&a, 8);
}
DEVICE_KERNEL(mla_append_plain_by_4,
              MLA_APPEND_BLOCK_LANES)(DEVICE_ARGUMENT mla_append_arguments a) {
    append_plain(&a, 4);
}
DEVICE_KERNEL(mla_append_plain_elements,
              MLA_APPEND_BLOCK_LANES)(DEVICE_ARGUMENT mla_append_arguments a) {
    append_plain(&a, 1);
}
DEVICE_KERNEL(mla_append_fp8_ds_by_8,
              MLA_APPEND_BLOCK_LANES)(DEVICE_ARGUMENT mla_append_arguments a) {
    append_fp8_ds(&a, 8, 16, 1);
}
DEVICE_KERNEL(mla_append_fp8_ds_by_4,
              MLA_APPEND_BLOCK_LANES)(DEVICE_ARGUMENT mla_append_arguments a) {
    append_fp8_ds(&a, 4, 32, 1);
}
DEVICE_KERNEL(mla_append_fp8_ds_elements,
              MLA_APPEND_BLOCK_LANES)(DEVICE_ARGUMENT mla_append_arguments a) {
    append_fp8_ds(&a, 1, 32, 4);
}
