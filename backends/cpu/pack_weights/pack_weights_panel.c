/* SPDX-License-Identifier: Apache-2.0 */
/* pack_weights to panels (panel/panel_layout.h): the header, then each expert's panels. The bytes
 * do not depend on the instruction set that packs them. */
#include "compact_copy.h"
#include "cpu_backend.h"
#include "panel_order.h"
#include "huge_pages.h"
#include "panel_weights.h"
#include "progress.h"

static const char *why_not(const tenon_problem *problem, tenon_reason *reason) {
    const tenon_pack_weights_args *a = problem->args;
    tenon_panel_weights w;
    return tenon_panel_rows_from(a->w, a->w_quant, &w, reason);
}

static int32_t describe(const tenon_pack_weights_args *a, tenon_panel_weights *w,
                        tenon_blob_header *header, tenon_error *error) {
    tenon_weight_view view;
    tenon_reason reason;
    if (tenon_panel_rows_from(a->w, a->w_quant, w, &reason) ||
        tenon_weight_view_from(a->w, a->w_quant, &view, &reason))
        return tenon_fail(error, TENON_STATUS_UNSUPPORTED, TENON_OP_PACK_WEIGHTS, -1,
                          "pack_weights: w: %s", reason.text);
    tenon_blob_describe(header, a->w, a->w_quant, &view, TENON_BACKEND_CPU, TENON_PANEL_LAYOUT_NAME,
                        a->compute);
    tenon_panel_describe(w, header);
    return TENON_OK;
}

static int32_t plan(tenon_kernel_plan *self, tenon_error *error) {
    tenon_panel_weights w;
    tenon_blob_header header;
    const int32_t status = describe(self->problem.args, &w, &header, error);
    if (status) return status;
    self->output_bytes = header.blob_bytes;
    return TENON_OK;
}

typedef struct pack_call {
    const tenon_panel_kernels *kernels;
    tenon_panel_weights w;
    uint8_t *payload;
    float *scales; /* behind the panels */
    tenon_progress progress;
} pack_call;

static void pack_panel(void *arg, int64_t task, int32_t thread) {
    pack_call *c = arg;
    const int64_t panels = tenon_panel_count(c->w.n);
    uint8_t edge[TENON_PANEL_EDGE_BYTES];
    tenon_panel_pack(c->kernels, &c->w, task / panels, task % panels, 0,
                     tenon_panel_units(c->w.kind, c->w.k),
                     c->payload + task * tenon_panel_bytes(c->w.kind, c->w.k), edge);
    if (c->w.groups)
        tenon_panel_load_scales(&c->w, task / panels, task % panels,
                                c->scales + task * c->w.groups * TENON_PANEL_COLS);
    tenon_progress_add(&c->progress, (uint64_t)tenon_panel_bytes(c->w.kind, c->w.k), thread == 0);
}

/* The order of the columns is known only now, and with it how many there are with padding: at most
 * what was planned. It is made behind the largest panels and moved behind the real ones; the counts
 * stand where the panels will. */
static void order_columns(pack_call *c) {
    int32_t *order = (int32_t *)(void *)(c->payload + tenon_panel_units_bytes(&c->w));
    if (!c->w.n) return;
    c->w.k = tenon_panel_order(&c->w.view, order, (int32_t *)(void *)c->payload);
    c->w.order = (int32_t *)(void *)(c->payload + tenon_panel_units_bytes(&c->w));
    memmove(c->payload + tenon_panel_units_bytes(&c->w), order, (size_t)c->w.k * sizeof *order);
}

/* Scales, zero points and so on that lay beside the elements, as they were; zeros between. */
static void keep_parts(const tenon_pack_weights_args *a, const tenon_blob_header *header,
                       uint8_t *blob, uint8_t *end) {
    const tenon_quant *q = a->w_quant;
    const DLTensor *tensors[TENON_BLOB_PARTS] = {
        NULL, q ? q->scale : NULL, q ? q->zero_point : NULL, q ? q->global_scale : NULL,
        q ? q->group_index : NULL};
    for (int i = TENON_BLOB_SCALE; i < TENON_BLOB_PARTS; i++) {
        if (!header->part[i].offset_bytes) continue;
        uint8_t *part = blob + header->part[i].offset_bytes;
        memset(end, 0, (size_t)(part - end));
        tenon_compact_copy(tensors[i], part, true);
        end = part + header->part[i].size_bytes;
    }
}

static int32_t run(const tenon_kernel_plan *self, const void *args, tenon_error *error) {
    const tenon_pack_weights_args *a = args;
    tenon_blob_header header;
    pack_call call;
    uint8_t *blob = tenon_data(a->blob);
    const int32_t status = describe(a, &call.w, &header, error);
    if (status) return status;
    if ((uint64_t)a->blob->shape[0] < header.blob_bytes || (uintptr_t)blob % 64)
        return tenon_fail(error, TENON_STATUS_INVALID_ARGUMENT, TENON_OP_PACK_WEIGHTS, -1,
                          "pack_weights: blob: %lld bytes at %p, expected %llu bytes aligned to 64",
                          (long long)a->blob->shape[0], (void *)blob,
                          (unsigned long long)header.blob_bytes);
    call.kernels = tenon_panel_kernels_for(tenon_cpu_state_of(self)->info.features);
    call.payload = blob + header.header_bytes;
    tenon_progress_begin(&call.progress, self->problem.platform, "pack_weights", header.blob_bytes);
    tenon_cpu_advise_huge_pages(blob, header.blob_bytes);
    if (call.w.ordered) {
        order_columns(&call);
        tenon_panel_describe(&call.w, &header);
    }
    call.scales = (float *)(void *)(call.payload + tenon_panel_units_bytes(&call.w));
    tenon_cpu_run(self, call.w.experts * tenon_panel_count(call.w.n), pack_panel, &call);
    keep_parts(a, &header, blob, call.payload + tenon_panel_payload_bytes(&call.w));
    tenon_blob_seal(blob, &header);
    tenon_progress_end(&call.progress);
    return TENON_OK;
}

extern const tenon_kernel tenon_cpu_pack_weights_panel;
const tenon_kernel tenon_cpu_pack_weights_panel = {
    .name = "cpu_pack_weights_panel",
    .op = TENON_OP_PACK_WEIGHTS,
    .traits = TENON_TRAIT_DETERMINISTIC,
    .checked_on = "hardware",
    .why_not = why_not,
    .plan = plan,
    .run = run,
};
