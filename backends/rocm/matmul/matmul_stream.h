/* SPDX-License-Identifier: Apache-2.0 */
/* Few rows of x: the weights are streamed once, straight into registers.
 *
 * A block makes 16 virtual rows of w times 16 or 32 rows of x. Its eight waves take the chunks of k
 * in turn and leave the sums of each in LDS; then they are added in order of k, as the tile kernel
 * does. All loads of a wave's chunks of a round are in flight at once. */
#ifndef TENON_MATMUL_STREAM_H
#define TENON_MATMUL_STREAM_H

#include "matmul_kinds.h"

enum { STREAM_WAVES = MATMUL_STREAM_LANES / 64, STREAM_SLOTS = 32 };

SHARED_ARRAY(f32x4, stream_sums, STREAM_SLOTS * 64);
SHARED_ARRAY(f32x4, stream_scales, STREAM_SLOTS * 4);
SHARED_ARRAY(float, stream_x_scales, STREAM_SLOTS * 16);

DEVICE void stream_chunk(const matmul_arguments *a, const matmul_kind kind, const uint32_t number,
                         const uint32_t m_tiles, const w_raw *raw,
                         const tenon_device_const_bytes *x, const uint32_t *x_scale, uint32_t chunk,
                         f32x4 *sums) {
    const uint32_t g = lane_id() / 16, columns = piece_columns(kind);
#pragma unroll
    for (uint32_t m = 0; m < m_tiles; m++) {
        u32x4 piece[4];
        const uint32_t n_pieces = kind == KIND_MXFP8 ? 2 : kind_steps(kind);
#pragma unroll
        for (uint32_t j = 0; j < n_pieces; j++) {
            const uint32_t p = chunk * kind_pieces(kind) + x_piece(kind, j, g);
            piece[j] = load_16_if(p * columns < a->k, x[m] + 16 * p);
        }
        sums[m] = (f32x4){0, 0, 0, 0};
        if (kind_is_scaled(kind)) {
            sums[m] = multiply_scaled(kind, raw, piece[0], piece[kind == KIND_MXFP8],
                                      x_scale_code(a, x_scale[m], chunk), sums[m]);
            continue;
        }
#pragma unroll
        for (uint32_t j = 0; j < kind_steps(kind); j++) {
            const u32x4 w = decode_w(a, kind, number, raw, j);
            sums[m] = kind == KIND_FP8 ? multiply_fp8(w, native_fp8(&a->x, piece[j]), sums[m])
                                       : multiply_halves(number, w, piece[j], sums[m]);
        }
    }
}

DEVICE void matmul_stream(const matmul_arguments *a, const matmul_kind kind, const uint32_t number,
                          const uint32_t m_tiles) {
    const matmul_block block = find_block(a, block_y(), 16 * m_tiles);
    if (!block.count) return;
    enum { MOST_TILES = 2, MOST_TURNS = STREAM_SLOTS / STREAM_WAVES };
    const uint32_t round = STREAM_SLOTS / m_tiles, turns = round / STREAM_WAVES;
    const uint32_t c = lane_id() % 16, g = lane_id() / 16, v0 = block_x() * MATMUL_STREAM_COLS;
    const uint32_t n_chunks = a->x_rows ? (a->k + CHUNK - 1) / CHUNK : 0;
    const w_row w = w_row_of(a, kind, block.expert, v0 + c);
    const uint32_t v = v0 + c < a->n ? v0 + c : a->n - 1;
    const uint32_t w_scale =
        kind_has_scales(kind) ? scale_base(&a->w, block.expert, weight_row(a, v)) : 0;
    tenon_device_const_bytes x[MOST_TILES];
    uint32_t x_scale[MOST_TILES];
#pragma unroll
    for (uint32_t m = 0; m < m_tiles; m++) {
        const uint32_t in_block = 16 * m + c < block.count ? 16 * m + c : 0;
        const uint32_t row = source_of(a, block.first + in_block, false).row;
        x[m] = x_row_data(a, row);
        x_scale[m] = kind == KIND_FP8 || kind_is_scaled(kind) ? x_scale_base(a, row) : 0;
    }
    f32x4 total = {0, 0, 0, 0};
    for (uint32_t c0 = 0; c0 < n_chunks; c0 += round) {
        w_raw raw[MOST_TURNS];
        float scale[MOST_TURNS];
#pragma unroll
        for (uint32_t t = 0; t < turns; t++) {
            const uint32_t chunk = c0 + wave_id() + STREAM_WAVES * t;
            if (chunk >= n_chunks) continue;
#pragma unroll
            for (uint32_t j = 0; j < kind_steps(kind); j++) load_w(a, kind, &w, chunk, j, &raw[t]);
            scale[t] = kind == KIND_FP8        ? fp8_scale(&a->w, w_scale, chunk)
                       : kind_has_scales(kind) ? chunk_scale(&a->w, w_scale, chunk)
                                               : 1;
        }
#pragma unroll
        for (uint32_t t = 0; t < turns; t++) {
            const uint32_t slot = wave_id() + STREAM_WAVES * t, chunk = c0 + slot;
            if (chunk >= n_chunks) continue;
            f32x4 sums[MOST_TILES];
            stream_chunk(a, kind, number, m_tiles, &raw[t], x, x_scale, chunk, sums);
            if (g == 0) ((SHARED float *)stream_scales)[slot * 16 + c] = scale[t];
#pragma unroll
            for (uint32_t m = 0; m < m_tiles; m++) {
                stream_sums[(slot * m_tiles + m) * 64 + lane_id()] = sums[m];
                if (kind == KIND_FP8 && g == 0)
                    stream_x_scales[(slot * m_tiles + m) * 16 + c] =
                        fp8_scale(&a->x, x_scale[m], chunk);
            }
        }
        workgroup_barrier();
        if (wave_id() < m_tiles) {
            const uint32_t left = n_chunks - c0 < round ? n_chunks - c0 : round;
            for (uint32_t slot = 0; slot < left; slot++) {
                const f32x4 sums = stream_sums[(slot * m_tiles + wave_id()) * 64 + lane_id()];
                f32x4 by = stream_scales[slot * 4 + g];
                if (kind == KIND_FP8) by *= stream_x_scales[(slot * m_tiles + wave_id()) * 16 + c];
#pragma unroll
                for (int i = 0; i < 4; i++) total[i] = fma_f32(sums[i], by[i], total[i]);
            }
        }
        workgroup_barrier();
    }
    const uint32_t in_block = 16 * wave_id() + c;
    if (wave_id() >= m_tiles || in_block >= block.count) return;
    const uint32_t r = block.first + in_block;
    const matmul_arguments end = arguments_again();
    finish_outputs(&end, block.expert, r, source_of(&end, r, !block_x()), v0 + 4 * g, total);
}

#endif /* TENON_MATMUL_STREAM_H */
