/* SPDX-License-Identifier: Apache-2.0 */
/* --pack: what a host does at load time, done to a problem. */
#include <stdlib.h>
#include <string.h>

#include "bench_run.h"

static bool pack_one(const bench_library *library, bench_problem *p, const char *field,
                     bool by_reference, char *detail, size_t detail_bytes) {
    bench_tensor *w = bench_find(p, field);
    char quant_name[48];
    tenon_error error = {.struct_size = sizeof error};
    tenon_query query = {.struct_size = sizeof query};
    int64_t blob_shape = INT64_C(1) << 40, one = 1;
    DLTensor blob = {.device = w->view.device,
                     .ndim = 1,
                     .dtype = {kDLUInt, 8, 1},
                     .shape = &blob_shape,
                     .strides = &one};
    snprintf(quant_name, sizeof quant_name, "%s_quant", field);
    tenon_quant *quant = (tenon_quant *)(uintptr_t)bench_quant(p, quant_name);
    tenon_pack_weights_args args = {.struct_size = sizeof args,
                                    .w = &w->view,
                                    .w_quant = quant,
                                    .blob = &blob,
                                    .compute = (int32_t)bench_scalar(p, "compute")};
    library->api->query(library->context, TENON_OP_PACK_WEIGHTS, &args, NULL, &query, &error);
    if (query.status) {
        snprintf(detail, detail_bytes, "pack_weights of %s: %s", field, query.reason);
        return false;
    }
    if (!by_reference && query.traits & TENON_TRAIT_REFERENCE) return true;
    size_t bytes = (size_t)query.output_bytes, total = bytes + 2 * BENCH_MARGIN;
    unsigned char *block = bench_block(total);
    if (!block) return false;
    memset(block, 0x5c, BENCH_MARGIN);
    memset(block + BENCH_MARGIN + bytes, 0x5c, BENCH_MARGIN);
    blob.data = block + BENCH_MARGIN, blob_shape = (int64_t)bytes;
    if (library->api->call(library->context, TENON_OP_PACK_WEIGHTS, &args, &error)) {
        snprintf(detail, detail_bytes, "pack_weights of %s: %s", field, error.text);
        bench_release(block);
        return false;
    }
    int64_t rows = w->shape[w->view.ndim - 2], cols = w->shape[w->view.ndim - 1];
    if (!quant) {
        if (p->n_quants == BENCH_MAX_QUANTS) return bench_release(block), false;
        for (uint32_t i = 0; i < p->info->n_fields; i++)
            if (!strcmp(p->info->fields[i].name, quant_name)) {
                quant = &p->quant[p->n_quants];
                p->quant_field[p->n_quants++] = (int32_t)i;
                *(const tenon_quant **)(p->args.bytes + p->info->fields[i].offset_bytes) = quant;
            }
        if (!quant) return bench_release(block), false;
    } else if (quant->rows && quant->cols) {
        rows = quant->rows, cols = quant->cols;
    } else {
        rows = cols = 0; /* the blob's header knows */
    }
    memset(quant, 0, sizeof *quant);
    quant->struct_size = sizeof *quant, quant->format = TENON_FORMAT_PACKED, quant->rows = rows,
    quant->cols = cols;
    bench_release(w->block);
    w->block = block, w->bytes = bytes;
    w->view = blob, w->view.shape = w->shape, w->view.strides = w->strides;
    w->shape[0] = (int64_t)bytes, w->strides[0] = 1;
    return true;
}

bool bench_pack_weights(const bench_library *library, bench_problem *p, bool by_reference,
                        char *detail, size_t bytes) {
    static const char *const fields[] = {"w", "gate_up", "down", "shared_gate_up", "shared_down"};
    for (size_t i = 0; i < sizeof fields / sizeof fields[0]; i++)
        if (bench_find(p, fields[i]) && strcmp(p->info->name, "pack_weights") &&
            strcmp(p->info->name, "unpack_weights") &&
            !pack_one(library, p, fields[i], by_reference, detail, bytes))
            return false;
    return true;
}
