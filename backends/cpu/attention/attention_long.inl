/* SPDX-License-Identifier: Apache-2.0 */
/* Blocks of many rows of one KV head: keys and values are packed once for all of them. Included by
 * attention_cpu.inl.
 */

/* Pointers to the rows of a tile, or to its groups in the native layout. */
typedef struct tile_rows {
    const uint8_t *k[TILE], *v[TILE];
    int32_t first, end; /* positions that somebody sees */
} tile_rows;

static void find_tile(const tenon_attention_job *job, const tenon_attention_block *block,
                      int32_t tile, int32_t end, const uint8_t *zeros, tile_rows *rows) {
    rows->first = block->kv_first > tile ? block->kv_first : tile;
    rows->end = end - tile < TILE ? end : tile + TILE;
    if (job->native) {
        find_groups(job, &job->k, block, tile, rows->first, rows->end, zeros, rows->k);
        find_groups(job, &job->v, block, tile, rows->first, rows->end, zeros, rows->v);
        return;
    }
    find_rows(job, &job->k, block, tile, rows->first, rows->end, zeros, rows->k);
    find_rows(job, &job->v, block, tile, rows->first, rows->end, zeros, rows->v);
}

static void pack_k_tile(const tenon_attention_job *job, const tile_rows *rows,
                        const tile_rows *next, int32_t tile, int32_t n_vectors,
                        const tenon_attention_scratch *scratch) {
    const uint8_t *staged[TILE];
    if (job->native) {
        unpack_k_groups(rows->k, (rows->end - tile + GROUP - 1) / GROUP, job->d_qk, scratch->k);
    } else if (job->k.stage.convert) {
        stage_rows(job, &job->k, rows->k, n_vectors * V_LANES, scratch->zeros, scratch->staged,
                   staged);
        pack_k(staged, staged, n_vectors, (job->d_qk * STAGED_BYTES + 15) & ~15, scratch->k,
               STAGED_TYPE);
    } else {
        pack_k(rows->k, next->k, n_vectors, job->k.row_bytes, scratch->k, job->k.type);
    }
}

/* fresh: the staged keys are not there for the values to reuse. */
static void pack_v_tile(const tenon_attention_job *job, const tile_rows *rows,
                        const tile_rows *next, int32_t tile, int32_t n_positions, bool fresh,
                        const tenon_attention_scratch *scratch) {
    const uint8_t *staged[TILE];
    if (job->native) {
        unpack_v_groups(rows->v, rows->first - tile, rows->end - tile, job->d_v, scratch->v,
                        job->out_stride);
    } else if (job->v.stage.convert) {
        if (fresh)
            stage_rows(job, &job->v, rows->v, n_positions, scratch->zeros, scratch->staged, staged);
        else
            for (int32_t t = 0; t < n_positions; t++)
                staged[t] = scratch->staged + (int64_t)t * job->stage_bytes;
        pack_v(staged, staged, n_positions, job->d_v, scratch->v, job->out_stride, STAGED_TYPE);
    } else {
        pack_v(rows->v, next->v, n_positions, job->d_v, scratch->v, job->out_stride, job->v.type);
    }
}

/* out += weights x packed values. */
static void multiply_values(const tenon_attention_job *job, const int32_t *weights,
                            const tenon_attention_scratch *scratch, int32_t n_rows,
                            int32_t n_positions, float *out, look_ahead *ahead) {
    multiply(weights, PACKED_PAIRS ? TILE / 2 : TILE, scratch->v, job->out_stride, out,
             job->out_stride, n_rows, PACKED_PAIRS ? n_positions / 2 : n_positions,
             (job->d_v + V_LANES - 1) / V_LANES, false, ahead);
}

static void accumulate_long(const tenon_attention_job *job, const tenon_attention_block *block,
                            int32_t first, int32_t end, bool apart,
                            tenon_attention_scratch *scratch, tenon_attention_state *state) {
    const int32_t k_depth = PACKED_PAIRS ? (job->d_qk + 1) / 2 : job->d_qk, n_rows = block->n_rows;
    tile_rows rows[2];
    float k_scales[TILE], v_scales[TILE];
    head_rows head = {.kv_head = block->kv_head,
                      .logit_scale = job->logit_scale * query_scale(job, block, block->kv_head),
                      .logits = scratch->logits,
                      .weights = scratch->weights,
                      .visible = apart ? scratch->visible : NULL,
                      .state = *state};
    int turn = 0;
    find_tile(job, block, first, end, scratch->zeros, &rows[0]);
    for (int32_t tile = first;; tile += TILE, turn ^= 1) {
        tile_rows *now = &rows[turn], *next = &rows[turn ^ 1];
        const bool last = end - tile <= TILE;
        look_ahead next_k = {.rows = next->k}, next_v = {.rows = next->v};
        if (!last) {
            find_tile(job, block, tile + TILE, end, scratch->zeros, next);
            /* Where packing does not look ahead itself. */
            next_k.n_rows = job->native ? TILE / GROUP : job->k.stage.convert ? TILE : 0;
            next_v.n_rows = job->native ? TILE / GROUP : job->v.stage.convert ? TILE : 0;
            next_k.row_bytes = job->k.row_bytes, next_v.row_bytes = job->v.row_bytes;
        } else {
            next = now;
        }
        const int32_t n_vectors = (now->end - tile + V_LANES - 1) / V_LANES;
        const int32_t n_positions = (now->end - tile + 1) & ~1;
        pack_k_tile(job, now, next, tile, n_vectors, scratch);
        multiply(scratch->q, job->q_stride, scratch->k, TILE, scratch->logits, TILE, n_rows,
                 k_depth, n_vectors, true, &next_k);
        head.k_scales = tile_scales(job, block, job->k.scale, block->kv_head, tile, now->first,
                                    now->end, k_scales);
        head.v_scales = tile_scales(job, block, job->v.scale, block->kv_head, tile, now->first,
                                    now->end, v_scales);
        soften_rows(job, block, tile, &head);
        pack_v_tile(job, now, next, tile, n_positions, !job->one_cache, scratch);
        if (apart) set_apart(job, n_rows, n_positions, scratch->v, &head);
        multiply_values(job, PACKED_PAIRS ? scratch->weights : (const int32_t *)scratch->logits,
                        scratch, n_rows, n_positions, state->out, &next_v);
        if (last) break;
    }
}
