/* SPDX-License-Identifier: Apache-2.0 */
/* A grouped matmul over sorted rows, in rounds of a bounded number of prepared rows. Experts keep
 * their order, so that an expert's weights are read once unless its rows are cut by the end of a
 * round. */
#include "moe_cpu.h"

static const void *row_of(const void *operation, int64_t r) {
    const tenon_moe_product *p = operation;
    return p->in.base + (p->in.pair ? p->in.pair[r] / p->in.k : r) * p->in.stride_bytes;
}

static void target_of(const void *operation, int64_t r, tenon_panel_target *target) {
    const tenon_moe_product *p = operation;
    target->out = p->out + r * p->out_stride_bytes;
}

static void finish(const tenon_panel_job *job, const tenon_panel_segment *segment, int64_t block,
                   uint8_t *scratch) {
    const tenon_moe_product *p = job->operation;
    const tenon_panel_gate *gate = &p->weight->gate;
    const uint8_t *bias =
        p->bias ? (const uint8_t *)tenon_data(p->bias) + segment->expert * p->bias->strides[0] *
                                                             tenon_panel_type_bytes(gate->bias_type)
                : NULL;
    tenon_panel_gate_finish(job, segment, block, scratch, gate, bias, target_of);
}

void tenon_moe_multiply(const tenon_moe_state *state, uint8_t *workspace,
                        const tenon_moe_product *p, tenon_cpu_pool *pool) {
    tenon_panel_segment *segments = (tenon_panel_segment *)(void *)(workspace + state->segments_at);
    tenon_panel_job job = {.shape = &p->weight->shape,
                           .weights = p->w,
                           .segments = segments,
                           .prepared = workspace + state->prepared_at,
                           .scratch = workspace + state->scratch_at,
                           .round_rows = p->weight->round_rows,
                           .row = row_of,
                           .type = p->in_type,
                           .finish = finish,
                           .n_blocks = tenon_panel_gate_blocks(&p->weight->gate),
                           .operation = p};
    const int64_t round_rows = p->weight->round_rows;
    int64_t filled = 0;
    for (int64_t e = 0; e < p->experts; e++) {
        int64_t first = p->first[e], left = p->count[e];
        while (left > 0) {
            const int64_t room = round_rows - filled, rows = left < room ? left : room;
            job.n_segments +=
                tenon_panel_cut(filled, first, rows, (int32_t)e, segments + job.n_segments);
            filled += rows, first += rows, left -= rows;
            if (filled < round_rows) continue;
            tenon_panel_run(&job, pool);
            filled = job.n_segments = 0;
        }
    }
    if (filled) tenon_panel_run(&job, pool);
}
