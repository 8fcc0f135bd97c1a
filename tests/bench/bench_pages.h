/* SPDX-License-Identifier: Apache-2.0 */
/* Which memory attention reads: the pages of its cache, in the order of the block table. */
#ifndef TENON_BENCH_PAGES_H
#define TENON_BENCH_PAGES_H

#include "bench_problem.h"

typedef struct bench_span {
    const unsigned char *data;
    size_t bytes;
} bench_span;

typedef struct bench_spans {
    bench_span *span;
    size_t n, room;
} bench_spans;

/* Appends what one run reads of the cache: for each sequence, page after page as far as its length
 * goes, keys and then values. false: no operation on such pages, pages whose rows do not lie
 * together, or no memory; *out may have grown. */
bool bench_pages_append(bench_problem *problem, bench_spans *out);

#endif /* TENON_BENCH_PAGES_H */
