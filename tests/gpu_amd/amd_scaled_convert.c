/* SPDX-License-Identifier: Apache-2.0
 *
 * v_cvt_scalef32_*: conversions of gfx950 with a power-of-two scale.
 */
#include "amd_vector.h"

static const amd_opcode rows[] = {
    {"v_cvt_scalef32_none", NULL, GPU_AMD_VECTOR, AMD_F32, 1, 0, 0},
};
const amd_opcode_table amd_scaled_convert_table = {rows, 0};
