/* SPDX-License-Identifier: Apache-2.0 */
#include "planned.h"

#include "plan.h"
#include "tensor.h"

static void add_tensor(tenon_planned *p, const tenon_slot *slot, const void *args,
                       int64_t **layout) {
    tenon_planned_tensor *planned = &p->tensor[p->n_tensors++];
    const DLTensor *given = tenon_slot_tensor(slot->rule, args);
    int32_t ndim = slot->tensor.ndim;
    planned->device = tenon_word(&slot->tensor, 1);
    planned->rank_and_type = tenon_word(&slot->tensor, 2);
    planned->span_bytes = (uint64_t)slot->span_bytes;
    planned->align_mask = slot->align - 1;
    planned->offset = slot->rule->offset;
    planned->member_offset = slot->rule->member < 0 ? -1 : (int16_t)slot->rule->member_offset;
    planned->ndim = ndim;
    /* The strides as the caller gave them: those of extents of 1 are any number, and it will give
     * the same again. */
    if (ndim) memcpy(*layout, given->shape, (size_t)ndim * sizeof(int64_t));
    if (ndim && given->strides)
        memcpy(*layout + ndim, given->strides, (size_t)ndim * sizeof(int64_t));
    if (!given->strides) tenon_compact_strides(given->shape, ndim, *layout + ndim);
    *layout += 2 * ndim;
}

/* Everything but the pointers that are given is a word to compare: scalars, and NULL for what is
 * absent. */
static void add_quant(tenon_planned_quant *planned, const tenon_quant *quant, uint32_t offset) {
    planned->offset = offset;
    for (size_t i = 0; i < TENON_QUANT_WORDS; i++) {
        uint64_t word = tenon_word(quant, i);
        bool given = i >= TENON_QUANT_TENSOR_WORD && word;
        planned->mask[i] = given ? 0 : UINT64_MAX;
        planned->word[i] = given ? 0 : word;
    }
}

static bool is_pointer_word(const tenon_schema *schema, size_t offset) {
    for (uint32_t i = 0; i < schema->info.n_fields; i++)
        if (schema->info.fields[i].offset_bytes == offset)
            return schema->info.fields[i].size_bytes == sizeof(void *) &&
                   strcmp(schema->info.fields[i].kind, "i64");
    return false;
}

void tenon_planned_build(tenon_plan *plan, const void *args) {
    const tenon_signature *sig = &plan->signature;
    const tenon_schema *schema = sig->schema;
    tenon_planned *p = &plan->planned;
    int64_t *layout = p->layout;
    memset(p, 0, sizeof *p);
    if (!plan->context->trace) p->size_and_flags = tenon_word(sig->args.bytes, 0);
    p->stream_mask = plan->backend->id == TENON_BACKEND_CPU ? UINT64_MAX : 0;
    p->workspace_bytes = plan->kernel.workspace_bytes;
    p->n_words = schema->info.args_size_bytes / 8 - TENON_HEAD_WORDS;
    for (uint32_t i = 0; i < p->n_words; i++) {
        uint64_t word = tenon_word(sig->args.bytes, TENON_HEAD_WORDS + i);
        bool given = word && is_pointer_word(schema, 8 * (size_t)(TENON_HEAD_WORDS + i));
        p->mask[i] = given ? 0 : UINT64_MAX;
        p->word[i] = given ? 0 : word;
    }
    for (int q = 0; q < schema->n_quants; q++)
        if (sig->has_quant[q])
            add_quant(&p->quant[p->n_quants++], &sig->quant[q], schema->quant_offset[q]);
    for (int written = 1; written >= 0; written--) {
        for (uint32_t i = 0; i < sig->n_slots; i++)
            if (sig->slot[i].rule->written == (written == 1))
                add_tensor(p, &sig->slot[i], args, &layout);
        if (written) p->n_written = p->n_tensors;
    }
}
