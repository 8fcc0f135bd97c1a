/* SPDX-License-Identifier: Apache-2.0 */
/* A chunk of a short sequence, all KV heads of the task tile by tile: logits of all heads in the
 * order of memory while the tile's values come into the cache, then weights and values while the
 * next tile's keys do. Included by attention_cpu.inl.
 */

/* Positions below `end` of the tile; dot_any takes V_LANES of them. */
static void short_logits(const tenon_attention_job *job, const tenon_attention_block *block,
                         const uint8_t *const *rows, int32_t end, int32_t n_lines,
                         const tenon_attention_scratch *scratch, ahead_of *ahead) {
    const tenon_attention_cache *k = &job->k;
    const int32_t n_rows = block->n_rows, n_heads = block->n_heads;
    const bool codes = multiplies_codes(k, block), staged = k->stage.convert && !codes;
    const int32_t step = positions_of_block(n_rows), n_steps = (end + step - 1) / step;
    const int32_t calls =
        n_heads * (job->native ? (n_rows + 3) / 4 * (job->d_qk + 7) / 8 * (V_LANES == 16 ? 1 : 4)
                               : n_steps * ((n_rows + 3) / 4) * (codes ? job->d_qk / CODES : 1));
    const int32_t lines = codes ? (n_lines + calls - 1) / calls : n_lines / calls + 1;
    const int32_t d = staged ? (job->d_qk + DOT_STEP - 1) & ~(DOT_STEP - 1) : job->d_qk;
    const uint8_t *shifted[TILE];
    if (job->native || job->one_cache) {
        for (int32_t h = 0; h < n_heads; h++) {
            const int32_t *q = scratch->q + (int64_t)h * n_rows * job->q_stride;
            float *logits = scratch->logits + (int64_t)h * n_rows * TILE;
            shift_rows(rows, job->native ? TILE / GROUP : TILE, h * k->stride[2], scratch->zeros,
                       shifted);
            if (job->native) {
                dot_groups(shifted, q, job->q_stride, job->d_qk, n_rows, logits, ahead, lines);
                continue;
            }
            if (staged) /* all of the tile: the values are there, too */
                stage_rows(job, k, shifted, TILE, scratch->zeros, scratch->staged, shifted);
            for (int32_t t = 0; t < end; t += step)
                dot_any(shifted + t, q, job->q_stride, d, n_rows, logits + t, ahead, lines,
                        k->type);
        }
        return;
    }
    /* In the order of memory: some positions of all heads, or of one head after the other. */
    const bool heads_inner = k->stride[2] < k->stride[1];
    const int32_t span = staged || codes ? STAGED_SPAN : step, n_spans = (end + span - 1) / span;
    for (int32_t i = 0; i < n_spans * n_heads; i++) {
        const int32_t h = heads_inner ? i % n_heads : i / n_spans,
                      t = (heads_inner ? i / n_heads : i % n_spans) * span;
        const int32_t *q = scratch->q + (int64_t)h * n_rows * job->q_stride;
        float *logits = scratch->logits + (int64_t)h * n_rows * TILE + t;
        shift_rows(rows + t, span, h * k->stride[2], scratch->zeros, shifted);
        if (staged) stage_rows(job, k, shifted, span, scratch->zeros, scratch->staged, shifted);
        if (codes)
            dot_codes(k, shifted, q, job->q_stride, n_rows, logits, ahead, lines);
        else
            for (int32_t s = 0; s < span && t + s < end; s += step)
                dot_any(shifted + s, q, job->q_stride, d, n_rows, logits + s, ahead, lines,
                        k->type);
    }
}

/* Values of all KV heads where they lie side by side, some positions at a time: so many as stay in
 * the first-level cache. */
static void side_by_side_values(const tenon_attention_job *job, const tenon_attention_block *block,
                                const uint8_t *const *rows, int32_t end,
                                const tenon_attention_scratch *scratch,
                                const tenon_attention_state *state, ahead_of *ahead) {
    enum { NEAR_BYTES = 16 * 1024 };
    const int32_t bytes = block->n_heads * job->v.row_bytes, n_rows = block->n_rows;
    const bool codes = multiplies_codes(&job->v, block), staged = job->v.stage.convert && !codes;
    const int32_t d = staged ? (job->d_v + DOT_STEP - 1) & ~(DOT_STEP - 1) : job->d_v;
    int32_t step = TILE;
    while (step > 4 && step * bytes > NEAR_BYTES) step /= 2;
    const int32_t width = (n_rows > 2 || codes ? FEW_VECTORS : MANY_VECTORS) * V_LANES;
    const int32_t asks =
        (n_rows + 3) / 4 * ((job->d_v + width - 1) / width) * (codes ? step / 2 : (step + 7) / 8);
    const int32_t n_lines = step * ((job->v.row_bytes + 63) / 64);
    const int32_t lines = codes ? (n_lines + asks - 1) / asks : n_lines / asks + 1;
    const uint8_t *shifted[TILE];
    for (int32_t t = 0; t < end; t += step) {
        const int32_t n = ((end - t < step ? end - t : step) + 1) & ~1;
        for (int32_t h = 0; h < block->n_heads; h++) {
            const int32_t row = h * n_rows;
            const int32_t *weights =
                PACKED_PAIRS ? scratch->weights + (int64_t)row * (TILE / 2) + t / 2
                             : (const int32_t *)scratch->logits + (int64_t)row * TILE + t;
            shift_rows(rows + t, n, h * job->v.stride[2], scratch->zeros, shifted);
            if (staged)
                stage_rows(job, &job->v, shifted, n, scratch->zeros, scratch->staged, shifted);
            float *out = state->out + (int64_t)row * job->out_stride;
            if (codes)
                add_codes(&job->v, shifted, n, weights, out, job->out_stride, n_rows, ahead, lines);
            else
                add_any(shifted, n, weights, out, job->out_stride, d, n_rows, ahead, lines,
                        job->v.type);
        }
    }
}

/* Values of one KV head; rows may be groups. partial: some of the tile is not to be read. */
static void short_values(const tenon_attention_job *job, const tenon_attention_block *block,
                         int32_t h, const uint8_t *const *rows, int32_t first, int32_t end,
                         bool apart, const head_rows *head, const tenon_attention_scratch *scratch,
                         ahead_of *ahead, int32_t lines) {
    const tenon_attention_cache *v = &job->v;
    const int32_t n_positions = (end + 1) & ~1, n_rows = block->n_rows;
    const int32_t *weights = PACKED_PAIRS ? head->weights : (const int32_t *)head->logits;
    const uint8_t *shifted[TILE];
    look_ahead nothing = {0};
    shift_rows(rows, job->native ? TILE / GROUP : TILE, h * v->stride[2], scratch->zeros, shifted);
    if (job->native && !apart && first == 0 && end == TILE) {
        add_groups(shifted, weights, head->state.out, job->out_stride, job->d_v, n_rows, ahead,
                   lines);
        return;
    }
    if (multiplies_codes(v, block) && !apart) {
        add_codes(v, shifted, n_positions, weights, head->state.out, job->out_stride, n_rows, ahead,
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
                ahead, lines, v->type);
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

/* How far ahead: longer than memory takes, short enough to stay in the first-level cache. */
enum { AHEAD_LINES = 128, AHEAD_LINES_OF_CODES = 256 };

/* bf16 pairs leave sums in the order of the zip. */
static void restore_order(const tenon_attention_job *job, int32_t n_rows, float *out) {
#if PACKED_PAIRS
    for (int64_t i = 0; i < (int64_t)n_rows * job->out_stride; i += 2 * V_LANES) {
        vf32 x[2] = {vf32_load(out + i), vf32_load(out + i + V_LANES)};
        vf32_zip_order_back(x);
        vf32_store(out + i, x[0]), vf32_store(out + i + V_LANES, x[1]);
    }
#else
    (void)job, (void)n_rows, (void)out;
#endif
}

static void accumulate_short(const tenon_attention_job *job, const tenon_attention_block *block,
                             int32_t first, int32_t end, bool apart,
                             tenon_attention_scratch *scratch, tenon_attention_state *state) {
    const int32_t n_rows = block->n_rows, n_heads = block->n_heads,
                  n_pointers = job->native ? TILE / GROUP : TILE;
    const bool side_by_side =
        !job->native && !apart && n_heads > 1 && job->v.stride[2] < job->v.stride[1];
    const uint8_t *k_rows[2][TILE], *v_rows[TILE];
    float k_scales[TILE], v_scales[TILE];
    int turn = 0;
    ahead_of ahead = {0};
    find_either(job, &job->k, block, first, end, scratch->zeros, k_rows[0]);
    ahead.now = walk_of(&job->k, job->native, k_rows[0], n_pointers, n_heads, scratch->zeros);
    const int32_t lead = multiplies_codes(&job->k, block) ? AHEAD_LINES_OF_CODES : AHEAD_LINES;
    ask_for(&ahead, job->one_cache ? INT32_MAX : lead);
    for (int32_t tile = first;; tile += TILE, turn ^= 1) {
        const int32_t seen_first = block->kv_first > tile ? block->kv_first - tile : 0,
                      seen_end = end - tile < TILE ? end - tile : TILE;
        const bool last = end - tile <= TILE;
        find_either(job, &job->v, block, tile, end, scratch->zeros, v_rows);
        if (!last)
            find_either(job, &job->k, block, tile + TILE, end, scratch->zeros, k_rows[turn ^ 1]);
        const walk values =
            walk_of(&job->v, job->native, v_rows, n_pointers, n_heads, scratch->zeros);
        const walk keys = walk_of(&job->k, job->native, k_rows[turn ^ 1], last ? 0 : n_pointers,
                                  n_heads, scratch->zeros);
        /* Where the values are the keys, half of the next keys now, half with the values. */
        ahead.then = job->one_cache ? keys : values;
        short_logits(job, block, k_rows[turn], seen_end,
                     job->one_cache ? lines_of(&keys) / 2 : lines_of(&values), scratch, &ahead);
        if (!job->one_cache) {
            if (ahead.then.left) ask_for(&ahead, ahead.now.left + 1); /* into the values */
            ahead.then = keys;
        }
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
            soften_rows(job, block, tile, &head);
            if (side_by_side) continue;
            /* The values of a head ask about that many times. */
            const int32_t width = (n_rows > 2 ? FEW_VECTORS : MANY_VECTORS) * V_LANES;
            const int32_t calls =
                n_heads * ((n_rows + 3) / 4) * (TILE / 8) * ((job->d_v + width - 1) / width);
            short_values(job, block, h, v_rows, seen_first, seen_end, apart, &head, scratch, &ahead,
                         lines_of(&keys) / calls + 1);
        }
        if (side_by_side) side_by_side_values(job, block, v_rows, seen_end, scratch, state, &ahead);
        if (last) break;
    }
    if (multiplies_codes(&job->v, block) && !apart)
        restore_order_of_codes(state->out, (int64_t)n_heads * n_rows * job->out_stride);
    else if (!job->native && !apart)
        restore_order(job, n_heads * n_rows, state->out);
}
