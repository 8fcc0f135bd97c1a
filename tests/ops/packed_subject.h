/* SPDX-License-Identifier: Apache-2.0 */
/* Weights of any fixture, packed by a kernel of any name, and what reads them. */
#ifndef TENON_PACKED_SUBJECT_H
#define TENON_PACKED_SUBJECT_H

#include "float_operand.h"
#include "group_fixture.h"

typedef struct packed_subject {
    const char *name;
    const DLTensor *w;
    const tenon_quant *quant;
    int64_t experts, n, k;
} packed_subject;

typedef struct packed_blob {
    uint8_t *bytes;
    int64_t count;
    test_tensor tensor;
} packed_blob;

static const tenon_quant packed_quant = {.struct_size = sizeof(tenon_quant),
                                         .format = TENON_FORMAT_PACKED};

static inline packed_subject subject_of_weight(const weight_fixture *w) {
    return (packed_subject){w->name, &w->tensor.view, weight_quant(w), w->experts, w->n, w->k};
}
static inline packed_subject subject_of_operand(const operand *o) {
    return (packed_subject){o->format->name, &o->tensor.view, operand_quant(o), 0, o->n, o->k};
}

/* kernel NULL: the best, whose name is stored to chosen unless that is NULL. */
static inline void pack_subject(const tenon_api *api, tenon_context *context,
                                const packed_subject *s, const char *kernel, packed_blob *blob,
                                char chosen[96]) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    const tenon_plan_options options = {.struct_size = sizeof options, .kernel = kernel};
    tenon_pack_weights_args a = {.struct_size = sizeof a, .w = s->w, .w_quant = s->quant};
    a.blob = test_view(&blob->tensor, NULL, kDLUInt, 8, SHAPE(0));
    CHECK(!api->query(context, TENON_OP_PACK_WEIGHTS, &a, &options, &query, &error) &&
              !query.status,
          "%s: %s %s", s->name, error.text, query.reason);
    if (chosen) snprintf(chosen, 96, "%s", query.kernel);
    blob->count = (int64_t)query.output_bytes;
    blob->bytes = aligned_alloc(64, ((size_t)blob->count + 127) / 64 * 64);
    memset(blob->bytes, 0x5a, ((size_t)blob->count + 127) / 64 * 64);
    a.blob = test_view(&blob->tensor, blob->bytes, kDLUInt, 8, SHAPE(blob->count));
    CHECK(!operand_run(api, context, TENON_OP_PACK_WEIGHTS, kernel, &a, NULL, &error), "%s: %s",
          s->name, error.text);
    CHECK(blob->bytes[blob->count] == 0x5a, "%s: wrote past the blob", s->name);
}

#endif
