/* SPDX-License-Identifier: Apache-2.0 */
#include "bench_pages.h"

#include <stdlib.h>
#include <string.h>

/* Bytes of a row of all heads; 0: a page is not one piece of memory. */
static size_t row_bytes(const bench_tensor *cache) {
    int64_t step = 1;
    for (int32_t i = cache->view.ndim - 1; i > 1; i--) {
        if (cache->shape[i] > 1 && cache->strides[i] != step) return 0;
        step *= cache->shape[i];
    }
    return cache->strides[1] == step ? (size_t)(step * cache->view.dtype.bits / 8) : 0;
}

static bool append(bench_spans *out, const bench_tensor *cache, int64_t page, int64_t rows) {
    if (out->n == out->room) {
        size_t room = out->room ? 2 * out->room : 256;
        bench_span *more = realloc(out->span, room * sizeof *more);
        if (!more) return false;
        out->span = more, out->room = room;
    }
    size_t page_bytes = (size_t)cache->strides[0] * cache->view.dtype.bits / 8;
    const unsigned char *base = bench_data(cache);
    out->span[out->n++] =
        (bench_span){base + (size_t)page * page_bytes, (size_t)rows * row_bytes(cache)};
    return true;
}

bool bench_pages_append(bench_problem *p, bench_spans *out) {
    bench_tensor *k = bench_find(p, "k"), *v = bench_find(p, "v"),
                 *table = bench_find(p, "block_table"), *lens = bench_find(p, "seq_lens");
    if (!k) k = bench_find(p, "cache");
    if ((strcmp(p->info->name, "attention") && strcmp(p->info->name, "mla_attention")) || !table ||
        k->view.ndim < 3 || !row_bytes(k) || (v && !row_bytes(v)))
        return false;
    int64_t page_size = k->shape[1], left = v ? bench_scalar(p, "window_left") : 0;
    if (left > 0) return false; /* a window reads the last pages only */
    for (int64_t b = 0; b < lens->shape[0]; b++) {
        int64_t length = (int64_t)bench_load(lens->view.dtype, bench_data(lens), b);
        for (int64_t at = 0; at < length; at += page_size) {
            int64_t rows = length - at < page_size ? length - at : page_size;
            int64_t page = (int64_t)bench_load(table->view.dtype, bench_data(table),
                                               b * table->strides[0] + at / page_size);
            if (!append(out, k, page, rows) || (v && !append(out, v, page, rows))) return false;
        }
    }
    return out->n > 0;
}
