/* SPDX-License-Identifier: Apache-2.0 */
/* The hot path: args against the plan, then the kernel. No allocation, no lock, no environment.
 *
 * Args exactly as planned take the short road (planned.h). Here is the long one, for fewer tokens
 * than planned, views without strides, structs of another size, and for everything that is wrong.
 */
#include <string.h>

#include "foreign.h"
#include "plan.h"
#include "tensor.h"
#include "trace.h"

#define FAIL(rule, status, ...) return fail_slot(plan, rule, status, error, __VA_ARGS__)

static int32_t fail_slot(const tenon_plan *plan, const tenon_slot_rule *rule, int32_t status,
                         tenon_error *error, const char *format, ...)
    __attribute__((cold, noinline, format(printf, 5, 6)));
static int32_t fail_slot(const tenon_plan *plan, const tenon_slot_rule *rule, int32_t status,
                         tenon_error *error, const char *format, ...) {
    const tenon_op_info *info = &plan->signature.schema->info;
    char text[360];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof text, format, list);
    va_end(list);
    return tenon_fail(error, status, info->op, rule->field, "%s: %s%s%s: %s", info->name,
                      info->fields[rule->field].name, rule->member < 0 ? "" : ".",
                      rule->member < 0 ? "" : tenon_quant_schema()->fields[rule->member].name,
                      text);
}

/* What one tensor of a run spans, for the overlap check. */
typedef struct span {
    uintptr_t first, end;
    const DLTensor *tensor;
} span;

/* A tensor whose shape or strides differ from the plan's. */
static int32_t check_changed(const tenon_plan *plan, const tenon_slot *slot, const DLTensor *t,
                             int64_t *symbol, int64_t *span_bytes, tenon_error *error)
    __attribute__((noinline));
static int32_t check_changed(const tenon_plan *plan, const tenon_slot *slot, const DLTensor *t,
                             int64_t *symbol, int64_t *span_bytes, tenon_error *error) {
    const tenon_slot_rule *rule = slot->rule;
    for (int32_t i = 0; i < t->ndim; i++) {
        const tenon_dim_rule *d = slot->shape ? &slot->shape->dim[i] : NULL;
        if (t->shape[i] == slot->extent[i]) continue;
        if (!d || !d->bound)
            FAIL(rule, TENON_STATUS_INVALID_ARGUMENT,
                 "shape[%d]=%lld, but the plan was made for %lld", i, (long long)t->shape[i],
                 (long long)slot->extent[i]);
        if (t->shape[i] > slot->extent[i] || t->shape[i] < d->add)
            FAIL(rule, TENON_STATUS_INVALID_ARGUMENT,
                 "shape[%d]=%lld, but the plan was made for %d to %lld", i, (long long)t->shape[i],
                 d->add, (long long)slot->extent[i]);
    }
    for (int32_t i = 0; slot->shape && i < t->ndim; i++) {
        const tenon_dim_rule *d = &slot->shape->dim[i];
        if (d->symbol < 0) continue;
        if (symbol[d->symbol] < 0) symbol[d->symbol] = t->shape[i] - d->add;
    }
    const bool empty = tenon_element_count(t) == 0; /* then strides mean nothing */
    for (int32_t i = 0; i < t->ndim && !empty; i++) {
        int64_t stride = t->strides[i];
        if (t->shape[i] <= 1 || stride == slot->stride[i]) continue;
        bool last = i == t->ndim - 1;
        if (stride < 0 || !slot->bound ||
            (last && slot->extent[i] > 1 && !(slot->shape && slot->shape->strided)))
            FAIL(rule, TENON_STATUS_INVALID_ARGUMENT,
                 "strides[%d]=%lld, but the plan was made for %lld", i, (long long)stride,
                 (long long)slot->stride[i]);
    }
    *span_bytes = tenon_span_bytes(t);
    if (*span_bytes < 0)
        FAIL(rule, TENON_STATUS_INVALID_ARGUMENT, "these strides span more than 2^62 bytes");
    if (rule->written && tenon_overlaps_itself(t))
        FAIL(rule, TENON_STATUS_INVALID_ARGUMENT,
             "is written, but its strides make elements overlap");
    return TENON_OK;
}

/* Every tensor that names an extent must agree on it: tensors of the planned shape stand for the
 * planned value. */
static int32_t check_symbols(const tenon_plan *plan, const void *args, const int64_t *symbol,
                             tenon_error *error) {
    const tenon_signature *sig = &plan->signature;
    for (uint32_t s = 0; s < sig->n_slots; s++) {
        const tenon_slot *slot = &sig->slot[s];
        const DLTensor *t = tenon_slot_tensor(slot->rule, args);
        for (int32_t i = 0; slot->shape && i < t->ndim; i++) {
            const tenon_dim_rule *d = &slot->shape->dim[i];
            if (d->symbol >= 0 && symbol[d->symbol] >= 0 &&
                t->shape[i] != symbol[d->symbol] + d->add)
                FAIL(slot->rule, TENON_STATUS_INVALID_ARGUMENT,
                     "shape[%d]=%lld, but %s=%lld in another tensor of this run", i,
                     (long long)t->shape[i], sig->schema->symbols[d->symbol],
                     (long long)symbol[d->symbol]);
        }
    }
    return TENON_OK;
}

/* Written tensors and the workspace share no byte with any other tensor. */
static int32_t check_overlap(const tenon_plan *plan, const span *spans, const tenon_args_head *head,
                             tenon_error *error) {
    const tenon_signature *sig = &plan->signature;
    uintptr_t ws = (uintptr_t)head->workspace, ws_end = ws + plan->kernel.workspace_bytes;
    for (uint32_t i = 0; i < sig->n_slots; i++) {
        if (plan->kernel.workspace_bytes && spans[i].first < ws_end && ws < spans[i].end)
            FAIL(sig->slot[i].rule, TENON_STATUS_INVALID_ARGUMENT, "overlaps the workspace at %p",
                 head->workspace);
        if (!sig->slot[i].rule->written) continue;
        for (uint32_t j = 0; j < sig->n_slots; j++) {
            if (i == j || spans[i].first >= spans[j].end || spans[j].first >= spans[i].end)
                continue;
            if (tenon_tensors_overlap(spans[i].tensor, (int64_t)(spans[i].end - spans[i].first),
                                      spans[j].tensor, (int64_t)(spans[j].end - spans[j].first)))
                FAIL(sig->slot[i].rule, TENON_STATUS_INVALID_ARGUMENT, "is written and overlaps %s",
                     sig->schema->info.fields[sig->slot[j].rule->field].name);
        }
    }
    return TENON_OK;
}

/* Device, rank and type lie side by side in a DLTensor: one comparison of 16 bytes. */
static inline bool same_head(const DLTensor *a, const DLTensor *b) {
    return memcmp(&a->device, &b->device, offsetof(DLTensor, shape) - offsetof(DLTensor, device)) ==
           0;
}

static inline bool same_extents(const int64_t *a, const int64_t *b, int32_t n) {
    int64_t difference = 0;
    for (int32_t i = 0; i < n; i++) difference |= a[i] ^ b[i];
    return difference == 0;
}

static int32_t check_scalars(const tenon_plan *plan, const void *args, tenon_error *error) {
    const tenon_signature *sig = &plan->signature;
    const tenon_schema *schema = sig->schema;
    const tenon_args_head *head = args;
    for (int r = 0; r < schema->n_ranges; r++)
        if (memcmp((const char *)args + schema->ranges[r].offset,
                   sig->args.bytes + schema->ranges[r].offset, schema->ranges[r].bytes)) {
            for (uint32_t i = 0; i < schema->info.n_fields; i++) {
                const tenon_field_info *f = &schema->info.fields[i];
                if (f->size_bytes < sizeof(void *) &&
                    memcmp((const char *)args + f->offset_bytes, sig->args.bytes + f->offset_bytes,
                           f->size_bytes))
                    return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op,
                                      (int32_t)i, "%s: %s differs from the plan's",
                                      schema->info.name, f->name);
            }
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op, -1,
                              "%s: a scalar differs from the plan's", schema->info.name);
        }
    if (head->flags != sig->args.head.flags)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op, -1,
                          "%s: flags=0x%x, but the plan was made for 0x%x", schema->info.name,
                          head->flags, sig->args.head.flags);
    for (int q = 0; q < schema->n_quants; q++) {
        const tenon_quant *given =
            *(const tenon_quant *const *)((const char *)args + schema->quant_offset[q]);
        enum {
            first = offsetof(tenon_quant, format),
            bytes = offsetof(tenon_quant, scale) - offsetof(tenon_quant, format)
        };
        if (!given != !sig->has_quant[q] ||
            (given &&
             (given->flags != sig->quant[q].flags ||
              memcmp((const char *)given + first, (const char *)&sig->quant[q] + first, bytes))))
            return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, schema->info.op,
                              schema->quant_field[q], "%s: %s differs from the plan's",
                              schema->info.name, schema->info.fields[schema->quant_field[q]].name);
    }
    return TENON_OK;
}

static int32_t check_workspace(const tenon_plan *plan, const tenon_args_head *head,
                               tenon_error *error) {
    const tenon_op_info *info = &plan->signature.schema->info;
    uint64_t needed = plan->kernel.workspace_bytes;
    if (needed && (!head->workspace || head->workspace_bytes < needed))
        return tenon_fail(error, TENON_STATUS_WORKSPACE_TOO_SMALL, info->op, -1,
                          "%s: workspace=%p of %llu bytes, the plan needs %llu", info->name,
                          head->workspace, (unsigned long long)head->workspace_bytes,
                          (unsigned long long)needed);
    if (needed && (uintptr_t)head->workspace % 64)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, info->op, -1,
                          "%s: workspace=%p is not aligned to 64 bytes", info->name,
                          head->workspace);
    if ((uintptr_t)head->fault % 8)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, info->op, -1,
                          "%s: fault=%p is not aligned to 8 bytes", info->name,
                          (void *)head->fault);
    if (head->stream && plan->backend->id == TENON_BACKEND_CPU)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, info->op, -1,
                          "%s: stream=%p, must be NULL on the CPU", info->name, head->stream);
    return TENON_OK;
}

/* args: full struct, every tensor with strides. */
static int32_t check_run(const tenon_plan *plan, const void *args, tenon_error *error) {
    const tenon_signature *sig = &plan->signature;
    int64_t symbol[TENON_MAX_SYMBOLS];
    span spans[TENON_MAX_SLOTS];
    bool changed = false;
    int32_t status = check_scalars(plan, args, error);
    if (!status) status = check_workspace(plan, args, error);
    if (status) return status;
    for (uint32_t i = 0; i < sig->n_absent; i++)
        if (tenon_slot_tensor(sig->absent[i], args))
            FAIL(sig->absent[i], TENON_STATUS_INVALID_ARGUMENT,
                 "is given, but was NULL when the plan was made");
    for (uint32_t i = 0; i < sig->n_slots; i++) {
        const tenon_slot *slot = &sig->slot[i];
        const DLTensor *t = tenon_slot_tensor(slot->rule, args);
        if (!t)
            FAIL(slot->rule, TENON_STATUS_INVALID_ARGUMENT,
                 "is NULL, but was given when the plan was made");
        if (!same_head(t, &slot->tensor)) {
            char now[120], then[120];
            if (t->ndim < 0 || t->ndim > TENON_MAX_NDIM)
                FAIL(slot->rule, TENON_STATUS_INVALID_ARGUMENT,
                     "ndim=%d, but the plan was made for %d", t->ndim, slot->tensor.ndim);
            tenon_tensor_text(t, now, sizeof now);
            tenon_tensor_text(&slot->tensor, then, sizeof then);
            FAIL(slot->rule, TENON_STATUS_INVALID_ARGUMENT,
                 "%s on device (%d, %d), but the plan was made for %s on (%d, %d)", now,
                 (int)t->device.device_type, t->device.device_id, then,
                 (int)slot->tensor.device.device_type, slot->tensor.device.device_id);
        }
        int64_t span_bytes = slot->span_bytes;
        if (!same_extents(t->shape, slot->extent, t->ndim) ||
            !same_extents(t->strides, slot->stride, t->ndim)) {
            if (!changed)
                for (int s = 0; s < TENON_MAX_SYMBOLS; s++) symbol[s] = -1;
            changed = true;
            if ((status = check_changed(plan, slot, t, symbol, &span_bytes, error))) return status;
        }
        spans[i].first = (uintptr_t)t->data + (uintptr_t)t->byte_offset;
        spans[i].end = spans[i].first + (uint64_t)span_bytes;
        spans[i].tensor = t;
        if (span_bytes == 0) {
            spans[i].first = spans[i].end = 0;
            continue;
        }
        if (!t->data) FAIL(slot->rule, TENON_STATUS_INVALID_ARGUMENT, "data is NULL");
        if (spans[i].first & (slot->align - 1))
            FAIL(slot->rule, TENON_STATUS_INVALID_ARGUMENT,
                 "data + byte_offset = %p is not aligned to %u bytes", (void *)spans[i].first,
                 slot->align);
        if (spans[i].end < spans[i].first || spans[i].first < (uintptr_t)t->data)
            FAIL(slot->rule, TENON_STATUS_INVALID_ARGUMENT,
                 "data %p + byte_offset %llu + %lld bytes wraps around the address space", t->data,
                 (unsigned long long)t->byte_offset, (long long)span_bytes);
    }
    if (changed && (status = check_symbols(plan, args, symbol, error))) return status;
    return check_overlap(plan, spans, args, error);
}

/* A copy on the stack for callers whose struct is longer than ours, or whose views leave strides
 * out. */
typedef struct normalized {
    tenon_packed_args packed;
    DLTensor tensor[TENON_MAX_SLOTS];
    int64_t stride[TENON_MAX_SLOTS][TENON_MAX_NDIM];
} normalized;

static int32_t normalize(const tenon_plan *plan, const void *args, normalized *n,
                         tenon_error *error) {
    const tenon_schema *schema = plan->signature.schema;
    int32_t status = tenon_check_head(schema, args, error);
    if (status) return status;
    memcpy(n->packed.args.bytes, args, schema->info.args_size_bytes);
    n->packed.args.head.struct_size = schema->info.args_size_bytes;
    n->packed.args.head.ext = NULL;
    for (int q = 0; q < schema->n_quants; q++) {
        const tenon_quant **at =
            (const tenon_quant **)(n->packed.args.bytes + schema->quant_offset[q]);
        if (!*at) continue;
        if ((status = tenon_check_quant_head(schema, q, *at, error))) return status;
        n->packed.quant[q] = **at;
        n->packed.quant[q].struct_size = sizeof(tenon_quant);
        n->packed.quant[q].ext = NULL;
        *at = &n->packed.quant[q];
    }
    for (int i = 0; i < schema->n_slots; i++) {
        const tenon_slot_rule *rule = &schema->slots[i];
        const DLTensor *t = tenon_slot_tensor(rule, n->packed.args.bytes);
        if (!t) continue;
        if (t->ndim < 0 || t->ndim > TENON_MAX_NDIM || (t->ndim && !t->shape))
            FAIL(rule, TENON_STATUS_INVALID_ARGUMENT, "ndim=%d, shape=%p", t->ndim,
                 (void *)t->shape);
        n->tensor[i] = *t;
        if (!t->strides) {
            tenon_compact_strides(t->shape, t->ndim, n->stride[i]);
            n->tensor[i].strides = n->stride[i];
        }
        char *base = rule->member < 0
                         ? (char *)n->packed.args.bytes + rule->offset
                         : *(char **)(n->packed.args.bytes + rule->offset) + rule->member_offset;
        *(const DLTensor **)base = &n->tensor[i];
    }
    return TENON_OK;
}

static bool is_normal(const tenon_plan *plan, const void *args) {
    const tenon_signature *sig = &plan->signature;
    const tenon_args_head *head = args;
    if (head->struct_size != sig->schema->info.args_size_bytes || head->ext) return false;
    for (int q = 0; q < sig->schema->n_quants; q++) {
        const tenon_quant *quant =
            *(const tenon_quant *const *)((const char *)args + sig->schema->quant_offset[q]);
        if (quant && (quant->struct_size != sizeof *quant || quant->ext)) return false;
    }
    for (uint32_t i = 0; i < sig->n_slots; i++) {
        const DLTensor *t = tenon_slot_tensor(sig->slot[i].rule, args);
        if (t && t->ndim && (!t->strides || !t->shape)) return false;
    }
    return true;
}

static int32_t run_checked(const tenon_plan *plan, const void *args, tenon_error *error) {
    int32_t status = check_run(plan, args, error);
    if (status) return status;
    if (plan->context->trace) tenon_trace_run(plan, args);
    return plan->kernel.kernel->run(&plan->kernel, args, error);
}

static int32_t run_normalized(const tenon_plan *plan, const void *args, tenon_error *error)
    __attribute__((noinline));
static int32_t run_normalized(const tenon_plan *plan, const void *args, tenon_error *error) {
    normalized n;
    int32_t status = normalize(plan, args, &n, error);
    return status ? status : run_checked(plan, n.packed.args.bytes, error);
}

int32_t tenon_run_long(const tenon_plan *plan, const void *args, tenon_error *error) {
    if (!plan || !args)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, -1, -1, "run: %s is NULL",
                          plan ? "args" : "plan");
    return is_normal(plan, args) ? run_checked(plan, args, error)
                                 : run_normalized(plan, args, error);
}

int32_t tenon_run(const tenon_plan *plan, const void *args, tenon_error *error) {
    return plan && args ? plan->planned.run(plan, args, error) : tenon_run_long(plan, args, error);
}

int32_t tenon_call(tenon_context *context, int32_t op, const void *args, tenon_error *error) {
    tenon_plan *plan;
    int32_t status = tenon_plan_create(context, op, args, NULL, &plan, error);
    if (status) return status;
    const tenon_op_info *info = &plan->signature.schema->info;
    uint64_t needed = plan->kernel.workspace_bytes;
    tenon_packed_args copy;
    void *own = NULL;
    memcpy(copy.args.bytes, args, info->args_size_bytes);
    copy.args.head.struct_size = info->args_size_bytes;
    if (needed && !copy.args.head.workspace) {
        if (plan->backend->id != TENON_BACKEND_CPU)
            status = tenon_fail(error, TENON_STATUS_WORKSPACE_TOO_SMALL, op, -1,
                                "%s: the call needs a workspace of %llu bytes on the device",
                                info->name, (unsigned long long)needed);
        else if (!(own = tenon_platform_allocate(&context->platform, needed)))
            status =
                tenon_fail(error, TENON_STATUS_NO_MEMORY, op, -1, "%s: workspace of %llu bytes",
                           info->name, (unsigned long long)needed);
        copy.args.head.workspace = own;
        copy.args.head.workspace_bytes = needed;
    }
    if (!status) status = tenon_run(plan, copy.args.bytes, error);
    tenon_platform_release(&context->platform, own, needed);
    tenon_plan_destroy(plan);
    return status;
}
