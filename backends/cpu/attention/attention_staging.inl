/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that the packing does not read as they are (fp8, int8, scaled, of unequal types, split or
 * odd head dims) go through a stage of f32 rows first. Included by attention_cpu.inl.
 */

/* Fills staged[t] for t in [0, n) with pointers to f32 rows; positions that nobody sees become
 * zeros. */
static void stage_rows(const tenon_attention_job *job, const tenon_attention_block *block,
                       const tenon_attention_stage *stage, const uint8_t *const *rows, int32_t tile,
                       int32_t first, int32_t end, int32_t n, float *buffer,
                       const uint8_t **staged) {
    for (int32_t t = 0; t < n; t++, buffer += job->stage_stride) {
        const int32_t j = tile + t;
        staged[t] = (const uint8_t *)buffer;
        if (j < first || j >= end) {
            memset(buffer, 0, (size_t)job->stage_stride * sizeof *buffer);
            continue;
        }
        const int64_t page = block->sequence->pages[j / job->page_size];
        const float scale =
            stage->scale ? *tenon_scale_at(stage->scale, page, j % job->page_size, block->kv_head)
                         : 1.0f;
        for (int32_t i = 0; i < stage->n_pieces; i++)
            stage->convert(buffer + i * stage->piece, rows[t] + i * stage->piece_stride,
                           stage->piece, scale);
    }
}

/* [1], [heads_kv] or [batch, heads_kv]. */
static float query_scale(const tenon_attention_job *job, const tenon_attention_block *block) {
    const DLTensor *scale = job->args->q_scale;
    if (!scale) return 1.0f;
    const int64_t head = block->kv_head, b = block->sequence - job->sequences;
    const int64_t at = scale->ndim == 2       ? b * scale->strides[0] + head * scale->strides[1]
                       : scale->shape[0] == 1 ? 0
                                              : head * scale->strides[0];
    return ((const float *)tenon_data(scale))[at];
}
