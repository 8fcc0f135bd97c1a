/* SPDX-License-Identifier: Apache-2.0 */
/* Few tokens: weights stream from memory, once, and become numbers in registers.
 *
 * Eight warps are two pieces of `frags` * 16 weight rows by the four parts of k. The weights are
 * the 16-row operand of the matrix instruction, eight tokens its columns. Lane (g, t) = (lane / 4,
 * lane % 4) has columns 8t .. 8t + 7 of a slab, of both operands: which column stands in which
 * place of the instruction is free, as long as the operands agree, and so each lane reads
 * neighbours. Codes are multiplied exactly; the sum of a slab is multiplied by its scale in f32. */
#ifndef TENON_MULTIPLY_STREAM_H
#define TENON_MULTIPLY_STREAM_H

#include "multiply_codec.h"
#include "multiply_finish.h"
#include "multiply_load.h"

/* Registers of one slab of 16 weight rows: two operands of four. `at`: the slab. */
DEVICE void weight_operands(const multiply_arguments *a, shared_address at, uint32_t place,
                            const uint32_t places, const uint32_t code, const bool bf16,
                            bool sixteen, const slab_scale s[2], uint32_t operand[2][4]) {
    const uint32_t t = lane_id() % 4;
#pragma unroll
    for (uint32_t h = 0; h < 2; h++) {
        const uint32_t row = place + lane_id() / 4 + 8 * h;
        uint32_t pair[4];
        if (code == MULTIPLY_CODE_16) {
            const u32x4 v = load_shared_16(at + row * 64 + t * 16);
            for (int i = 0; i < 4; i++) pair[i] = v[i];
        } else if (code == MULTIPLY_CODE_FP8) {
            const u32x2 v = load_shared_8(at + row * 32 + t * 8);
            codec_fp8(v[0], a->w_number, bf16, pair);
            codec_fp8(v[1], a->w_number, bf16, pair + 2);
        } else {
            const uint32_t word = load_shared_4(at + (a->storage == MULTIPLY_K_LAST
                                                          ? row * 16 + t * 4
                                                          : t * ((places + 8) * 4) + row * 4));
            if (code == MULTIPLY_CODE_U4) {
                codec_u4(word, s[h].second, bf16, pair);
            } else {
                codec_e2m1(word, bf16, pair);
                if (sixteen)
                    for (int i = 0; i < 4; i++)
                        pair[i] = multiply_pair(pair[i], t < 2 ? s[h].first : s[h].second, bf16);
            }
        }
        operand[0][h] = pair[0], operand[0][2 + h] = pair[1];
        operand[1][h] = pair[2], operand[1][2 + h] = pair[3];
    }
}

/* Words of AWQ in shared memory to words of rows, in another place. */
DEVICE void transpose_slabs(shared_address from, shared_address to, const uint32_t places,
                            const uint32_t slabs, uint32_t lane, const uint32_t lanes) {
#pragma unroll 1
    for (uint32_t i = lane; i < slabs * 4 * (places / 8); i += lanes) {
        const uint32_t octet = i % (places / 8), line = i / (places / 8);
        uint32_t word[8];
#pragma unroll
        for (uint32_t j = 0; j < 8; j++)
            word[j] = load_shared_4(from + (line * 8 + j) * (places / 2) + octet * 4);
        codec_transpose_n_words(word);
#pragma unroll
        for (uint32_t j = 0; j < 8; j++)
            store_shared_4(to + line * ((places + 8) * 4) + (octet * 8 + j) * 4,
                           word[j / 2 + 4 * (j % 2)]);
    }
}

DEVICE void multiply_stream(const multiply_arguments *a, const bool bf16, const uint32_t code,
                            const uint32_t groups /* of 8 tokens */, const uint32_t frags,
                            const uint32_t slabs, const uint32_t stages) {
    const uint32_t bits = code == MULTIPLY_CODE_16 ? 16 : code == MULTIPLY_CODE_FP8 ? 8 : 4;
    const uint32_t places = frags * 32, tokens = groups * 8;
    const uint32_t w_slab = bits == 4 ? WORD_SLAB_BYTES(places) : SLAB_BYTES(places, bits),
                   x_slab = SLAB_BYTES(tokens, 16);
    const uint32_t w_part = slabs * w_slab, x_part = slabs * x_slab,
                   stage_bytes = MULTIPLY_PARTS * (w_part + x_part);
    SHARED uint8_t *const memory = dynamic_shared();
    multiply_rows *const rows = (multiply_rows *)memory;
    slab_scale *const scales = (slab_scale *)(memory + sizeof *rows); /* two stages of them */
    const uint32_t scale_count = MULTIPLY_PARTS * slabs * places;
    const shared_address tiles =
        shared_address_of(memory) + sizeof *rows + 2 * scale_count * sizeof *scales;
    const shared_address words = tiles + stages * stage_bytes; /* for AWQ */
    const uint32_t lane = thread_x(), warp = lane / 32, part = warp / 2,
                   piece = warp % 2 * frags * 16;
    const uint32_t tile = block_x();
    const bool report = tile == 0, n_words = bits == 4 && a->storage == MULTIPLY_N_WORDS;
    const bool sixteen = code == MULTIPLY_CODE_E2M1 && a->scale_col_shift == 4;
    const bool promote = code == MULTIPLY_CODE_U4 || (code == MULTIPLY_CODE_E2M1 && !sixteen) ||
                         (code == MULTIPLY_CODE_FP8 && a->scale_groups > 1);
    const uint32_t base = (uint32_t)a->tile_base + tile * (uint32_t)a->tile_step;

    for (uint32_t row_tile = block_y();; row_tile += a->row_tiles) {
        if (!find_rows(a, rows, row_tile, tokens, report)) return;
        place_rows(a, rows, tokens, report);
        workgroup_barrier();
        const uint32_t expert = rows->expert;
        const tenon_device_const_bytes w = a->w + expert * a->w_expert_bytes;
        const uint32_t count = a->part_cols / (slabs * 32);
        const uint32_t part_k0 = part * a->part_cols, part_lane = lane % 64;
        float sum[4][2][4] = {0};

/* The two warps of a part load it. */
#define STREAM_LOAD(s)                                                                             \
    do {                                                                                           \
        if ((s) < count) {                                                                         \
            const uint32_t k0 = part_k0 + (s) * slabs * 32;                                        \
            const shared_address to = tiles + (s) % stages * stage_bytes;                          \
            load_weights(a, w, to + part * w_part, tile, base, k0, places, slabs, bits, part_lane, \
                         64);                                                                      \
            load_x(a, rows, to + MULTIPLY_PARTS * w_part + part * x_part, k0, tokens, slabs, 16,   \
                   part_lane, 64);                                                                 \
        }                                                                                          \
        copy_commit();                                                                             \
    } while (0)
#define STREAM_SCALES(s)                                                                           \
    do {                                                                                           \
        if ((promote || sixteen) && (s) < count)                                                   \
            make_scales(a, scales + ((s) % 2 * MULTIPLY_PARTS + part) * slabs * places, expert,    \
                        tile, base, part_k0 + (s) * slabs * 32, places, slabs, code, sixteen,      \
                        bf16, part_lane, 64);                                                      \
    } while (0)

#pragma unroll 1
        for (uint32_t s = 0; s + 1 < stages; s++) STREAM_LOAD(s);
        STREAM_SCALES(0);
#pragma unroll 1
        for (uint32_t s = 0; s < count; s++) {
            if (stages == 4)
                copy_wait(2);
            else if (stages == 3)
                copy_wait(1);
            else
                copy_wait(0);
            workgroup_barrier();
            STREAM_LOAD(s + stages - 1);
            STREAM_SCALES(s + 1);
            const shared_address stage = tiles + s % stages * stage_bytes;
            shared_address w_at = stage + part * w_part;
            if (n_words) {
                transpose_slabs(w_at, words + part * w_part, places, slabs, part_lane, 64);
                workgroup_barrier();
                w_at = words + part * w_part;
            }
            const uint32_t slab_step = bits != 4                       ? w_slab
                                       : a->storage == MULTIPLY_K_LAST ? SLAB_BYTES(places, 4)
                                                                       : (places + 8) * 16;
            const shared_address x_at = stage + MULTIPLY_PARTS * w_part + part * x_part;
#pragma unroll
            for (uint32_t slab = 0; slab < slabs; slab++) {
                uint32_t operand[2][2][4];
                slab_scale scale[2][2] = {0};
#pragma unroll
                for (uint32_t f = 0; f < frags; f++) {
                    const uint32_t place = piece + f * 16;
                    if (promote || sixteen)
                        for (uint32_t h = 0; h < 2; h++)
                            scale[f][h] =
                                scales[((s % 2 * MULTIPLY_PARTS + part) * slabs + slab) * places +
                                       place + lane_id() / 4 + 8 * h];
                    weight_operands(a, w_at + slab * slab_step, place, places, code, bf16, sixteen,
                                    scale[f], operand[f]);
                }
#pragma unroll
                for (uint32_t j = 0; j < groups; j++) {
                    const u32x4 v = load_shared_16(x_at + slab * x_slab + j * 512 + lane_id() * 16);
                    const uint32_t x0[2] = {v[0], v[1]}, x1[2] = {v[2], v[3]};
#pragma unroll
                    for (uint32_t f = 0; f < frags; f++) {
                        float d[4];
#pragma unroll
                        for (uint32_t i = 0; i < 4; i++) d[i] = promote ? 0 : sum[j][f][i];
                        matrix_16(d, operand[f][0], x0, bf16);
                        matrix_16(d, operand[f][1], x1, bf16);
#pragma unroll
                        for (uint32_t i = 0; i < 4; i++)
                            sum[j][f][i] = promote ? fma_f32(float_of(scale[f][i / 2].first), d[i],
                                                             sum[j][f][i])
                                                   : d[i];
                    }
                }
            }
        }
        copy_wait(0);
        workgroup_barrier();
        /* The parts, in order. sums[part][token][place] */
        float *const sums = (float *)(memory + (tiles - shared_address_of(memory)));
        const uint32_t pitch = places + 4;
#pragma unroll
        for (uint32_t j = 0; j < groups; j++)
#pragma unroll
            for (uint32_t f = 0; f < frags; f++)
#pragma unroll
                for (uint32_t i = 0; i < 4; i++)
                    sums[(part * tokens + j * 8 + lane_id() % 4 * 2 + i % 2) * pitch + piece +
                         f * 16 + lane_id() / 4 + i / 2 * 8] = sum[j][f][i];
        workgroup_barrier();
#pragma unroll 1
        for (uint32_t i = lane; i < tokens * places / 2; i += MULTIPLY_BLOCK_LANES) {
            const uint32_t q = i % (places / 2), token = i / (places / 2),
                           place = q / 8 * 16 + q % 8;
            float total[2] = {0, 0};
            row_finish finish[2];
            for (uint32_t h = 0; h < 2; h++) {
                const uint32_t at = place + 8 * h;
                for (uint32_t p = 0; p < MULTIPLY_PARTS; p++)
                    total[h] += sums[(p * tokens + token) * pitch + at];
                const row_finish none = {0, 0};
                finish[h] = is_weight_row(a, tile, places, at)
                                ? row_finish_of(a, expert, weight_row(a, base, at),
                                                code == MULTIPLY_CODE_FP8 && !promote)
                                : none;
            }
            finish_pair(a, rows, tile, base, places, place, token, finish, total);
        }
        workgroup_barrier();
    }
}

#endif /* TENON_MULTIPLY_STREAM_H */
