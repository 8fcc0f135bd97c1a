/* SPDX-License-Identifier: Apache-2.0 */
/* What the plugin knows of a backend, and what a backend knows of the plugin: struct of a backend,
 * struct of a kernel row.
 *
 * A kernel is one row: a name, what it needs, a predicate that says why it does not take a problem,
 * and plan / run. A row never validates the ABI's contract: the plugin has done that (validate.c,
 * op_<op>.c) before any row is asked.
 */
#ifndef TENON_BACKEND_H
#define TENON_BACKEND_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "tenon.h"

/* Room for one sentence; rows write why they decline here. */
typedef struct tenon_reason {
    char text[256];
} tenon_reason;

/* Writes the sentence and returns it:  return tenon_decline(reason, "k=%lld is not a multiple of
 * 32", (long long)k); */
#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
static inline const char *tenon_decline(tenon_reason *reason, const char *format, ...) {
    va_list list;
    va_start(list, format);
    vsnprintf(reason->text, sizeof reason->text, format, list);
    va_end(list);
    return reason->text;
}

/* Host services for cold paths, and the parallel loop for run. */
typedef struct tenon_platform {
    tenon_host host; /* every callback filled in, except parallel_for, which is NULL unless the host
                        lends threads */
    int32_t n_threads;     /* asked for by the host; 0: as the machine has */
    uint64_t cpu_features; /* mask of what may be used; 0: all */
} tenon_platform;

static inline void *tenon_platform_allocate(const tenon_platform *platform, size_t bytes) {
    return platform->host.allocate(platform->host.user, bytes, 64);
}
static inline void tenon_platform_release(const tenon_platform *platform, void *pointer,
                                          size_t bytes) {
    if (pointer) platform->host.release(platform->host.user, pointer, bytes, 64);
}

/* A validated problem, as plan and why_not see it. args is the operation's full struct (missing
 * tail fields are zero), whose tensors have shape and strides (never NULL strides) but may have
 * NULL data. */
typedef struct tenon_problem {
    int32_t op;
    int32_t device_id;
    const void *args;
    void *backend_state; /* what the backend's open returned */
    const tenon_platform *platform;
} tenon_problem;

/* What a row's plan leaves for its runs. The plugin zeroes it before plan. */
typedef struct tenon_kernel_plan {
    const struct tenon_kernel *kernel;
    tenon_problem problem;        /* args: a deep copy that lives as long as the plan */
    void *state;                  /* the row's own; freed by release */
    uint64_t workspace_bytes;     /* exact for the problem's shapes */
    uint64_t workspace_bytes_max; /* for any smaller run too; 0: the same */
    uint64_t output_bytes;        /* pack_weights, native kv_append: size of the output */
} tenon_kernel_plan;

typedef struct tenon_kernel {
    const char *name;       /* as the symbol, without tenon_ */
    int32_t op;             /* TENON_OP_* */
    uint32_t traits;        /* TENON_TRAIT_* */
    uint64_t needs;         /* feature bits of the backend, all of them needed */
    const char *checked_on; /* "hardware", "emulated", "compiled" */

    /* NULL: takes the problem. Else the reason, with the values in it. */
    const char *(*why_not)(const tenon_problem *problem, tenon_reason *reason);
    /* Sizes the workspace and makes the state. May be NULL: no workspace, no state. */
    int32_t (*plan)(tenon_kernel_plan *plan, tenon_error *error);
    /* args: full struct with data pointers, strides never NULL, already checked against the plan.
     * Extents may be smaller where the field list has "~"; the strides of such a tensor may differ
     * too, except that of a contiguous last dimension: read them from args. An empty tensor may
     * have NULL data. Must not allocate, lock or read the environment. */
    int32_t (*run)(const tenon_kernel_plan *plan, const void *args, tenon_error *error);
    /* NULL: nothing to refresh. */
    int32_t (*update)(tenon_kernel_plan *plan, const void *args, tenon_error *error);
    /* NULL: nothing to free. Also called after a plan that failed: whatever was not made is still
     * zero. */
    void (*release)(tenon_kernel_plan *plan);
} tenon_kernel;

typedef struct tenon_backend {
    const char *name; /* "cpu" */
    int32_t id;       /* TENON_BACKEND_* */
    /* NULL, or where the tests of all rows of this build have run, whatever the rows say. */
    const char *checked_on;

    bool (*accepts_device)(int32_t device_type);
    /* Cold, once per context, at first need. OK and *state, or NOT_AVAILABLE and the reason. */
    int32_t (*open)(const tenon_platform *platform, void **state, tenon_reason *reason);
    void (*close)(void *state, const tenon_platform *platform);
    /* NULL, or called before the kernel of a plan is chosen: to restore what a fork took away. */
    void (*before_plan)(void *state);
    /* Fills *out for the index-th device; false past the end. */
    bool (*device_info)(void *state, uint32_t index, tenon_device_info *out);
    /* Rows of an operation, best first. */
    const tenon_kernel *const *(*kernels)(int32_t op, uint32_t *count);
    /* Why this machine cannot run the row at all (a missing instruction set, another architecture);
     * NULL: it can. */
    const char *(*lacks)(void *state, const tenon_kernel *kernel, tenon_reason *reason);
} tenon_backend;

/* ---- help for rows ---- */

static inline void *tenon_data(const DLTensor *tensor) {
    return tensor && tensor->data ? (char *)tensor->data + tensor->byte_offset : NULL;
}

/* First event wins; the code is stored last, so that a poll never sees half a report. */
static inline void tenon_report_fault(tenon_fault *fault, int32_t op, int32_t code,
                                      int64_t position, int64_t value, int64_t limit) {
    if (!fault) return;
    int32_t expected = TENON_FAULT_NONE;
    /* -1 claims the slot while it is being filled. */
    if (!__atomic_compare_exchange_n(&fault->code, &expected, -1, false, __ATOMIC_ACQ_REL,
                                     __ATOMIC_RELAXED))
        return;
    fault->op = op;
    fault->position = position;
    fault->value = value;
    fault->limit = limit;
    __atomic_store_n(&fault->code, code, __ATOMIC_RELEASE);
}

#if defined(__GNUC__)
__attribute__((format(printf, 5, 6)))
#endif
static inline int32_t tenon_fail(tenon_error *error, int32_t status, int32_t op, int32_t field,
                                 const char *format, ...) {
    if (error && error->struct_size > offsetof(tenon_error, text)) {
        size_t room = error->struct_size - offsetof(tenon_error, text);
        va_list list;
        error->status = status;
        error->op = op;
        error->field = field;
        va_start(list, format);
        vsnprintf(error->text, room < sizeof error->text ? room : sizeof error->text, format, list);
        va_end(list);
    }
    return status;
}

#endif /* TENON_BACKEND_H */
