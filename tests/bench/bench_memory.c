/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "bench_problem.h"

enum { POISON = 0xa5, MARGIN_BYTE = 0x5c, HUGE_PAGE = 2 << 20 };

/* The kernel clears every page that it hands out, which takes longer than measuring: in a
 * measurement, large blocks are kept for the next problem. Elsewhere they are not, so that a
 * sanitizer sees every access behind one. */
typedef struct kept_block {
    unsigned char *data;
    size_t bytes;
    bool huge, used;
} kept_block;

static bool huge_pages = true, keeping;
static kept_block *kept;
static size_t n_kept;

void bench_use_huge_pages(bool wanted) {
    huge_pages = wanted;
}

void bench_keep_blocks(void) {
    keeping = true;
}

/* Before the first touch, and in both directions: the machine's default may be either. A refusal
 * leaves small pages, which are right, too. */
static void advise(void *block, size_t bytes) {
    madvise(block, bytes, huge_pages ? MADV_HUGEPAGE : MADV_NOHUGEPAGE);
}

double bench_available_bytes(void) {
    FILE *file = fopen("/proc/meminfo", "r");
    char line[128];
    double kilobytes = 1e15;
    while (file && fgets(line, sizeof line, file)) sscanf(line, "MemAvailable: %lf", &kilobytes);
    if (file) fclose(file);
    return 1024 * kilobytes;
}

static void drop_unused(void) {
    size_t n = 0;
    for (size_t i = 0; i < n_kept; i++)
        if (kept[i].used)
            kept[n++] = kept[i];
        else
            munmap(kept[i].data, kept[i].bytes);
    n_kept = n;
}

double bench_kept_bytes(void) {
    double sum = 0;
    for (size_t i = 0; i < n_kept; i++) sum += kept[i].used ? 0 : (double)kept[i].bytes;
    return sum;
}

static unsigned char *map_block(size_t bytes) {
    kept_block *more = realloc(kept, (n_kept + 1) * sizeof *kept);
    if (!more) return NULL;
    kept = more;
    unsigned char *p =
        mmap(NULL, bytes + HUGE_PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED) return NULL;
    size_t before = HUGE_PAGE - (uintptr_t)p % HUGE_PAGE;
    munmap(p, before);
    if (before < HUGE_PAGE) munmap(p + before + bytes, HUGE_PAGE - before);
    p += before;
    advise(p, bytes);
    kept[n_kept++] = (kept_block){p, bytes, huge_pages, true};
    return p;
}

/* The smallest one that fits and wastes no more than a quarter. */
static unsigned char *kept_or_mapped(size_t bytes) {
    kept_block *best = NULL;
    for (size_t i = 0; i < n_kept; i++) {
        kept_block *k = &kept[i];
        if (!k->used && k->huge == huge_pages && k->bytes >= bytes && k->bytes <= bytes / 4 * 5 &&
            (!best || k->bytes < best->bytes))
            best = k;
    }
    if (best) return best->used = true, best->data;
    if (bench_kept_bytes() + (double)bytes > bench_available_bytes()) drop_unused();
    return map_block(bytes);
}

void *bench_block(size_t bytes) {
    bool large = bytes >= HUGE_PAGE;
    size_t unit = large ? HUGE_PAGE : 64, total = (bytes + unit - 1) / unit * unit;
    if (large && keeping) return kept_or_mapped(total);
    void *block = aligned_alloc(unit, total);
    if (block && large) advise(block, total);
    return block;
}

void bench_release(void *block) {
    for (size_t i = 0; i < n_kept; i++)
        if (kept[i].data == block) {
            kept[i].used = false;
            return;
        }
    free(block);
}

double bench_span_bytes(const bench_tensor *t) {
    int64_t last = 0;
    for (int32_t i = 0; i < t->view.ndim; i++) {
        if (t->shape[i] == 0) return 0;
        last += (t->shape[i] - 1) * t->strides[i];
    }
    return (double)(((last + 1) * t->view.dtype.bits * t->view.dtype.lanes + 7) / 8);
}

static void mark_margins(bench_tensor *t) {
    memset(t->block, MARGIN_BYTE, BENCH_MARGIN);
    memset(t->block + BENCH_MARGIN + t->bytes, MARGIN_BYTE, BENCH_MARGIN);
}

bool bench_allocate(bench_problem *problem) {
    for (int32_t i = 0; i < problem->n_tensors; i++) {
        bench_tensor *t = &problem->tensor[i];
        t->bytes = (size_t)bench_span_bytes(t);
        t->block = bench_block(t->bytes + 2 * BENCH_MARGIN);
        if (!t->block) return false;
        mark_margins(t);
        memset(bench_data(t), POISON, t->bytes);
        t->view.data = bench_data(t);
    }
    return true;
}

/* A pointer into *from becomes the same pointer into *to. */
static void relocate(void *at, size_t bytes, const bench_problem *from, bench_problem *to) {
    for (size_t i = 0; i + sizeof(uintptr_t) <= bytes; i += sizeof(uintptr_t)) {
        uintptr_t word, first = (uintptr_t)from;
        memcpy(&word, (char *)at + i, sizeof word);
        if (word < first || word >= first + sizeof *from) continue;
        word = word - first + (uintptr_t)to;
        memcpy((char *)at + i, &word, sizeof word);
    }
}

bool bench_clone(const bench_problem *from, bench_problem *to) {
    memcpy(to, from, sizeof *to);
    relocate(&to->args, sizeof to->args, from, to);
    relocate(to->quant, sizeof to->quant, from, to);
    for (int32_t i = 0; i < to->n_tensors; i++) to->tensor[i].block = NULL;
    for (int32_t i = 0; i < to->n_tensors; i++) {
        bench_tensor *t = &to->tensor[i];
        t->contents = NULL, t->n_contents = 0;
        t->view.shape = t->shape, t->view.strides = t->strides;
        t->block = bench_block(t->bytes + 2 * BENCH_MARGIN);
        if (!t->block) return false;
        mark_margins(t);
        memcpy(bench_data(t), from->tensor[i].block + BENCH_MARGIN, t->bytes);
        t->view.data = bench_data(t);
    }
    return true;
}

void bench_free(bench_problem *problem) {
    for (int32_t i = 0; i < problem->n_tensors; i++) {
        bench_release(problem->tensor[i].block);
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
