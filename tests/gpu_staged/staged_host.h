/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of libtenon_staged.so: a host of libtenon.so that has Tenon's own entry. A program written
 * for tensors in host memory loads it in the place of libtenon.so, and runs on a GPU: each call's
 * tensors are copied to device memory, the real library runs there, and what it wrote is copied
 * back. So every test of an operation is a test of the GPU's kernels too, as it stands.
 *
 *   TENON_STAGED_LIBRARY    the real libtenon.so
 *   TENON_STAGED_FAILURES   set: each call of the runtime that a plan or a run makes fails once
 *                           before it may succeed (needs the fake runtime)
 *
 * Rows whose name begins with ref_ run on the CPU, on the tensors as they are. */
#ifndef TENON_STAGED_HOST_H
#define TENON_STAGED_HOST_H

#include <stdbool.h>

#include "tenon.h"

enum {
    STAGED_MAX_TENSORS = 40,
    STAGED_MAX_QUANTS = 8,
    STAGED_MAX_NDIM = 8,
    STAGED_MAX_ARGS_BYTES = 4096
};

/* One tensor of a call. */
typedef struct staged_tensor {
    DLTensor view;         /* on the device */
    const DLTensor *given; /* on the host */
    char *first, *end;     /* bytes it spans on the host; empty: no data */
    int block;             /* -1: none */
    bool written;
} staged_tensor;

/* Tensors that share bytes share a block of device memory. */
typedef struct staged_block {
    char *first, *end; /* on the host */
    char *memory;      /* on the device; first is at memory + offset */
    size_t offset;     /* keeps the alignment of the host's address */
    bool written;
} staged_block;

typedef struct staged_call {
    _Alignas(16) unsigned char args[STAGED_MAX_ARGS_BYTES];
    tenon_quant quant[STAGED_MAX_QUANTS];
    staged_tensor tensor[STAGED_MAX_TENSORS];
    staged_block block[STAGED_MAX_TENSORS];
    int n_tensors, n_quants, n_blocks;
    void *workspace;
    tenon_fault *fault, *given_fault;
} staged_call;

/* Copies everything to the device. false: text says what failed; staged_end is to be called. */
bool staged_begin(const tenon_api *api, int32_t op, const void *args, staged_call *call, char *text,
                  size_t text_bytes);
/* Waits, copies back what was written, and checks that nothing else was. */
bool staged_collect(staged_call *call, char *text, size_t text_bytes);
void staged_end(staged_call *call);
/* Inputs and outputs on the device as they were given; false: a copy failed. */
bool staged_restore(staged_call *call);
/* No byte on the device differs from what was given. */
bool staged_is_untouched(const staged_call *call);

/* plan_create and run, with every call of the runtime failing in turn before the one that may
 * succeed. What they do wrong then is said in *wrong (NULL: nothing). */
bool staged_failures_wanted(void);
int32_t staged_failing_plan(const tenon_api *api, tenon_context *context, staged_call *call,
                            int32_t op, const tenon_plan_options *options, tenon_plan **out,
                            tenon_error *error, const char **wrong);
int32_t staged_failing_run(const tenon_api *api, const tenon_plan *plan, staged_call *call,
                           tenon_error *error, const char **wrong);

/* Of the run time that was opened. */
typedef struct staged_vendor {
    int32_t backend, device_type;
    const char *launch_symbol, *unknown_error;
} staged_vendor;
const staged_vendor *staged_device_vendor(void);

/* The few functions of HIP or CUDA that a host needs; false: there is none. */
bool staged_device_open(char *text, size_t text_bytes);
void *staged_device_allocate(size_t bytes, bool of_host);
void staged_device_release(void *memory, bool of_host);
int staged_device_upload(void *to, const void *from, size_t bytes);
int staged_device_download(void *to, const void *from, size_t bytes);
int staged_device_synchronize(void);
/* What the fake runtime alone has. */
typedef struct staged_fake {
    void (*fail_at)(uint64_t n, bool all);
    uint64_t (*count)(const char *symbol);
} staged_fake;
bool staged_device_is_fake(staged_fake *out);

#endif /* TENON_STAGED_HOST_H */
