/* SPDX-License-Identifier: Apache-2.0 */
/* Tiles out of the native cache layout (native_cache.h): already transposed and paired, so that
 * they are copied, or widened to f32, without a shuffle. Included by attention_cpu.inl.
 */
enum { GROUP = TENON_NATIVE_GROUP, GROUP_VECTORS = GROUP / V_LANES };

/* Where each group of the tile lies; groups that nobody sees read zeros: their pages may be gone.
 */
static void find_groups(const tenon_attention_job *job, const tenon_attention_block *block,
                        int32_t tile, int32_t first, int32_t end, const uint8_t *zeros,
                        const uint8_t **k_groups, const uint8_t **v_groups) {
    for (int32_t g = 0; g < TILE / GROUP; g++) {
        const int32_t j = tile + g * GROUP;
        k_groups[g] = v_groups[g] = zeros;
        if (j >= end || j + GROUP <= first) continue;
        const int64_t page = block->sequence->pages[j / job->page_size], slot = j % job->page_size;
        k_groups[g] =
            job->k_data + 2 * tenon_native_group_at(&job->k_native, page, block->kv_head, slot);
        v_groups[g] =
            job->v_data + 2 * tenon_native_group_at(&job->v_native, page, block->kv_head, slot);
    }
}

/* Logits of stale positions are hidden later; only their lines must not be missed. */
static void unpack_k_groups(const uint8_t *const *groups, int32_t n_groups, int32_t d_qk,
                            int32_t *k) {
    for (int32_t g = 0; g < n_groups; g++)
        for (int32_t i = 0; i < d_qk / 2; i++) {
            const uint8_t *line = groups[g] + i * 64;
            for (int32_t v = 0; v < GROUP_VECTORS; v++) {
                const vi32 pairs = vi32_load(line + v * V_LANES * 4);
                int32_t *to = k + g * GROUP + v * V_LANES;
#if PACKED_PAIRS
                vi32_store(to + i * TILE, pairs);
#else
                vi32_store(to + 2 * i * TILE, vi32_sll(pairs, 16));
                vi32_store(to + (2 * i + 1) * TILE,
                           vi32_and(pairs, vi32_set1((int32_t)0xffff0000)));
#endif
            }
        }
}

/* Values outside [first, end) of the tile become zeros, since even a weight of 0 would keep a stale
 * NaN. */
static void unpack_v_groups(const uint8_t *const *groups, int32_t first, int32_t end, int32_t d_v,
                            int32_t *v, int32_t stride) {
    for (int32_t t = 0; t < end; t += 2) {
        const int32_t *pairs = (const int32_t *)groups[t / GROUP] + t % GROUP / 2 * d_v;
        const uint32_t even = t >= first ? 0xffffu : 0,
                       odd = t + 1 >= first && t + 1 < end ? 0xffff0000u : 0;
        const vi32 keep_even = vi32_set1((int32_t)even), keep_odd = vi32_set1((int32_t)odd);
        for (int32_t i = 0; i < d_v; i += V_LANES) {
            const vi32 pair = vi32_load(pairs + i);
#if PACKED_PAIRS
            vi32_store(v + t / 2 * stride + i, vi32_and(pair, vi32_or(keep_even, keep_odd)));
#else
            vi32_store(v + t * stride + i, vi32_sll(vi32_and(pair, keep_even), 16));
            vi32_store(v + (t + 1) * stride + i, vi32_and(pair, keep_odd));
#endif
        }
    }
}
