/* SPDX-License-Identifier: Apache-2.0
 *
 * Who touched which byte of LDS since the last barrier. Two waves on one byte, one of them writing,
 * is a race; two that write the same value are let pass, and so are two atomics.
 */
#ifndef AMD_RACE_H
#define AMD_RACE_H

#include "amd_core.h"

typedef enum amd_touch { AMD_TOUCH_READ, AMD_TOUCH_WRITE, AMD_TOUCH_ATOMIC } amd_touch;

/* Words of shadow memory for so many bytes of LDS. */
size_t amd_shadow_words(uint32_t lds_bytes);
/* All lanes of an access: size bytes at address[lane] (already checked against the bounds). values:
 * what is written, or NULL. */
void amd_touch_lds(amd_wave *wave, amd_touch touch, const amd_row address, uint64_t lanes,
                   uint32_t size, const uint32_t *const *values);
/* A direct-to-LDS load of size bytes a lane is on the way, and has arrived. */
void amd_fill_issued(amd_wave *wave, amd_outstanding *entry, uint32_t size);
void amd_fill_arrived(amd_wave *wave, const amd_outstanding *entry);
/* After a barrier: what a wave has not waited for happens as much behind the barrier as before it.
 */
void amd_touch_again(amd_wave *wave);

#endif
