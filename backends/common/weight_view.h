/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TENON_WEIGHT_VIEW_H
#define TENON_WEIGHT_VIEW_H

/* A quantized tensor as a function (row, column) -> value, whatever its format. Made from a tensor
 * and its descriptor after every shape has been checked; read element by element, in runs, or as
 * raw codes with the scale that goes with them. It owns nothing and costs nothing to copy.
 *
 * rows (n) and columns (k) are logical: k is the dimension that a matmul reduces. Activations are
 * the same with their tokens as rows. */

#include "backend.h"
#include "format_storage.h"

/* A tensor of scales or zero points, addressed by (row group, column group). */
typedef struct tenon_parameter_plane {
    const uint8_t *data; /* NULL: not there, or shapes only */
    int32_t present;
    tenon_number number;
    int64_t expert_stride, row_stride, col_stride; /* in elements */
} tenon_parameter_plane;

typedef struct tenon_weight_view {
    int32_t format; /* TENON_FORMAT_*; NONE: plain elements */
    tenon_number number;
    int64_t experts; /* 1 for a tensor without that dimension */
    int64_t n, k;

    const uint8_t
        *data; /* NULL where only the shapes were known; then only shapes may be asked for */
    int64_t expert_stride; /* bytes between experts */
    int64_t n_stride;      /* bytes between rows (for AWQ: between words of eight rows) */
    int64_t k_stride;      /* bytes between entries along k, see format_storage.h */

    int64_t group_rows, group_cols; /* rows and columns that share a scale; >= 1 */
    int64_t row_groups, col_groups;
    int32_t scale_swizzled; /* TENON_SCALE_LAYOUT_SWIZZLE_128X4 */
    int32_t global_divides;
    tenon_parameter_plane scale, zero_point, global_scale, group_index;
} tenon_weight_view;

/* What turns the codes of one group into values:  (number(code) - zero) * scale + offset. Where a
 * format has no offset it is minus zero, which changes no sum, not even one of minus zero. */
typedef struct tenon_weight_group {
    double scale, zero, offset;
} tenon_weight_group;

/* Checks tensor and descriptor against FORMATS.md and fills the view. quant may be NULL: plain
 * elements. Data pointers may be NULL and contents are not read. OK, or INVALID_ARGUMENT /
 * UNSUPPORTED with the sentence in why. PACKED is UNSUPPORTED here: a blob belongs to its maker. */
int32_t tenon_weight_view_from(const DLTensor *tensor, const tenon_quant *quant,
                               tenon_weight_view *view, tenon_reason *why);

/* The same for activations: scales and zero points may have more rows than the tensor, because a
 * run may bring fewer tokens than its plan while the descriptor stays the plan's. */
int32_t tenon_activation_view_from(const DLTensor *tensor, const tenon_quant *quant,
                                   tenon_weight_view *view, tenon_reason *why);

/* The view of one expert, with experts == 1. */
tenon_weight_view tenon_weight_expert(const tenon_weight_view *view, int64_t expert);

/* Raw code of an element, without sign extension or offset. Not for plain f32, f16 and bf16. */
uint8_t tenon_weight_code(const tenon_weight_view *view, int64_t row, int64_t col);

/* The parameters of the element's group. A group index out of range gives NaN. */
tenon_weight_group tenon_weight_group_at(const tenon_weight_view *view, int64_t row, int64_t col);

/* The parameters of a row in a group of columns that is there, of a format that keeps them beside
 * the elements. */
tenon_weight_group tenon_weight_parameters(const tenon_weight_view *view, int64_t row,
                                           int64_t group);

/* Columns from col on that share the group of col, at least 1. */
int64_t tenon_weight_group_run(const tenon_weight_view *view, int64_t col);

/* count values of a row from column col0 on. The f32 form rounds the exact value once. */
void tenon_weight_decode(const tenon_weight_view *view, int64_t row, int64_t col0, int64_t count,
                         float *dst);
void tenon_weight_decode_f64(const tenon_weight_view *view, int64_t row, int64_t col0,
                             int64_t count, double *dst);

#endif
