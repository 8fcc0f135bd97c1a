/* SPDX-License-Identifier: Apache-2.0 */
/* Attention on the CPU: checks the lengths of a run, cuts it into tasks, and puts the partial
 * results together.
 *
 * A task is a block of rows of one KV head, over all chunks that the block sees; or, of a short
 * sequence, all rows of several KV heads. When a short sequence is too much for one task, it
 * becomes one task per chunk, and the task that finishes last folds the partial states. Both ways
 * fold the same chunks in the same order, so bits depend neither on the threads nor on the rest of
 * the batch.
 */
#include <math.h>

#include "attention_layout.h"
#include "paged_sequence.h"

/* From the sequence's own lengths and nothing else. Where there are many rows there are many
 * blocks: one chunk. */
static int32_t chunk_of(int64_t n_queries, int64_t group, int64_t kv_length) {
    const bool whole = n_queries > 1 && n_queries * group > TENON_ATTENTION_SHORT_ROWS;
    const int64_t size = whole ? kv_length : tenon_divide_up(kv_length, TENON_ATTENTION_CHUNKS_MAX);
    return (int32_t)tenon_least(
        1 << 30, tenon_round_up(tenon_most(TENON_ATTENTION_CHUNK_MIN, size), TENON_ATTENTION_TILE));
}

/* ---- memory ---- */

uint64_t tenon_attention_scratch_bytes(const tenon_attention_layout *l, int64_t d_qk,
                                       int64_t lanes) {
    return tenon_attention_lines(l->rows_max * l->q_stride) +
           tenon_attention_lines(tenon_round_up(d_qk, 8) * TENON_ATTENTION_TILE) +
           tenon_attention_lines(l->out_stride * TENON_ATTENTION_TILE) +
           tenon_attention_lines(l->rows_max * TENON_ATTENTION_TILE) +
           tenon_attention_lines(l->rows_max * TENON_ATTENTION_TILE / 2) +
           (uint64_t)(l->stage_bytes * TENON_ATTENTION_TILE + l->zero_bytes) +
           tenon_attention_lines(l->rows_max * 2) +
           2 * tenon_attention_state_bytes(l->rows_max, l->out_stride, lanes);
}

static void *carve(uint8_t **at, uint64_t bytes) {
    void *p = *at;
    *at += bytes;
    return p;
}

static tenon_attention_state carve_state(const tenon_attention_job *job, uint8_t **at,
                                         int64_t rows) {
    tenon_attention_state s;
    s.max = carve(at, tenon_attention_lines(rows));
    s.sum = carve(at, tenon_attention_lines(rows * job->engine->lanes));
    s.out = carve(at, tenon_attention_lines(rows * job->out_stride));
    return s;
}

static tenon_attention_scratch scratch_of(const tenon_attention_job *job, int32_t thread) {
    uint8_t *at = job->scratch + (uint64_t)thread * job->scratch_bytes;
    const int64_t rows = job->rows_max;
    tenon_attention_scratch s;
    s.q = carve(&at, tenon_attention_lines(rows * job->q_stride));
    s.k = carve(&at, tenon_attention_lines(tenon_round_up(job->d_qk, 8) * TENON_ATTENTION_TILE));
    s.v = carve(&at, tenon_attention_lines((int64_t)job->out_stride * TENON_ATTENTION_TILE));
    s.logits = carve(&at, tenon_attention_lines(rows * TENON_ATTENTION_TILE));
    s.weights = carve(&at, tenon_attention_lines(rows * TENON_ATTENTION_TILE / 2));
    s.staged = carve(&at, (uint64_t)job->stage_bytes * TENON_ATTENTION_TILE);
    s.zeros = carve(&at, (uint64_t)job->zero_bytes);
    s.visible = carve(&at, tenon_attention_lines(rows * 2));
    s.total = carve_state(job, &at, rows);
    s.chunk = carve_state(job, &at, rows);
    memset(s.zeros, 0, (size_t)job->zero_bytes);
    return s;
}

/* Partial state of one chunk of a split sequence, from a KV head on. */
static tenon_attention_state slot_of(const tenon_attention_job *job, int64_t slot, int64_t row) {
    uint8_t *at = job->slots + (uint64_t)slot * job->slot_bytes;
    tenon_attention_state s = carve_state(job, &at, (int64_t)job->heads_kv * job->slot_rows);
    s.max += row;
    s.sum += row * job->engine->lanes;
    s.out += row * job->out_stride;
    return s;
}

/* ---- one task ---- */

/* What any of the queries sees; tree masks only take away. */
static void visible_range(const tenon_attention_job *job, const tenon_attention_sequence *s,
                          int32_t first_query, int32_t n, int32_t *first, int32_t *end) {
    int32_t other;
    tenon_attention_visible(job, s, first_query, first, &other);
    tenon_attention_visible(job, s, first_query + n - 1, &other, end);
}

static const tenon_attention_sequence *sequence_of(const tenon_attention_job *job, int64_t task) {
    int64_t low = 0, high = job->n_sequences;
    while (high - low > 1) {
        const int64_t middle = (low + high) / 2;
        *(job->sequences[middle].first_task <= task ? &low : &high) = middle;
    }
    return &job->sequences[low];
}

static void run_chunk(const tenon_attention_job *job, const tenon_attention_block *block,
                      int32_t chunk, tenon_attention_scratch *scratch,
                      tenon_attention_state *state) {
    const int64_t first = (int64_t)chunk * block->sequence->chunk;
    job->engine->accumulate(job, block, (int32_t)first,
                            (int32_t)tenon_least(first + block->sequence->chunk, block->kv_end),
                            scratch, state);
}

static void run_block(const tenon_attention_job *job, const tenon_attention_block *block,
                      tenon_attention_scratch *scratch) {
    const int32_t size = block->sequence->chunk, first = block->kv_first / size;
    run_chunk(job, block, first, scratch, &scratch->total);
    for (int32_t chunk = first + 1; (int64_t)chunk * size < block->kv_end; chunk++) {
        run_chunk(job, block, chunk, scratch, &scratch->chunk);
        job->engine->fold(job, block->n_heads * block->n_rows, &scratch->total, &scratch->chunk);
    }
    job->engine->store(job, block, &scratch->total);
}

static void run_split(const tenon_attention_job *job, const tenon_attention_block *block,
                      int32_t chunk, tenon_attention_scratch *scratch) {
    const tenon_attention_sequence *s = block->sequence;
    const int64_t row = (int64_t)block->kv_head * block->n_rows;
    tenon_attention_state state = slot_of(job, s->first_slot + chunk, row);
    run_chunk(job, block, s->first_chunk + chunk, scratch, &state);
    if (__atomic_sub_fetch(&job->counts[s->first_count + block->kv_head / s->heads], 1,
                           __ATOMIC_ACQ_REL))
        return;
    tenon_attention_state total = slot_of(job, s->first_slot, row);
    for (int32_t i = 1; i < s->n_chunks; i++) {
        const tenon_attention_state next = slot_of(job, s->first_slot + i, row);
        job->engine->fold(job, block->n_heads * block->n_rows, &total, &next);
    }
    job->engine->store(job, block, &total);
}

void tenon_attention_task(void *arg, int64_t task, int32_t thread) {
    const tenon_attention_job *job = arg;
    const tenon_attention_sequence *s = sequence_of(job, task);
    const int32_t runs = (int32_t)tenon_divide_up(job->heads_kv, s->heads);
    const int32_t index = (int32_t)((task - s->first_task) / runs);
    const int32_t n_blocks = (int32_t)tenon_divide_up(s->n_queries, s->block);
    tenon_attention_scratch scratch = scratch_of(job, thread);
    tenon_attention_block block = {.sequence = s,
                                   .kv_head = (int32_t)((task - s->first_task) % runs) * s->heads};
    block.n_heads = (int32_t)tenon_least(s->heads, job->heads_kv - block.kv_head);
    /* Causal blocks at the end see most: they come first, so that short ones fill the gaps. */
    block.first_query = s->n_chunks ? 0 : (n_blocks - 1 - index) * s->block;
    block.n_queries = (int32_t)tenon_least(s->block, s->n_queries - block.first_query);
    block.n_rows = block.n_queries * job->group;
    visible_range(job, s, block.first_query, block.n_queries, &block.kv_first, &block.kv_end);
    job->engine->load_queries(job, &block, &scratch);
    if (s->n_chunks)
        run_split(job, &block, index, &scratch);
    else
        run_block(job, &block, &scratch);
}

/* ---- a run: check, cut, go ---- */

static void clear_rows(const tenon_attention_job *job, int64_t first, int64_t end) {
    const DLTensor *out = job->args->out, *lse = job->args->lse;
    const int64_t bytes = out->dtype.bits / 8;
    for (int64_t t = first; t < end; t++)
        for (int64_t h = 0; h < out->shape[1]; h++) {
            memset((uint8_t *)tenon_data(out) + (t * out->strides[0] + h * out->strides[1]) * bytes,
                   0, (size_t)(out->shape[2] * bytes));
            if (lse)
                ((float *)tenon_data(lse))[t * lse->strides[0] + h * lse->strides[1]] = -INFINITY;
        }
}

/* Lengths and page lists hold anything: a sequence that fails its check keeps no queries, and its
 * rows are empty. */
void tenon_attention_read_sequences(const tenon_attention_job *job,
                                    tenon_attention_sequence *sequences, int64_t pages) {
    const tenon_paged_batch batch = tenon_attention_batch(job->args, pages, job->page_size);
    const bool ok = tenon_paged_batch_ok(&batch);
    for (int64_t b = 0; b < job->n_sequences; b++) {
        tenon_attention_sequence *s = &sequences[b];
        tenon_paged_sequence checked;
        memset(s, 0, sizeof *s);
        s->heads = 1;
        if (!ok) continue;
        if (tenon_paged_sequence_at(&batch, b, &checked)) {
            s->pages = checked.pages;
            s->n_queries = (int32_t)checked.n_rows;
            s->kv_length = (int32_t)checked.kv_len;
        } else {
            clear_rows(job, checked.first_row, checked.first_row + checked.n_rows);
        }
        s->first_token = checked.first_row;
        s->chunk = chunk_of(s->n_queries, job->group, s->kv_length);
        s->short_rows = (int64_t)s->n_queries * job->group <= TENON_ATTENTION_SHORT_ROWS;
    }
    clear_rows(job, ok ? tenon_paged_batch_end(&batch) : 0, batch.n_rows);
}

/* KV heads in a task of a short sequence, `heads` at most. */
static int32_t heads_of(const tenon_attention_job *job, const tenon_attention_sequence *s,
                        int64_t heads) {
    if (!s->short_rows) return 1;
    const int64_t rows = tenon_most(1, (int64_t)s->n_queries * job->group);
    return (int32_t)tenon_most(1, tenon_least(heads, TENON_ATTENTION_TASK_ROWS / rows));
}

static int64_t count_tasks(const tenon_attention_job *job,
                           const tenon_attention_sequence *sequences, int64_t block,
                           int64_t heads) {
    int64_t n = 0;
    for (int64_t b = 0; b < job->n_sequences; b++) {
        const tenon_attention_sequence *s = &sequences[b];
        const int64_t runs = tenon_divide_up(job->heads_kv, heads_of(job, s, heads));
        n += runs * (s->n_chunks     ? s->n_chunks
                     : s->short_rows ? s->n_queries > 0
                                     : tenon_divide_up(s->n_queries, block));
    }
    return n;
}

/* Positions times rows: what a sequence costs, in no unit. */
static double work_of(const tenon_attention_sequence *s) {
    return (double)s->n_queries * ((double)s->kv_length + 64);
}

/* Sequences whose one task would be more than a quarter of a thread's share. */
static void split(const tenon_attention_job *job, const tenon_attention_layout *l, int32_t threads,
                  tenon_attention_sequence *sequences) {
    int64_t n_slots = 0, n_counts = 0;
    double total = 0;
    for (int64_t b = 0; b < job->n_sequences; b++) total += work_of(&sequences[b]);
    for (int64_t b = 0; b < job->n_sequences; b++) {
        tenon_attention_sequence *s = &sequences[b];
        const int64_t runs = tenon_divide_up(job->heads_kv, heads_of(job, s, l->heads_max)),
                      rows = (int64_t)s->n_queries * job->group;
        int32_t first, end;
        if (!s->n_queries || rows > l->slot_rows ||
            work_of(s) / (double)runs * 4 * threads <= total)
            continue;
        visible_range(job, s, 0, s->n_queries, &first, &end);
        const int64_t chunks = end > first ? tenon_divide_up(end, s->chunk) - first / s->chunk : 0;
        /* A count for each KV head: runs may yet get shorter. */
        if (chunks < 2 || n_counts + job->heads_kv > l->n_counts || n_slots + chunks > l->n_slots)
            continue;
        s->first_chunk = first / s->chunk;
        s->n_chunks = (int32_t)chunks;
        s->first_slot = (int32_t)n_slots;
        s->first_count = (int32_t)n_counts;
        for (int32_t h = 0; h < job->heads_kv; h++) job->counts[n_counts++] = s->n_chunks;
        n_slots += chunks;
    }
}

int64_t tenon_attention_cut(const tenon_attention_job *job, const tenon_attention_layout *l,
                            int32_t threads, tenon_attention_sequence *sequences) {
    int64_t block = l->block_max, heads = l->heads_max, n_tasks = 0;
    if (threads > 1) {
        split(job, l, threads, sequences);
        while (heads > 1 && count_tasks(job, sequences, block, heads) < 2 * (int64_t)threads)
            heads = (heads + 1) / 2;
        while (block * l->group > TENON_ATTENTION_BLOCK_ROWS_MIN && block > 1 &&
               count_tasks(job, sequences, block, heads) < 4 * (int64_t)threads)
            block = (block + 1) / 2;
    }
    for (int64_t b = 0; b < job->n_sequences; b++) {
        tenon_attention_sequence *s = &sequences[b];
        s->first_task = n_tasks;
        s->heads = heads_of(job, s, heads);
        s->block =
            s->short_rows || s->n_chunks ? (int32_t)tenon_most(1, s->n_queries) : (int32_t)block;
        if (s->n_queries)
            n_tasks += tenon_divide_up(job->heads_kv, s->heads) *
                       (s->n_chunks ? s->n_chunks : tenon_divide_up(s->n_queries, s->block));
    }
    return n_tasks;
}
