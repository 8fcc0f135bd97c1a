/* SPDX-License-Identifier: Apache-2.0 */
#include "planned.h"

#include "plan.h"
#include "tensor.h"

static void add_tensor(tenon_planned *p, const tenon_slot *slot, const void *args, int base) {
    tenon_planned_tensor *planned = &p->tensor[p->n_tensors++];
    const DLTensor *given = tenon_slot_tensor(slot->rule, args);
    const int32_t ndim = slot->tensor.ndim;
    planned->device = tenon_word(&slot->tensor, 1);
    planned->rank_and_type = tenon_word(&slot->tensor, 2);
    planned->span_bytes = (uint64_t)slot->span_bytes;
    planned->align_mask = slot->align - 1;
    planned->base = (uint8_t)base;
    planned->offset = (uint16_t)(base ? slot->rule->member_offset : slot->rule->offset);
    planned->ndim = ndim;
    planned->there = (uint8_t)((1U << ndim) - 1);
    /* The strides as the caller gave them: those of extents of 1 are any number, and it will give
     * the same again. */
    if (ndim) memcpy(planned->extent, given->shape, (size_t)ndim * sizeof(int64_t));
    if (ndim && given->strides)
        memcpy(planned->stride, given->strides, (size_t)ndim * sizeof(int64_t));
    if (!given->strides) tenon_compact_strides(given->shape, ndim, planned->stride);
}

static void set_size(tenon_planned_words *words, size_t n_words) {
    words->n_words = (uint32_t)n_words;
    words->n_blocks = (uint32_t)n_words / 8;
    words->rest = (1U << n_words % 8) - 1;
}
static void set_word(tenon_planned_words *words, size_t i, uint64_t word, uint64_t mask) {
    const size_t at = tenon_planned_word_at((uint32_t)i);
    words->word_and_mask[at] = word & mask;
    words->word_and_mask[at + 8] = mask;
}

/* Everything but the pointers that are given is a word to compare: scalars, and NULL for what is
 * absent. */
static void add_quant(tenon_planned_quant *planned, const tenon_quant *quant, uint32_t offset) {
    planned->offset = offset;
    set_size(&planned->words, TENON_QUANT_WORDS);
    for (size_t i = 0; i < TENON_QUANT_WORDS; i++) {
        const uint64_t word = tenon_word(quant, i);
        const bool given = i >= TENON_QUANT_TENSOR_WORD && word;
        set_word(&planned->words, i, word, given ? 0 : UINT64_MAX);
    }
}

static bool is_pointer_word(const tenon_schema *schema, size_t offset) {
    for (uint32_t i = 0; i < schema->info.n_fields; i++)
        if (schema->info.fields[i].offset_bytes == offset)
            return schema->info.fields[i].size_bytes == sizeof(void *) &&
                   strcmp(schema->info.fields[i].kind, "i64");
    return false;
}

static void add_args(tenon_planned *p, const tenon_signature *sig, bool is_cpu) {
    const size_t n_words = sig->schema->info.args_size_bytes / 8;
    set_size(&p->args, n_words);
    for (size_t i = 0; i < n_words; i++) {
        const uint64_t word = tenon_word(sig->args.bytes, i);
        const bool given = word && is_pointer_word(sig->schema, 8 * i);
        set_word(&p->args, i, word, given ? 0 : UINT64_MAX);
    }
    /* The head: no extension, no stream on the CPU; the workspace is looked at by itself. */
    set_word(&p->args, 0, 0, 0); /* compared first of all */
    set_word(&p->args, offsetof(tenon_args_head, ext) / 8, 0, UINT64_MAX);
    set_word(&p->args, offsetof(tenon_args_head, stream) / 8, 0, is_cpu ? UINT64_MAX : 0);
    set_word(&p->args, offsetof(tenon_args_head, workspace) / 8, 0, 0);
    set_word(&p->args, offsetof(tenon_args_head, workspace_bytes) / 8, 0, 0);
    set_word(&p->args, offsetof(tenon_args_head, fault) / 8, 0, 7); /* its alignment */
}

static void add_written_lane(tenon_planned *p, uint32_t lane) {
    p->written_lane[p->n_written_lanes] = lane;
    p->beside_written_lane[p->n_written_lanes++] = (uint8_t)~(1U << lane);
}

/* A lane for each address, if they are not too many; and every tensor has extents. */
static bool fill_lanes(tenon_planned *p) {
    const uint32_t workspace = TENON_PLANNED_LANES - 1;
    if (p->n_with_data > (p->workspace_bytes ? workspace : TENON_PLANNED_LANES)) return false;
    for (uint32_t i = 0; i < p->n_with_data; i++) {
        p->tensor[i].lane = 1U << i;
        p->lane_span_bytes[i] = p->tensor[i].span_bytes;
        p->lane_align_mask[i] = p->tensor[i].align_mask;
    }
    for (uint32_t i = 0; i < p->n_tensors; i++)
        if (!p->tensor[i].ndim) return false;
    for (uint32_t i = 0; i < p->n_written; i++) add_written_lane(p, i);
    if (p->workspace_bytes) {
        p->lane_span_bytes[workspace] = p->workspace_bytes;
        p->lane_align_mask[workspace] = 63;
        add_written_lane(p, workspace);
    }
    return true;
}

static int32_t (*fastest_run(tenon_planned *p))(const tenon_plan *, const void *, tenon_error *) {
#if defined(__x86_64__)
    if (fill_lanes(p) && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq"))
        return tenon_run_planned_x86_avx512;
#else
    (void)p, (void)fill_lanes; /* nothing else has lanes */
#endif
    return tenon_run_planned_any_cpu;
}

void tenon_planned_build(tenon_plan *plan, const void *args) {
    const tenon_signature *sig = &plan->signature;
    const tenon_schema *schema = sig->schema;
    tenon_planned *p = &plan->planned;
    memset(p, 0, sizeof *p);
    if (!plan->context->trace) p->size_and_flags = tenon_word(sig->args.bytes, 0);
    p->workspace_bytes = plan->kernel.workspace_bytes;
    add_args(p, sig, plan->backend->id == TENON_BACKEND_CPU);
    int base[TENON_MAX_QUANTS] = {0};
    for (int q = 0; q < schema->n_quants; q++) {
        if (!sig->has_quant[q]) continue;
        add_quant(&p->quant[p->n_quants++], &sig->quant[q], schema->quant_offset[q]);
        base[q] = (int)p->n_quants;
    }
    for (int kind = 0; kind < 3; kind++) { /* written, read, empty */
        for (uint32_t i = 0; i < sig->n_slots; i++) {
            const tenon_slot *slot = &sig->slot[i];
            if ((slot->span_bytes ? slot->rule->written ? 0 : 1 : 2) != kind) continue;
            int q = 0;
            while (slot->rule->member >= 0 && schema->quant_offset[q] != slot->rule->offset) q++;
            add_tensor(p, slot, args, slot->rule->member >= 0 ? base[q] : 0);
        }
        if (kind == 0) p->n_written = p->n_tensors;
        if (kind == 1) p->n_with_data = p->n_tensors;
    }
    p->run = fastest_run(p);
}
