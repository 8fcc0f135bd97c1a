/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench_problem.h"

enum { POISON = 0xa5, MARGIN_BYTE = 0x5c, HUGE_PAGE = 2 << 20 };

static bool huge_pages = true;

void bench_use_huge_pages(bool wanted) {
    huge_pages = wanted;
}

void *bench_block(size_t bytes) {
    bool large = bytes >= HUGE_PAGE;
    size_t unit = large ? HUGE_PAGE : 64, total = (bytes + unit - 1) / unit * unit;
    void *block = aligned_alloc(unit, total);
    /* Before the first touch, and in both directions: the machine's default may be either. A
     * refusal leaves small pages, which are right, too. */
    if (block && large) madvise(block, total, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
    return block;
}

double bench_span_bytes(const bench_tensor *t) {
    int64_t last = 0;
    for (int32_t i = 0; i < t->view.ndim; i++) {
        if (t->shape[i] == 0) return 0;
        last += (t->shape[i] - 1) * t->strides[i];
    }
    return (double)(((last + 1) * t->view.dtype.bits * t->view.dtype.lanes + 7) / 8);
}

bool bench_allocate(bench_problem *problem) {
    for (int32_t i = 0; i < problem->n_tensors; i++) {
        bench_tensor *t = &problem->tensor[i];
        t->bytes = (size_t)bench_span_bytes(t);
        size_t total = t->bytes + 2 * BENCH_MARGIN;
        t->block = bench_block(total);
        if (!t->block) return false;
        memset(t->block, MARGIN_BYTE, total);
        memset(bench_data(t), POISON, t->bytes);
        t->view.data = bench_data(t);
    }
    return true;
}

void bench_free(bench_problem *problem) {
    for (int32_t i = 0; i < problem->n_tensors; i++) {
        free(problem->tensor[i].block);
        free(problem->tensor[i].contents);
    }
    problem->n_tensors = 0;
}

void bench_poison_outputs(bench_problem *problem) {
    for (int32_t i = 0; i < problem->n_tensors; i++) {
        bench_tensor *t = &problem->tensor[i];
        /* A cache is read too: only what is written alone is poisoned. */
        if (t->written && strncmp(t->info->kind, "inout", 5) &&
            strncmp(t->info->kind, "opt_inout", 9))
            memset(bench_data(t), POISON, t->bytes);
    }
}

const char *bench_broken_margin(const bench_problem *problem) {
    for (int32_t i = 0; i < problem->n_tensors; i++) {
        const bench_tensor *t = &problem->tensor[i];
        const unsigned char *after = t->block + BENCH_MARGIN + t->bytes;
        for (int b = 0; b < BENCH_MARGIN; b++)
            if (t->block[b] != MARGIN_BYTE || after[b] != MARGIN_BYTE) return t->info->name;
    }
    return NULL;
}

bench_tensor *bench_find(bench_problem *problem, const char *name) {
    const char *dot = strchr(name, '.');
    size_t length = dot ? (size_t)(dot - name) : strlen(name);
    for (int32_t i = 0; i < problem->n_tensors; i++) {
        bench_tensor *t = &problem->tensor[i];
        const char *field = problem->info->fields[t->field].name;
        if (strlen(field) == length && !memcmp(field, name, length) &&
            (t->member >= 0) == (dot != NULL) && (!dot || !strcmp(t->info->name, dot + 1)))
            return t;
    }
    return NULL;
}

static const tenon_field_info *field_of(const bench_problem *problem, const char *name) {
    for (uint32_t i = 0; i < problem->info->n_fields; i++)
        if (!strcmp(problem->info->fields[i].name, name)) return &problem->info->fields[i];
    return NULL;
}

int64_t bench_scalar(const bench_problem *problem, const char *name) {
    const tenon_field_info *f = field_of(problem, name);
    int32_t narrow = 0;
    int64_t wide = 0;
    if (!f) return 0;
    if (f->size_bytes == 8)
        memcpy(&wide, problem->args.bytes + f->offset_bytes, 8);
    else
        memcpy(&narrow, problem->args.bytes + f->offset_bytes, 4), wide = narrow;
    return wide;
}

const tenon_quant *bench_quant(const bench_problem *problem, const char *name) {
    const tenon_field_info *f = field_of(problem, name);
    for (int32_t q = 0; f && q < problem->n_quants; q++)
        if (problem->quant_field[q] == (int32_t)(f - problem->info->fields))
            return &problem->quant[q];
    return NULL;
}
