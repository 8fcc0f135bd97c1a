/* SPDX-License-Identifier: Apache-2.0 */
/* One call's tensors: found by the operation's field list, brought to the device and back. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "staged_host.h"

static bool fails(char *text, size_t text_bytes, const char *what) {
    snprintf(text, text_bytes, "staged host: %s", what);
    return false;
}

static void set_span(staged_tensor *t) {
    const DLTensor *g = t->given;
    int64_t last = 0, compact = 1;
    if (!g->data || g->ndim < 0 || g->ndim > STAGED_MAX_NDIM) return;
    for (int32_t i = g->ndim - 1; i >= 0; i--) {
        if (g->shape[i] <= 0) return;
        last += (g->shape[i] - 1) * (g->strides ? g->strides[i] : compact);
        compact *= g->shape[i];
    }
    t->first = (char *)g->data + g->byte_offset;
    t->end = t->first + ((last + 1) * g->dtype.bits * g->dtype.lanes + 7) / 8;
}

/* Replaces the pointer at `member` by a view on the device. */
static bool take_tensor(staged_call *c, void *member, const char *kind) {
    const DLTensor *given;
    memcpy(&given, member, sizeof given);
    if (!given) return true;
    if (c->n_tensors == STAGED_MAX_TENSORS) return false;
    staged_tensor *t = &c->tensor[c->n_tensors++];
    const DLTensor *view = &t->view;
    t->given = given;
    t->view = *given;
    /* Host memory only: what the test put elsewhere by intent stays there. */
    if (given->device.device_type == kDLCPU) {
        t->view.device.device_type = staged_device_vendor()->device_type;
        set_span(t);
    }
    t->written = strstr(kind, "out") != NULL;
    t->block = -1;
    memcpy(member, &view, sizeof view);
    return true;
}

static bool take_quant(const tenon_op_info *quant_info, staged_call *c, void *member) {
    const tenon_quant *given;
    memcpy(&given, member, sizeof given);
    /* A descriptor that is not ours to read goes on as it is. */
    if (!given || given->struct_size != sizeof *given) return true;
    if (c->n_quants == STAGED_MAX_QUANTS) return false;
    tenon_quant *q = &c->quant[c->n_quants++];
    *q = *given;
    for (uint32_t i = 0; i < quant_info->n_fields; i++) {
        const tenon_field_info *f = &quant_info->fields[i];
        /* quantize and dispatch write scales and zero points. */
        if (strstr(f->kind, "in") == f->kind || strstr(f->kind, "opt_in"))
            if (!take_tensor(c, (char *)q + f->offset_bytes, "out")) return false;
    }
    memcpy(member, &q, sizeof q);
    return true;
}

static bool take_all(const tenon_api *api, const tenon_op_info *info, staged_call *c) {
    for (uint32_t i = 0; i < info->n_fields; i++) {
        const tenon_field_info *f = &info->fields[i];
        void *member = c->args + f->offset_bytes;
        if (!strcmp(f->kind, "quant")) {
            if (!take_quant(api->quant_info(), c, member)) return false;
        } else if (strstr(f->kind, "in") == f->kind || strstr(f->kind, "out") == f->kind ||
                   strstr(f->kind, "opt_")) {
            if (!take_tensor(c, member, f->kind)) return false;
        }
    }
    return true;
}

static int by_address(const void *a, const void *b) {
    const staged_tensor *const *x = a, *const *y = b;
    return (*x)->first<(*y)->first ? -1 : (*x)->first>(*y)->first;
}

/* Blocks from spans that share bytes. */
static void make_blocks(staged_call *c) {
    staged_tensor *sorted[STAGED_MAX_TENSORS];
    int n = 0;
    for (int i = 0; i < c->n_tensors; i++)
        if (c->tensor[i].first) sorted[n++] = &c->tensor[i];
    qsort(sorted, (size_t)n, sizeof sorted[0], by_address);
    for (int i = 0; i < n; i++) {
        staged_block *b = c->n_blocks ? &c->block[c->n_blocks - 1] : NULL;
        if (!b || sorted[i]->first >= b->end) {
            b = &c->block[c->n_blocks++];
            b->first = sorted[i]->first;
            b->end = sorted[i]->end;
        }
        if (sorted[i]->end > b->end) b->end = sorted[i]->end;
        b->written |= sorted[i]->written;
        sorted[i]->block = c->n_blocks - 1;
    }
}

static bool upload(staged_call *c, char *text, size_t text_bytes) {
    for (int i = 0; i < c->n_blocks; i++) {
        staged_block *b = &c->block[i];
        const size_t bytes = (size_t)(b->end - b->first);
        b->offset = (uintptr_t)b->first % 64;
        b->memory = staged_device_allocate(bytes + b->offset, false);
        if (!b->memory || staged_device_upload(b->memory + b->offset, b->first, bytes))
            return fails(text, text_bytes, "no device memory, or a copy to it failed");
    }
    for (int i = 0; i < c->n_tensors; i++) {
        staged_tensor *t = &c->tensor[i];
        if (t->block < 0) continue;
        const staged_block *b = &c->block[t->block];
        t->view.data = b->memory + b->offset + (t->first - b->first) - t->view.byte_offset;
    }
    return true;
}

bool staged_begin(const tenon_api *api, int32_t op, const void *args, staged_call *c, char *text,
                  size_t text_bytes) {
    const tenon_op_info *info = op >= 0 ? api->op_info((uint32_t)op) : NULL;
    uint32_t size = 0;
    memset(c, 0, sizeof *c);
    if (info && args) memcpy(&size, args, sizeof size);
    if (!info || size < info->args_size_bytes || size > sizeof c->args)
        return fails(text, text_bytes, "no such operation, or args of a wrong size");
    memcpy(c->args, args, size);
    if (!take_all(api, info, c)) return fails(text, text_bytes, "too many tensors");
    make_blocks(c);
    if (!upload(c, text, text_bytes)) return false;

    /* Every args struct begins as this one does. */
    tenon_merge_states_args *head = (tenon_merge_states_args *)(void *)c->args;
    if (head->workspace && head->workspace_bytes) {
        c->workspace = staged_device_allocate(head->workspace_bytes, false);
        if (!c->workspace) return fails(text, text_bytes, "no device memory for a workspace");
        head->workspace = c->workspace;
    }
    c->given_fault = head->fault;
    if (head->fault && (uintptr_t)head->fault % 8 == 0) {
        c->fault = staged_device_allocate(sizeof *c->fault, true);
        if (!c->fault) return fails(text, text_bytes, "no memory for a fault slot");
        *c->fault = *head->fault;
        head->fault = c->fault;
    }
    return true;
}

bool staged_restore(staged_call *c) {
    for (int i = 0; i < c->n_blocks; i++) {
        const staged_block *b = &c->block[i];
        if (staged_device_upload(b->memory + b->offset, b->first, (size_t)(b->end - b->first)))
            return false;
    }
    if (c->fault) *c->fault = *c->given_fault;
    return true;
}

bool staged_is_untouched(const staged_call *c) {
    for (int i = 0; i < c->n_blocks; i++) {
        const staged_block *b = &c->block[i];
        const size_t bytes = (size_t)(b->end - b->first);
        char *copy = malloc(bytes);
        const bool same = copy && !staged_device_download(copy, b->memory + b->offset, bytes) &&
                          !memcmp(copy, b->first, bytes);
        free(copy);
        if (!same) return false;
    }
    return !c->fault || !memcmp(c->fault, c->given_fault, sizeof *c->fault);
}

bool staged_collect(staged_call *c, char *text, size_t text_bytes) {
    if (staged_device_synchronize()) return fails(text, text_bytes, "a kernel failed");
    for (int i = 0; i < c->n_blocks; i++) {
        const staged_block *b = &c->block[i];
        const size_t bytes = (size_t)(b->end - b->first);
        char *copy = malloc(bytes);
        if (!copy || staged_device_download(copy, b->memory + b->offset, bytes)) {
            free(copy);
            return fails(text, text_bytes, "a copy from the device failed");
        }
        const bool changed = memcmp(copy, b->first, bytes) != 0;
        if (changed && b->written) memcpy(b->first, copy, bytes);
        free(copy);
        if (changed && !b->written) return fails(text, text_bytes, "a kernel wrote to an input");
    }
    if (c->fault) *c->given_fault = *c->fault;
    return true;
}

void staged_end(staged_call *c) {
    for (int i = 0; i < c->n_blocks; i++) staged_device_release(c->block[i].memory, false);
    staged_device_release(c->workspace, false);
    staged_device_release(c->fault, true);
}
