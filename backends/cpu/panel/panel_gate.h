/* SPDX-License-Identifier: Apache-2.0 */
/* From blocks of sums to an expert's results: bias, gate and up halves wherever they stand,
 * activation, the row's weight. */
#ifndef TENON_PANEL_GATE_H
#define TENON_PANEL_GATE_H

#include "panel_multiply.h"

typedef struct tenon_panel_gate {
    tenon_panel_epilogue epilogue;
    int32_t gate_layout;
    int32_t gated;
    int64_t n_out; /* columns of the result: n, or n / 2 where there are halves */
    tenon_panel_type out_type, bias_type;
} tenon_panel_gate;

/* Where a row's result goes. */
typedef struct tenon_panel_target {
    uint8_t *out; /* column 0 */
    float weight;
    int32_t zero; /* the row is 0, whatever its sums */
} tenon_panel_target;

typedef void (*tenon_panel_target_fn)(const void *operation, int64_t row,
                                      tenon_panel_target *target);

/* Blocks of a job with this gate, and sums that finishing one keeps. */
int64_t tenon_panel_gate_blocks(const tenon_panel_gate *gate);
enum { TENON_PANEL_GATE_SUMS = 2 };

/* Finishes block `block` of the segment. bias: [n] of the segment's expert, or NULL. */
void tenon_panel_gate_finish(const tenon_panel_job *job, const tenon_panel_segment *segment,
                             int64_t block, uint8_t *scratch, const tenon_panel_gate *gate,
                             const uint8_t *bias, tenon_panel_target_fn target);

static inline int32_t tenon_panel_type_bytes(tenon_panel_type type) {
    return type == TENON_PANEL_TYPE_F32 ? 4 : 2;
}

#endif /* TENON_PANEL_GATE_H */
