/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels for the emulator's own tests: a product as real ones are built, single instructions, and
 * lanes that meet in every way. */
#include "device/device_copy.h"
#include "device/device_matrix.h"
#include "device/device_reduce.h"
#include "device/device_row.h"
#include "simt_test_arguments.h"

enum { TILE_K = 32, TILE_PITCH = 80, TILE_BYTES = 64 * TILE_PITCH }; /* pitch in bytes */

/* Columns k0.. of all rows of both operands into stage s. */
DEVICE void product_stage(const product_arguments *p, shared_address tiles, uint32_t s,
                          uint32_t k0) {
    for (uint32_t i = thread_x(); i < 2 * 64 * 4; i += PRODUCT_LANES) {
        const uint32_t operand = i / 256, row = i % 256 / 4, piece = i % 4;
        uint32_t from = (row * PRODUCT_K + k0 + piece * 8) * 2;
        if (p->mutation == MUTATION_GLOBAL_BOUND && k0 + TILE_K == PRODUCT_K) from += 16;
        copy_16(tiles + (s * 2 + operand) * TILE_BYTES + row * TILE_PITCH + piece * 16,
                (operand ? p->b : p->a) + from);
    }
    if (p->mutation != MUTATION_NO_COMMIT) copy_commit();
}

DEVICE_KERNEL(simt_test_product, PRODUCT_LANES)(DEVICE_ARGUMENT product_arguments p) {
    const shared_address tiles = shared_address_of(dynamic_shared());
    const uint32_t lane = lane_id(), m0 = wave_id() % 2 * 32, n0 = wave_id() / 2 * 32;
    float sum[2][4][4] = {{{0}}};
    product_stage(&p, tiles, 0, 0);
    for (uint32_t k0 = 0, s = 0; k0 < PRODUCT_K; k0 += TILE_K, s ^= 1) {
        const bool more = k0 + TILE_K < PRODUCT_K;
        if (more) product_stage(&p, tiles, s ^ 1, k0 + TILE_K);
        if (p.mutation == MUTATION_NO_WAIT) {
        } else if (p.mutation == MUTATION_WAIT_FOR_ONE_LESS || more) {
            copy_wait(1);
        } else {
            copy_wait(0);
        }
        if (p.mutation == MUTATION_LANE_RETURNS && thread_x() == 37) return;
        if (p.mutation != MUTATION_NO_BARRIER_BEFORE &&
            !(p.mutation == MUTATION_WARP_MISSES_BARRIER && wave_id() == 2))
            workgroup_barrier();
        const shared_address a = tiles + s * 2 * TILE_BYTES, b = a + TILE_BYTES;
        for (uint32_t k = 0; k < TILE_K; k += 16) {
            uint32_t x[2][4], y[2][4];
            const uint32_t wrong = p.mutation == MUTATION_WRONG_LANE;
            const uint32_t shift = p.mutation == MUTATION_UNALIGNED ? 8 : 0;
            const uint32_t far = p.mutation == MUTATION_SHARED_BOUND && k ? 4 * TILE_BYTES : 0;
            for (uint32_t i = 0; i < 2; i++)
                load_matrix_4(x[i], a + (m0 + i * 16 + (lane + wrong) % 16) * TILE_PITCH + k * 2 +
                                        lane / 16 * 16 + shift);
            for (uint32_t j = 0; j < 2; j++)
                load_matrix_4(y[j], b + far +
                                        (n0 + j * 16 + lane % 8 + lane / 16 * 8) * TILE_PITCH +
                                        k * 2 + lane / 8 % 2 * 16);
            if (p.mutation == MUTATION_LANE_MISSES_MATRIX && thread_x() == 77) continue;
            if (p.mutation == MUTATION_OTHER_CALL && thread_x() == 77)
                x[0][0] = transpose_matrix(x[0][0]);
            for (uint32_t i = 0; i < 2; i++)
                for (uint32_t j = 0; j < 4; j++) matrix_f16(sum[i][j], x[i], &y[j / 2][j % 2 * 2]);
        }
        if (p.mutation != MUTATION_NO_BARRIER_AFTER) workgroup_barrier();
    }
    for (uint32_t i = 0; i < 2; i++)
        for (uint32_t j = 0; j < 4; j++)
            for (uint32_t r = 0; r < 4; r++) {
                const uint32_t row = m0 + i * 16 + lane / 4 + r / 2 * 8,
                               column = n0 + j * 8 + lane % 4 * 2 + r % 2;
                store_4(p.c + (row * PRODUCT_N + column) * 4, bits_of(sum[i][j][r]));
            }
}

DEVICE_KERNEL(simt_test_matrix, MATRIX_LANES)(DEVICE_ARGUMENT matrix_arguments p) {
    uint32_t a[4], b[2], d[4];
    float x[4];
    int32_t n[4];
    for (uint32_t i = 0; i < 4; i++) {
        a[i] = load_4(p.in + (lane_id() * 10 + i) * 4);
        d[i] = load_4(p.in + (lane_id() * 10 + 6 + i) * 4);
        x[i] = float_of(d[i]);
        n[i] = (int32_t)d[i];
    }
    for (uint32_t i = 0; i < 2; i++) b[i] = load_4(p.in + (lane_id() * 10 + 4 + i) * 4);
    const shared_address tile = shared_address_of(dynamic_shared());
    switch (p.what) {
    case WHAT_F16:
        matrix_f16(x, a, b);
        break;
    case WHAT_BF16:
        matrix_bf16(x, a, b);
        break;
    case WHAT_S8:
        matrix_s8(n, a, b);
        break;
    case WHAT_E4M3:
        matrix_e4m3(x, a, b);
        break;
    case WHAT_E5M2:
        matrix_e5m2(x, a, b);
        break;
    case WHAT_TRANSPOSE:
        d[0] = transpose_matrix(a[0]);
        break;
    case WHAT_STORE:
    case WHAT_STORE_TRANSPOSED:
        if (p.what == WHAT_STORE)
            store_matrix_4(tile + lane_id() * 16, a);
        else
            store_matrix_4_transposed(tile + lane_id() * 16, a);
        wave_barrier();
        for (uint32_t i = 0; i < 4; i++) d[i] = load_shared_4(tile + lane_id() * 16 + i * 4);
        break;
    default:
        for (uint32_t i = 0; i < 4; i++) store_shared_4(tile + lane_id() * 16 + i * 4, a[i]);
        wave_barrier();
        if (p.what == WHAT_LOAD)
            load_matrix_4(d, tile + lane_id() * 16);
        else
            load_matrix_4_transposed(d, tile + lane_id() * 16);
    }
    for (uint32_t i = 0; i < 4; i++) {
        if (p.what == WHAT_S8) d[i] = (uint32_t)n[i];
        if (p.what != WHAT_S8 && p.what <= WHAT_E5M2) d[i] = bits_of(x[i]);
        store_4(p.out + (lane_id() * 4 + i) * 4, d[i]);
    }
}

SHARED_ARRAY(uint32_t, passed_on, EXCHANGE_LANES);
SHARED_ARRAY(uint32_t, counted, 1);

/* Plain accesses of shared memory, ordered by each kind of barrier. */
DEVICE_KERNEL(simt_test_exchange, EXCHANGE_LANES)(DEVICE_ARGUMENT exchange_arguments p) {
    const uint32_t me = thread_x(), mine = load_4(p.in + me * 4);
    tenon_device_bytes out = p.out + me * EXCHANGE_VALUES * 4;
    if (me == 0) counted[0] = 0;
    passed_on[me] = mine;
    if (p.mutation != MUTATION_NO_BARRIER_BEFORE) workgroup_barrier();
    store_4(out, passed_on[(me + 1) % EXCHANGE_LANES]);
    shared_add_u32(&counted[0], mine);
    if (p.mutation != MUTATION_NO_BARRIER_AFTER) workgroup_barrier();
    store_4(out + 4, counted[0]);
    /* Warps 0 and 1 hand on to warp 2, and go on. */
    if (wave_id() < 2) {
        passed_on[me] = mine * 3;
        if (p.mutation != MUTATION_WARP_MISSES_BARRIER || wave_id() == 1)
            named_barrier_arrive(3, EXCHANGE_LANES);
        store_4(out + 8, 0);
    } else {
        if (p.mutation != MUTATION_NO_WAIT) named_barrier(3, EXCHANGE_LANES);
        store_4(out + 8, passed_on[me - 64] + passed_on[me - 32]);
    }
    store_4(out + 12, group_sum_u32(mine, 8));
    store_4(out + 16, (uint32_t)wave_ballot(mine % 3 == 0));
    if (p.mutation == MUTATION_SHARED_BOUND && me == EXCHANGE_LANES - 1) passed_on[me + 1] = 1;
    if (p.mutation == MUTATION_GLOBAL_BOUND) store_4(p.out + (me + 1) * EXCHANGE_VALUES * 4, 1);
}
