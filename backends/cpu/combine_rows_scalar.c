/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_scalar.h"

#include "combine_rows_body.h"

void tenon_combine_rows_scalar(const tenon_combine_span *span) {
    combine_rows(span);
}
