/* SPDX-License-Identifier: Apache-2.0 */
/* The short road of run: are these args, field by field, what the plan was made for, with data that
 * is in order? It answers yes or no in a few nanoseconds; on a no the long road in run.c looks
 * again, takes what is allowed, and says what is wrong with the rest. planned_match.h is the
 * question itself, compiled once per instruction set. */
#ifndef TENON_PLANNED_H
#define TENON_PLANNED_H

#include <string.h>

#include "schema.h"

enum {
    TENON_QUANT_WORDS = sizeof(tenon_quant) / 8,
    TENON_QUANT_TENSOR_WORD =
        offsetof(tenon_quant, scale) / 8, /* here and up: pointers to tensors */
    TENON_PLANNED_LANES = 8,
    TENON_PLANNED_BLOCKS = (TENON_MAX_ARGS_BYTES / 8 + 8) / 8
};
_Static_assert(TENON_QUANT_TENSOR_WORD * 8 == offsetof(tenon_quant, scale) &&
                   TENON_QUANT_WORDS * 8 == sizeof(tenon_quant),
               "the scalars of a descriptor fill whole words");

struct tenon_plan;

typedef struct tenon_planned_tensor {
    _Alignas(64) int64_t extent[TENON_MAX_NDIM]; /* a list is one load, from one cache line */
    int64_t stride[TENON_MAX_NDIM];
    uint64_t device; /* as it lies in a DLTensor */
    uint64_t rank_and_type;
    uint64_t span_bytes;
    uint32_t align_mask;
    uint16_t offset; /* of the pointer, in args or in a descriptor */
    uint8_t base;    /* 0: args; q + 1: the q-th descriptor of tenon_planned.quant */
    uint8_t there;   /* a bit per extent */
    int32_t ndim;
    uint32_t lane; /* the bit of its address; 0 for an empty one */
} tenon_planned_tensor;

/* A struct as words of 8 bytes, in blocks of 8 words and then 8 masks; masks are 0 where a run may
 * differ. */
typedef struct tenon_planned_words {
    uint32_t n_words, n_blocks; /* blocks that are full */
    uint32_t rest;              /* a bit per word of the last one */
    uint32_t reserved;
    _Alignas(64) uint64_t word_and_mask[16 * TENON_PLANNED_BLOCKS];
} tenon_planned_words;

static inline size_t tenon_planned_word_at(uint32_t i) {
    return 16 * (size_t)(i / 8) + i % 8; /* its mask is 8 further */
}

typedef struct tenon_planned_quant {
    uint32_t offset; /* of the pointer in the args struct */
    uint32_t reserved;
    tenon_planned_words words;
} tenon_planned_quant;

/* Everything that a run must repeat, in the order in which it is read. */
typedef struct tenon_planned {
    uint64_t size_and_flags; /* 0, which no args have, in a context with a trace: all its runs take
                                the long road */
    uint64_t workspace_bytes;
    uint32_t n_quants, n_tensors, n_with_data, n_written;
    /* The run of this plan: the kernel's where all of this matches, else tenon_run_long. */
    int32_t (*run)(const struct tenon_plan *plan, const void *args, tenon_error *error);
    tenon_planned_words args;
    tenon_planned_quant quant[TENON_MAX_QUANTS];
    /* The addresses of tensors that are not empty, side by side; the workspace is the last lane. */
    _Alignas(64) uint64_t lane_span_bytes[TENON_PLANNED_LANES];
    uint64_t lane_align_mask[TENON_PLANNED_LANES];
    uint32_t n_written_lanes;
    uint64_t written_lane[TENON_PLANNED_LANES];
    uint8_t beside_written_lane[TENON_PLANNED_LANES]; /* a bit per other lane */
    /* Written ones, then those that are read, then the empty ones, whose data may be anything. */
    tenon_planned_tensor tensor[TENON_MAX_SLOTS];
} tenon_planned;

/* args: as the plan was made from, with a struct of this version's size at least. */
void tenon_planned_build(struct tenon_plan *plan, const void *args);

int32_t tenon_run_planned_any_cpu(const struct tenon_plan *plan, const void *args,
                                  tenon_error *error);
int32_t tenon_run_planned_x86_avx512(const struct tenon_plan *plan, const void *args,
                                     tenon_error *error);

static inline uint64_t tenon_word(const void *base, size_t index) {
    uint64_t word;
    memcpy(&word, (const char *)base + 8 * index, sizeof word);
    return word;
}

#endif /* TENON_PLANNED_H */
