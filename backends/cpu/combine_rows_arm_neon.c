/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neon.h"

#include "combine_rows_body.h"

void tenon_combine_rows_arm_neon(const tenon_combine_span *span) {
    combine_rows(span);
}
