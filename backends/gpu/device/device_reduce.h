/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions over lanes. AMD: by DPP, an operand is read from a neighbouring lane, without LDS.
 *
 *   group_*   over `lanes` neighbouring lanes (a power of two); every lane gets the result
 *   wave_*    over the wave; the result is scalar
 *
 * All lanes of the group must be active. The order of a sum depends on the place of the lanes
 * alone. */
#ifndef TENON_DEVICE_REDUCE_H
#define TENON_DEVICE_REDUCE_H

#include "device_math.h"

#if defined(__AMDGCN__)
/* DPP controls: AMD Instinct MI300 instruction set reference, "Data Parallel Primitives". */
enum {
    DPP_SWAP_NEIGHBOURS = 0xb1, /* quad_perm [1, 0, 3, 2] */
    DPP_SWAP_PAIRS = 0x4e,      /* quad_perm [2, 3, 0, 1] */
    DPP_ROW_MIRROR = 0x140,     /* of 16 lanes */
    DPP_ROW_HALF_MIRROR = 0x141 /* of 8 lanes */
};

#    define DPP_READ(bits, control)                                                                \
        ((uint32_t)__builtin_amdgcn_update_dpp((int)(bits), (int)(bits), control, 0xf, 0xf, false))

/* One function for each step, as the control has to be a constant. A lane and its partner then hold
 * the same bits, and so do all lanes of the group at the end. */
#    define DEVICE_DEFINE_REDUCTIONS(name, type, to_bits, from_bits, combine)                      \
        DEVICE type group_##name(type x, const uint32_t lanes) {                                   \
            if (lanes >= 2) x = combine(x, from_bits(DPP_READ(to_bits(x), DPP_SWAP_NEIGHBOURS)));  \
            if (lanes >= 4) x = combine(x, from_bits(DPP_READ(to_bits(x), DPP_SWAP_PAIRS)));       \
            if (lanes >= 8) x = combine(x, from_bits(DPP_READ(to_bits(x), DPP_ROW_HALF_MIRROR)));  \
            if (lanes >= 16) x = combine(x, from_bits(DPP_READ(to_bits(x), DPP_ROW_MIRROR)));      \
            if (lanes >= 32)                                                                       \
                x = combine(x, from_bits(wave_read_lane(to_bits(x), lane_id() ^ 16)));             \
            if (lanes >= 64)                                                                       \
                x = combine(x, from_bits(wave_read_lane(to_bits(x), lane_id() ^ 32)));             \
            return x;                                                                              \
        }                                                                                          \
        /* The rows of 16 lanes hold one value each: these are combined as scalars. */             \
        DEVICE type wave_##name(type x) {                                                          \
            x = group_##name(x, 16);                                                               \
            type sum = from_bits((uint32_t)__builtin_amdgcn_readlane((int)to_bits(x), 0));         \
            for (int lane = 16; lane < WAVE_LANES; lane += 16)                                     \
                sum = combine(                                                                     \
                    sum, from_bits((uint32_t)__builtin_amdgcn_readlane((int)to_bits(x), lane)));   \
            return sum;                                                                            \
        }
#else
#    define DEVICE_DEFINE_REDUCTIONS(name, type, to_bits, from_bits, combine)                      \
        DEVICE type group_##name(type x, const uint32_t lanes) {                                   \
            for (uint32_t step = 1; step < lanes; step *= 2)                                       \
                x = combine(x, from_bits(group_swap(to_bits(x), step, lanes)));                    \
            return x;                                                                              \
        }                                                                                          \
        DEVICE type wave_##name(type x) {                                                          \
            return group_##name(x, WAVE_LANES);                                                    \
        }
#endif

DEVICE uint32_t same_bits(uint32_t x) {
    return x;
}
DEVICE float added_f32(float a, float b) {
    return a + b;
}
DEVICE uint32_t larger_u32(uint32_t a, uint32_t b) {
    return a > b ? a : b;
}
DEVICE uint32_t smaller_u32(uint32_t a, uint32_t b) {
    return a < b ? a : b;
}
DEVICE uint32_t added_u32(uint32_t a, uint32_t b) {
    return a + b;
}

DEVICE_DEFINE_REDUCTIONS(max_f32, float, bits_of, float_of, larger_f32) /* a NaN loses */
DEVICE_DEFINE_REDUCTIONS(sum_f32, float, bits_of, float_of, added_f32)
DEVICE_DEFINE_REDUCTIONS(max_u32, uint32_t, same_bits, same_bits, larger_u32)
DEVICE_DEFINE_REDUCTIONS(min_u32, uint32_t, same_bits, same_bits, smaller_u32)
DEVICE_DEFINE_REDUCTIONS(sum_u32, uint32_t, same_bits, same_bits, added_u32)

#endif /* TENON_DEVICE_REDUCE_H */
