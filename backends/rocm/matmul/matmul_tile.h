/* SPDX-License-Identifier: Apache-2.0 */
/* Many rows of x: a block makes 128 rows of x by 128 virtual rows of w.
 *
 * x goes through LDS, a chunk at a time, while the next chunk is on its way in registers. Each of
 * the four waves multiplies all 128 rows with its own 32 rows of w, which come straight into
 * registers and are decoded there: no weight is read or decoded twice in a block.
 *
 * LDS: row r, piece p lies at slot p ^ (r mod pieces), so that the 16 rows of a fragment lie in
 * different banks. With 8 pieces of a row, two rows fill the 64 banks of gfx950: there it is r / 2.
 */
#ifndef TENON_MATMUL_TILE_H
#define TENON_MATMUL_TILE_H

#include "matmul_kinds.h"

enum { TILE_ROWS = 128, TILE_M = TILE_ROWS / 16, TILE_N = 2, TILE_MOST_PIECES = 16 };

SHARED_ARRAY(u32x4, tile_x, TILE_ROWS *TILE_MOST_PIECES);

DEVICE uint32_t tile_slot(const uint32_t pieces, uint32_t row, uint32_t piece) {
#if defined(__gfx950__)
    const uint32_t turn = pieces == 16 ? row : pieces == 8 ? row / 2 : row / 4;
#else
    const uint32_t turn = pieces == 4 ? row / 2 : row;
#endif
    return row * pieces + (piece ^ (turn % pieces));
}

DEVICE void matmul_tile(const matmul_arguments *a, const matmul_kind kind, const uint32_t number) {
    const matmul_block block = find_block(a, block_y(), TILE_ROWS);
    if (!block.count) return;
    const uint32_t c = lane_id() % 16, g = lane_id() / 16;
    const uint32_t v0 = block_x() * MATMUL_TILE_COLS + wave_id() * 16 * TILE_N;
    const uint32_t n_chunks = a->x_rows ? (a->k + CHUNK - 1) / CHUNK : 0;
    const uint32_t pieces = kind_pieces(kind), columns = piece_columns(kind);
    const uint32_t loads = TILE_ROWS * pieces / MATMUL_TILE_LANES;
    const uint32_t my_piece = thread_x() % pieces, my_row = thread_x() / pieces;

    uint32_t x_from[8]; /* from the beginning of x, which has less than 2^32 bytes */
#pragma unroll
    for (uint32_t i = 0; i < loads; i++) {
        const uint32_t row = my_row + i * (MATMUL_TILE_LANES / pieces);
        const uint32_t r = block.first + (row < block.count ? row : 0);
        x_from[i] =
            (uint32_t)(x_row_data(a, source_of(a, r, false).row) - a->x.data) + 16 * my_piece;
    }
    w_row w[TILE_N];
    uint32_t w_scale[TILE_N][4];
#pragma unroll
    for (uint32_t n = 0; n < TILE_N; n++) {
        w[n] = w_row_of(a, kind, block.expert, v0 + 16 * n + c);
#pragma unroll
        for (uint32_t i = 0; i < 4; i++) {
            const uint32_t v = v0 + 16 * n + 4 * g + i;
            w_scale[n][i] =
                kind_has_scales(kind)
                    ? scale_base(&a->w, block.expert, weight_row(a, v < a->n ? v : a->n - 1))
                    : 0;
        }
    }
    uint32_t x_scale[TILE_M];
    if (kind == KIND_FP8 || kind_is_scaled(kind)) {
#pragma unroll
        for (uint32_t m = 0; m < TILE_M; m++) {
            const uint32_t row = 16 * m + c;
            x_scale[m] = x_scale_base(
                a, source_of(a, block.first + (row < block.count ? row : 0), false).row);
        }
    }

    u32x4 next[8];
    w_raw raw[TILE_N];
    f32x4 total[TILE_M][TILE_N];
#pragma unroll
    for (uint32_t m = 0; m < TILE_M; m++)
#pragma unroll
        for (uint32_t n = 0; n < TILE_N; n++) total[m][n] = (f32x4){0, 0, 0, 0};
    if (n_chunks) {
#pragma unroll
        for (uint32_t i = 0; i < loads; i++)
            next[i] = load_16_if(my_piece * columns < a->k, a->x.data + x_from[i]);
#pragma unroll
        for (uint32_t n = 0; n < TILE_N; n++)
#pragma unroll
            for (uint32_t j = 0; j < kind_steps(kind); j++) load_w(a, kind, &w[n], 0, j, &raw[n]);
    }

#pragma unroll 1
    for (uint32_t chunk = 0; chunk < n_chunks; chunk++) {
        workgroup_barrier();
#pragma unroll
        for (uint32_t i = 0; i < loads; i++)
            tile_x[tile_slot(pieces, my_row + i * (MATMUL_TILE_LANES / pieces), my_piece)] =
                kind == KIND_FP8 ? native_fp8(&a->x, next[i]) : next[i];
        const uint32_t ahead = chunk + 1;
#pragma unroll
        for (uint32_t i = 0; i < loads; i++) /* past the end nothing is read */
            next[i] = load_16_if((ahead * pieces + my_piece) * columns < a->k,
                                 a->x.data + (x_from[i] + 16 * ahead * pieces));
        workgroup_barrier();

        f32x4 sums[TILE_M][TILE_N];
#pragma unroll
        for (uint32_t m = 0; m < TILE_M; m++)
#pragma unroll
            for (uint32_t n = 0; n < TILE_N; n++) sums[m][n] = (f32x4){0, 0, 0, 0};
        w_raw after[TILE_N];
#pragma unroll
        for (uint32_t n = 0; n < TILE_N; n++) after[n] = raw[n];
#pragma unroll
        for (uint32_t j = 0; j < kind_steps(kind); j++) {
            u32x4 wj[TILE_N];
            if (!kind_is_scaled(kind)) {
#pragma unroll
                for (uint32_t n = 0; n < TILE_N; n++) wj[n] = decode_w(a, kind, number, &raw[n], j);
            }
#pragma unroll
            for (uint32_t m = 0; m < TILE_M; m++) {
                const uint32_t row = 16 * m + c;
                const u32x4 x = tile_x[tile_slot(pieces, row, x_piece(kind, j, g))];
                u32x4 x1 = x;
                uint32_t code = 127;
                if (kind == KIND_MXFP8) x1 = tile_x[tile_slot(pieces, row, 4 + g)];
                if (kind_is_scaled(kind)) code = x_scale_code(a, x_scale[m], chunk);
#pragma unroll
                for (uint32_t n = 0; n < TILE_N; n++)
                    sums[m][n] = kind_is_scaled(kind)
                                     ? multiply_scaled(kind, &raw[n], x, x1, code, sums[m][n])
                                 : kind == KIND_FP8 ? multiply_fp8(wj[n], x, sums[m][n])
                                                    : multiply_halves(number, wj[n], x, sums[m][n]);
            }
#pragma unroll
            for (uint32_t n = 0; n < TILE_N; n++) load_w(a, kind, &w[n], ahead, j, &after[n]);
        }
#pragma unroll
        for (uint32_t n = 0; n < TILE_N; n++) {
            f32x4 by;
#pragma unroll
            for (uint32_t i = 0; i < 4; i++)
                by[i] = kind == KIND_FP8        ? fp8_scale(&a->w, w_scale[n][i], chunk)
                        : kind_has_scales(kind) ? chunk_scale(&a->w, w_scale[n][i], chunk)
                                                : 1;
#pragma unroll
            for (uint32_t m = 0; m < TILE_M; m++) {
                f32x4 factor = by;
                if (kind == KIND_FP8) factor *= fp8_scale(&a->x, x_scale[m], chunk);
#pragma unroll
                for (int i = 0; i < 4; i++)
                    total[m][n][i] = fma_f32(sums[m][n][i], factor[i], total[m][n][i]);
            }
            raw[n] = after[n];
        }
    }

    /* Sums go through LDS, each lane's own, so that one copy of the code finishes all of them. */
    SHARED f32x4 *mine = (SHARED f32x4 *)tile_x + wave_id() * (TILE_M * 64) + lane_id();
#pragma unroll
    for (uint32_t n = 0; n < TILE_N; n++) {
        workgroup_barrier();
#pragma unroll
        for (uint32_t m = 0; m < TILE_M; m++) mine[m * 64] = total[m][n];
        const uint32_t v = v0 + 16 * n + 4 * g;
#pragma unroll 1
        for (uint32_t m = 0; m < TILE_M; m++) {
            const matmul_arguments end = arguments_again();
            const uint32_t r = block.first + 16 * m + c;
            if (16 * m + c >= block.count) continue;
            finish_outputs(&end, block.expert, r, source_of(&end, r, !block_x() && !n), v,
                           mine[m * 64]);
        }
    }
}

/* The three kernels of a kind. tile_waves: how many waves of the tile kernel share a SIMD; two hide
 * each other's waits, in 256 registers each, where those are enough. */
#define MATMUL_KERNELS(name, kind, number, tile_waves)                                             \
    DEVICE_KERNEL(name##_stream_16, MATMUL_STREAM_LANES)(matmul_arguments a) {                     \
        matmul_stream(&a, kind, number, 1);                                                        \
    }                                                                                              \
    DEVICE_KERNEL(name##_stream_32, MATMUL_STREAM_LANES)(matmul_arguments a) {                     \
        matmul_stream(&a, kind, number, 2);                                                        \
    }                                                                                              \
    __attribute__((amdgpu_waves_per_eu(tile_waves, 2))) DEVICE_KERNEL(                             \
        name##_tile, MATMUL_TILE_LANES)(matmul_arguments a) {                                      \
        matmul_tile(&a, kind, number);                                                             \
    }

#endif /* TENON_MATMUL_TILE_H */
