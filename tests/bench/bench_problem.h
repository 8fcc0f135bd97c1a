/* SPDX-License-Identifier: Apache-2.0 */
/* One problem: an operation with every argument in memory, made from a problem string
 * (doc/problem_strings.md). Everything is found through the library's own schema, so a new
 * operation or field needs no code here. */
#ifndef TENON_BENCH_PROBLEM_H
#define TENON_BENCH_PROBLEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tenon.h"

enum { BENCH_MAX_TENSORS = 40, BENCH_MAX_QUANTS = 4, BENCH_MARGIN = 64 };

typedef struct bench_tensor {
    DLTensor view;
    int64_t shape[8], strides[8];
    const tenon_field_info *info; /* of the field, or of the member of tenon_quant */
    int32_t field, member;        /* member: -1, or the index in tenon_quant's list */
    bool written;
    int64_t *contents; /* integers that the string gives; NULL: filled by rule */
    int64_t n_contents;
    unsigned char *block; /* margin, data, margin */
    size_t bytes;
} bench_tensor;

typedef struct bench_problem {
    const tenon_op_info *info;
    union {
        struct {
            TENON_ARGS_HEAD
        } head;
        unsigned char bytes[512];
    } args;
    tenon_quant quant[BENCH_MAX_QUANTS];
    int32_t quant_field[BENCH_MAX_QUANTS];
    int32_t n_quants, n_tensors;
    bench_tensor tensor[BENCH_MAX_TENSORS];
    tenon_fault fault;
    char message[256]; /* what was wrong with the string */
} bench_problem;

/* ---- bench_parse.c: a string to a problem without memory. false: see message. ---- */
bool bench_parse(const tenon_api *api, const char *text, bench_problem *problem);
/* The canonical string of what was parsed. */
void bench_print(const tenon_api *api, const bench_problem *problem, char *text, size_t bytes);

/* ---- bench_memory.c ---- */
/* 64-byte aligned; from 2 MiB on, on huge pages where the kernel has them (the default), as a host
 * that reads weights at the speed of the memory does. */
void *bench_block(size_t bytes);
void bench_release(void *block);
/* From now on large blocks stay mapped after their release. */
void bench_keep_blocks(void);
double bench_kept_bytes(void); /* of those that nobody uses */
/* Memory that can be had without swapping. */
double bench_available_bytes(void);
/* The same problem with the same contents in memory of its own; *to is to be freed either way. */
bool bench_clone(const bench_problem *from, bench_problem *to);
void bench_use_huge_pages(bool wanted);
/* From the first to the last element, strides counted. */
double bench_span_bytes(const bench_tensor *tensor);
/* Memory for every tensor; outputs and margins poisoned. false: no memory. */
bool bench_allocate(bench_problem *problem);
void bench_free(bench_problem *problem);
/* NULL, or the name of the tensor whose margin was written. */
const char *bench_broken_margin(const bench_problem *problem);
void bench_poison_outputs(bench_problem *problem);

/* ---- bench_fill.c: random inputs of the right kind, the same for the same seed ---- */
void bench_fill(bench_problem *problem, uint64_t seed);

/* The tensor of a field by name, or NULL. "w_quant.scale" for a member. */
bench_tensor *bench_find(bench_problem *problem, const char *name);
int64_t bench_scalar(const bench_problem *problem,
                     const char *name); /* an i32, i64 or choice field */
/* The descriptor of a quant field, or NULL. */
const tenon_quant *bench_quant(const bench_problem *problem, const char *name);

static inline void *bench_data(const bench_tensor *tensor) {
    return tensor->block ? tensor->block + BENCH_MARGIN : NULL;
}
static inline int64_t bench_count(const bench_tensor *tensor) {
    int64_t n = 1;
    for (int32_t i = 0; i < tensor->view.ndim; i++) n *= tensor->shape[i];
    return n;
}

/* ---- bench_types.c ---- */
bool bench_type_by_name(const char *name, size_t length, DLDataType *type);
const char *bench_type_name(DLDataType type);
/* Element `index` of a tensor's memory as a number; f32, f16, bf16, fp8, integers. */
double bench_load(DLDataType type, const void *data, int64_t index);

#endif /* TENON_BENCH_PROBLEM_H */
