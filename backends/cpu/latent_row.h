/* SPDX-License-Identifier: Apache-2.0 */
/* The FP8_DS row of a latent cache, 656 bytes: 512 e4m3fn latents, 4 f32 scales of 128 latents
 * each, 64 bf16 rope values. */
#ifndef TENON_LATENT_ROW_H
#define TENON_LATENT_ROW_H

#include "backend.h"

enum {
    TENON_DS_LATENT = 512,
    TENON_DS_GROUP = 128,
    TENON_DS_ROPE = 64,
    TENON_DS_ELEMENTS = TENON_DS_LATENT + TENON_DS_ROPE,
    TENON_DS_SCALES_AT = 512,
    TENON_DS_ROPE_AT = 528,
    TENON_DS_ROW_BYTES = 656
};

/* How mla_attention tells the attention row that it stands on about such a cache: a u8 cache with
 * this kv_element. Private to the CPU backend; no host can pass it. */
enum { TENON_CPU_ELEMENT_FP8_DS = TENON_ELEMENT_COUNT };

#endif /* TENON_LATENT_ROW_H */
