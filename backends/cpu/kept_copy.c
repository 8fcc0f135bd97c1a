/* SPDX-License-Identifier: Apache-2.0 */
#include "kept_copy.h"

enum { TASK_BYTES = 1 << 18 };

/* A tensor as runs that are contiguous in memory, and its place in the blob. */
typedef struct kept_part {
    const DLTensor *tensor;
    uint8_t *compact;
    int64_t bytes, run_bytes, element_bits;
    int32_t outer; /* dimensions that the runs do not cover */
} kept_part;

typedef struct copy_call {
    kept_part part[TENON_BLOB_PARTS];
    int64_t first_task[TENON_BLOB_PARTS + 1];
    bool to_blob;
    tenon_progress *progress;
} copy_call;

void tenon_kept_parts(const DLTensor *w, const tenon_quant *quant,
                      const DLTensor *tensors[TENON_BLOB_PARTS]) {
    for (int i = 0; i < TENON_BLOB_PARTS; i++) tensors[i] = NULL;
    tensors[TENON_BLOB_W] = w;
    if (!quant) return;
    tensors[TENON_BLOB_SCALE] = quant->scale;
    tensors[TENON_BLOB_ZERO_POINT] = quant->zero_point;
    tensors[TENON_BLOB_GLOBAL_SCALE] = quant->global_scale;
    tensors[TENON_BLOB_GROUP_INDEX] = quant->group_index;
}

/* Types narrower than a byte are packed along the last dimension, which is then contiguous. */
static kept_part part_of(const DLTensor *tensor, uint8_t *compact) {
    const int64_t bits = (int64_t)tensor->dtype.bits * tensor->dtype.lanes;
    kept_part p = {
        .tensor = tensor, .compact = compact, .element_bits = bits, .outer = tensor->ndim};
    int64_t run = 1, count = 1;
    for (int32_t i = 0; i < tensor->ndim; i++)
        if (tensor->shape[i] == 0) return p; /* whatever the other extents claim */
    if (bits % 8) run = tensor->shape[--p.outer];
    while (p.outer > 0 && run * bits % 8 == 0 &&
           (tensor->strides[p.outer - 1] == run || tensor->shape[p.outer - 1] == 1))
        run *= tensor->shape[--p.outer];
    for (int32_t i = 0; i < p.outer; i++) count *= tensor->shape[i];
    p.run_bytes = run * bits / 8;
    p.bytes = count * p.run_bytes;
    return p;
}

static uint8_t *run_at(const kept_part *p, int64_t run) {
    int64_t offset = 0;
    for (int32_t i = p->outer - 1; i >= 0; i--) {
        offset += run % p->tensor->shape[i] * p->tensor->strides[i];
        run /= p->tensor->shape[i];
    }
    return (uint8_t *)tenon_data(p->tensor) + offset * p->element_bits / 8;
}

static void copy_task(void *arg, int64_t task, int32_t thread) {
    const copy_call *c = arg;
    int i = 0;
    while (task >= c->first_task[i + 1]) i++;
    const kept_part *p = &c->part[i];
    const int64_t begin = (task - c->first_task[i]) * TASK_BYTES, left = p->bytes - begin;
    const int64_t end = begin + (left < TASK_BYTES ? left : TASK_BYTES);
    for (int64_t at = begin, n; at < end; at += n) {
        const int64_t in_run = at % p->run_bytes;
        n = p->run_bytes - in_run < end - at ? p->run_bytes - in_run : end - at;
        uint8_t *there = run_at(p, at / p->run_bytes) + in_run, *here = p->compact + at;
        memcpy(c->to_blob ? here : there, c->to_blob ? there : here, (size_t)n);
    }
    tenon_progress_add(c->progress, (uint64_t)(end - begin), thread == 0);
}

void tenon_kept_copy(const tenon_kernel_plan *plan, const DLTensor *const tensors[TENON_BLOB_PARTS],
                     const tenon_blob_header *header, uint8_t *blob, bool to_blob,
                     tenon_progress *progress) {
    copy_call call = {.to_blob = to_blob, .progress = progress};
    for (int i = 0; i < TENON_BLOB_PARTS; i++) {
        int64_t tasks = 0;
        if (tensors[i]) {
            call.part[i] = part_of(tensors[i], blob + header->part[i].offset_bytes);
            tasks = (call.part[i].bytes + TASK_BYTES - 1) / TASK_BYTES;
        }
        call.first_task[i + 1] = call.first_task[i] + tasks;
    }
    tenon_cpu_run(plan, call.first_task[TENON_BLOB_PARTS], copy_task, &call);
}
