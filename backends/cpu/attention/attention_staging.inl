/* SPDX-License-Identifier: Apache-2.0 */
/* Rows that an engine does not read as they are (fp8, int8, another float type, split or odd head
 * dims, FP8_DS) become rows of its own type first, without their scales: those go onto logits and
 * weights. Included by attention_cpu.inl.
 */
enum { STAGED_BYTES = PACKED_PAIRS ? 2 : 4 };
/* Positions of short sequences that are staged at a time: a multiple of what dot_any takes. */
enum { STAGED_SPAN = 16 };
#define STAGED_TYPE (PACKED_PAIRS ? TENON_NUMBER_BF16 : TENON_NUMBER_F32)

/* The first n elements of a row of e4m3fn groups with their scales, then bf16. */
static void stage_latent(const tenon_row_converters *converters, uint8_t *out, const uint8_t *row,
                         int32_t n) {
    const tenon_row_convert_fn *from = converters->to_from[STAGED_TYPE];
    for (int32_t i = 0; i < TENON_DS_LATENT; i += TENON_DS_GROUP) {
        float scale;
        memcpy(&scale, row + TENON_DS_SCALES_AT + i / TENON_DS_GROUP * 4, sizeof scale);
        from[TENON_NUMBER_E4M3FN](out + i * STAGED_BYTES, row + i, TENON_DS_GROUP, scale);
    }
    if (n > TENON_DS_LATENT)
        from[TENON_NUMBER_BF16](out + TENON_DS_LATENT * STAGED_BYTES, row + TENON_DS_ROPE_AT,
                                TENON_DS_ROPE, 1);
}

/* Rows [0, n) to staged rows; zeros behind each, and in place of what nobody sees. `staged` may be
 * `rows`. */
static void stage_rows(const tenon_attention_job *job, const tenon_attention_cache *cache,
                       const uint8_t *const *rows, int32_t n, const uint8_t *zeros, uint8_t *buffer,
                       const uint8_t **staged) {
    const tenon_attention_stage *stage = &cache->stage;
    if (stage->decode) {
        stage->decode((uint16_t *)buffer, job->stage_bytes / 2, rows, n, cache->d);
    } else {
        for (int32_t t = 0; t < n; t++) {
            uint8_t *to = buffer + (int64_t)t * job->stage_bytes;
            const int32_t filled = rows[t] == zeros ? 0 : cache->d * STAGED_BYTES;
            memset(to + filled, 0, (size_t)(job->stage_bytes - filled));
            if (filled && stage->latent)
                stage_latent(stage->latent, to, rows[t], cache->d);
            else if (filled)
                tenon_head_row_read(&stage->row, (char *)to, (const char *)rows[t], STAGED_BYTES,
                                    stage->convert, 1);
        }
    }
    for (int32_t t = 0; t < n; t++) staged[t] = buffer + (int64_t)t * job->stage_bytes;
}

/* Scales of the positions [first, end) of a tile, 1 elsewhere; NULL where all are 1. */
static const float *tile_scales(const tenon_attention_job *job, const tenon_attention_block *block,
                                const DLTensor *scale, int32_t head, int32_t tile, int32_t first,
                                int32_t end, float *out) {
    if (!scale) return NULL;
    if (scale->ndim == 1) {
        const vf32 same = vf32_set1(*tenon_scale_at(scale, 0, 0, head));
        for (int32_t t = 0; t < TILE; t += V_LANES) vf32_store(out + t, same);
        return out;
    }
    for (int32_t t = 0; t < TILE; t += V_LANES) vf32_store(out + t, vf32_set1(1.0f));
    for (int32_t j = first; j < end;) {
        const int32_t page = j / job->page_size, slot = j % job->page_size;
        const int32_t run = job->page_size - slot < end - j ? job->page_size - slot : end - j;
        const float *at = tenon_scale_at(scale, block->sequence->pages[page], slot, head);
        for (int32_t i = 0; i < run; i++) out[j - tile + i] = at[i * scale->strides[1]];
        j += run;
    }
    return out;
}

/* [1], [heads_kv] or [batch, heads_kv]. */
static float query_scale(const tenon_attention_job *job, const tenon_attention_block *block,
                         int32_t head) {
    const DLTensor *scale = job->args->q_scale;
    if (!scale) return 1.0f;
    const int64_t b = block->sequence - job->sequences;
    const int64_t at = scale->ndim == 2       ? b * scale->strides[0] + head * scale->strides[1]
                       : scale->shape[0] == 1 ? 0
                                              : head * scale->strides[0];
    return ((const float *)tenon_data(scale))[at];
}
