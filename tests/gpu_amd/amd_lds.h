/* SPDX-License-Identifier: Apache-2.0
 *
 * What LDS instructions share: addresses with their checks, and the count of bank conflicts.
 */
#ifndef AMD_LDS_H
#define AMD_LDS_H

#include "amd_core.h"

/* Addresses of the active lanes, checked against the workgroup's LDS. */
void amd_lds_addresses(amd_wave *wave, const amd_instruction *inst, const uint32_t *base,
                       uint32_t offset, uint32_t size, amd_row out);
/* Counts an access and its cycles; which: 0 or 1 of an instruction with two. */
void amd_count_lds(amd_wave *wave, const amd_instruction *inst, const amd_row address,
                   uint32_t size, int which);
/* Enters it into the LDS queue: registers (0: none) and what it touches. */
void amd_issue_lds(amd_wave *wave, const amd_instruction *inst, int first, int count,
                   const amd_row address, uint32_t size, int touch);

#endif
