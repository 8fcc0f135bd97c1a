/* SPDX-License-Identifier: Apache-2.0 */
/* The rules by which quantize makes scales and zero points, in double (FORMATS.md, "Quantization"):
 * shared by all who quantize on the host. */
#ifndef TENON_QUANTIZE_RULE_H
#define TENON_QUANTIZE_RULE_H

#include "weight_view.h"

/* What one call knows of all its groups. */
typedef struct tenon_quantizer {
    const tenon_quantize_args *args;
    const tenon_quant *quant;
    tenon_weight_view q;
    double element_max;
    bool nan_in_elements; /* the element type can say NaN; otherwise the scale has to */
    bool asymmetric;
} tenon_quantizer;

/* Of a group's values and 0. A NaN is left to the elements where they can say it; otherwise it is
 * the amax. amax_floor is in the amax. */
typedef struct tenon_value_range {
    double least, largest, amax;
} tenon_value_range;

/* Fills all but GGUF's, which have encoders of their own. OK, or INVALID_ARGUMENT / UNSUPPORTED and
 * why. */
int32_t tenon_quantizer_from(const tenon_quantize_args *args, tenon_quantizer *quantizer,
                             tenon_reason *why);

/* From the values' least, largest (0 if none is beyond it) and whether one is NaN. */
tenon_value_range tenon_value_range_of(const tenon_quantizer *quantizer, double least,
                                       double largest, bool has_nan);

/* Writes scale and zero point of a group, unless they are given. */
void tenon_quantize_group_rule(const tenon_quantizer *quantizer, int64_t row_group,
                               int64_t col_group, tenon_value_range range);

/* What the tiled layout pads is written too: a tensor core reads it. */
void tenon_clear_scale_padding(const tenon_quantizer *quantizer);

#endif
