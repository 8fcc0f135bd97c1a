/* SPDX-License-Identifier: Apache-2.0 */
/* A chunk of a short sequence, all KV heads of the task tile by tile: logits of all heads in the
 * order of memory while the tile's values come into the cache, then weights and values while the
 * next tile's keys do. Included by attention_cpu.inl.
 */

/* Positions below `end` of the tile; dot_any takes V_LANES of them. */
static void short_logits(const tenon_attention_job *job, const tenon_attention_block *block,
                         const uint8_t *const *rows, int32_t end,
                         const tenon_attention_scratch *scratch, walk *values) {
    const tenon_attention_cache *k = &job->k;
    const int32_t n_rows = block->n_rows, n_heads = block->n_heads;
    const int32_t n_steps = (end + V_LANES - 1) / V_LANES;
    const int32_t calls = (job->native || k->stage.convert ? 1 : n_steps) * n_heads;
    const int32_t lines = lines_of(values) / calls + 1;
    const uint8_t *shifted[TILE];
    if (job->native || k->stage.convert) {
        for (int32_t h = 0; h < n_heads; h++) {
            const int32_t *q = scratch->q + (int64_t)h * n_rows * job->q_stride;
            float *logits = scratch->logits + (int64_t)h * n_rows * TILE;
            ask_for(values, lines);
            shift_rows(rows, job->native ? TILE / GROUP : TILE, h * k->stride[2], scratch->zeros,
                       shifted);
            if (job->native) {
                dot_groups(shifted, q, job->q_stride, job->d_qk, n_rows, logits);
                continue;
            }
            stage_rows(job, k, shifted, TILE, scratch->zeros, scratch->staged, shifted);
            for (int32_t t = 0; t < end; t += V_LANES)
                dot_any(shifted + t, q, job->q_stride, (job->d_qk + DOT_STEP - 1) & ~(DOT_STEP - 1),
                        n_rows, logits + t, STAGED_TYPE);
        }
        return;
    }
    for (int32_t i = 0; i < n_steps * n_heads; i++) {
        const bool heads_inner = k->stride[2] < k->stride[1];
        const int32_t h = heads_inner ? i % n_heads : i / n_steps,
                      t = (heads_inner ? i / n_heads : i % n_steps) * V_LANES;
        ask_for(values, lines);
        shift_rows(rows + t, V_LANES, h * k->stride[2], scratch->zeros, shifted);
        dot_any(shifted, scratch->q + (int64_t)h * n_rows * job->q_stride, job->q_stride, job->d_qk,
                n_rows, scratch->logits + (int64_t)h * n_rows * TILE + t, k->type);
    }
}

/* Values of one KV head; rows may be groups. partial: some of the tile is not to be read. */
static void short_values(const tenon_attention_job *job, const tenon_attention_block *block,
                         int32_t h, const uint8_t *const *rows, int32_t first, int32_t end,
                         bool apart, const head_rows *head, const tenon_attention_scratch *scratch,
                         walk *keys, int32_t lines) {
    const tenon_attention_cache *v = &job->v;
    const int32_t n_positions = (end + 1) & ~1, n_rows = block->n_rows;
    const int32_t *weights = PACKED_PAIRS ? head->weights : (const int32_t *)head->logits;
    const uint8_t *shifted[TILE];
    look_ahead nothing = {0};
    shift_rows(rows, job->native ? TILE / GROUP : TILE, h * v->stride[2], scratch->zeros, shifted);
    if (job->native && !apart && first == 0 && end == TILE) {
        add_groups(shifted, weights, head->state.out, job->out_stride, job->d_v, n_rows, keys,
                   lines);
        return;
    }
    if (v->stage.convert) {
        if (job->one_cache)
            for (int32_t t = 0; t < TILE; t++)
                shifted[t] = scratch->staged + (int64_t)t * job->stage_bytes;
        else
            stage_rows(job, v, shifted, n_positions, scratch->zeros, scratch->staged, shifted);
    }
    if (!job->native && !apart) {
        add_any(shifted, n_positions, weights, head->state.out, job->out_stride,
                v->stage.convert ? (job->d_v + DOT_STEP - 1) & ~(DOT_STEP - 1) : job->d_v, n_rows,
                keys, lines, v->type);
        return;
    }
    if (job->native)
        unpack_v_groups(shifted, first, end, job->d_v, scratch->v, job->out_stride);
    else
        pack_v(shifted, shifted, n_positions, job->d_v, scratch->v, job->out_stride, v->type);
    if (apart) set_apart(job, n_rows, n_positions, scratch->v, head);
    multiply_values(job, weights, scratch, n_rows, n_positions, head->state.out, &nothing);
}

static tenon_attention_state rows_from(const tenon_attention_job *job,
                                       const tenon_attention_state *state, int32_t row) {
    return (tenon_attention_state){state->max + row, state->sum + (int64_t)row * V_LANES,
                                   state->out + (int64_t)row * job->out_stride};
}

static void find_either(const tenon_attention_job *job, const tenon_attention_cache *cache,
                        const tenon_attention_block *block, int32_t tile, int32_t end,
                        const uint8_t *zeros, const uint8_t **rows) {
    const int32_t first = block->kv_first > tile ? block->kv_first : tile,
                  last = end - tile < TILE ? end : tile + TILE;
    if (job->native)
        find_groups(job, cache, block, tile, first, last, zeros, rows);
    else
        find_rows(job, cache, block, tile, first, last, zeros, rows);
}

static void accumulate_short(const tenon_attention_job *job, const tenon_attention_block *block,
                             int32_t first, int32_t end, bool apart,
                             tenon_attention_scratch *scratch, tenon_attention_state *state) {
    const int32_t n_rows = block->n_rows, n_heads = block->n_heads,
                  n_pointers = job->native ? TILE / GROUP : TILE;
    const uint8_t *k_rows[2][TILE], *v_rows[TILE];
    float k_scales[TILE], v_scales[TILE];
    int turn = 0;
    find_either(job, &job->k, block, first, end, scratch->zeros, k_rows[0]);
    walk keys = walk_of(&job->k, job->native, k_rows[0], n_pointers, n_heads, scratch->zeros);
    ask_for(&keys, lines_of(&keys)); /* nobody has asked for the first tile */
    for (int32_t tile = first;; tile += TILE, turn ^= 1) {
        const int32_t seen_first = block->kv_first > tile ? block->kv_first - tile : 0,
                      seen_end = end - tile < TILE ? end - tile : TILE;
        const bool last = end - tile <= TILE;
        find_either(job, &job->v, block, tile, end, scratch->zeros, v_rows);
        walk values = walk_of(&job->v, job->native, v_rows, job->one_cache ? 0 : n_pointers,
                              n_heads, scratch->zeros);
        short_logits(job, block, k_rows[turn], seen_end, scratch, &values);
        if (!last)
            find_either(job, &job->k, block, tile + TILE, end, scratch->zeros, k_rows[turn ^ 1]);
        keys = walk_of(&job->k, job->native, k_rows[turn ^ 1], last ? 0 : n_pointers, n_heads,
                       scratch->zeros);
        /* The values of a head take about that many steps. */
        const int32_t steps = n_heads * ((n_rows + 3) / 4) * TILE / (PACKED_PAIRS + 1) *
                              ((job->d_v + FEW_VECTORS * V_LANES - 1) / (FEW_VECTORS * V_LANES));
        const int32_t lines = lines_of(&keys) / steps + 1;
        for (int32_t h = 0; h < n_heads; h++) {
            const int32_t row = h * n_rows, kv_head = block->kv_head + h;
            const head_rows head = {
                .kv_head = kv_head,
                .logit_scale = job->logit_scale * query_scale(job, block, kv_head),
                .k_scales = tile_scales(job, block, job->k.scale, kv_head, tile, tile + seen_first,
                                        tile + seen_end, k_scales),
                .v_scales = tile_scales(job, block, job->v.scale, kv_head, tile, tile + seen_first,
                                        tile + seen_end, v_scales),
                .logits = scratch->logits + (int64_t)row * TILE,
                .weights = scratch->weights + (int64_t)row * (TILE / 2),
                .visible = apart ? scratch->visible + row : NULL,
                .state = rows_from(job, state, row)};
            for (int32_t r = 0; r < n_rows; r++) soften_row(job, block, tile, r, &head);
            short_values(job, block, h, v_rows, seen_first, seen_end, apart, &head, scratch, &keys,
                         lines);
        }
        if (last) break;
    }
}
