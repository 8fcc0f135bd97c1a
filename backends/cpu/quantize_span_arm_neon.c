/* SPDX-License-Identifier: Apache-2.0 */
#include "simd/simd_arm_neon.h"

#include "quantize_span_body.h"

float tenon_quantize_span_arm_neon(tenon_number type, const void *x, int64_t count,
                                   tenon_number element, uint8_t *out) {
    return span_run(type, x, count, element, out);
}
