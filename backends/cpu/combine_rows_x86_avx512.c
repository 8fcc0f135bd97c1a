/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_x86_avx512.h"

#include "combine_rows_body.h"

void tenon_combine_rows_x86_avx512(const tenon_combine_span *span) {
    combine_rows(span);
}
