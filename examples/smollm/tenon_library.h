/* SPDX-License-Identifier: Apache-2.0 */
/* libtenon.so as this host sees it: opened at run time, never linked. */
#ifndef SMOLLM_TENON_LIBRARY_H
#define SMOLLM_TENON_LIBRARY_H

#include "host_error.h"
#include "tenon.h"

typedef struct tenon_library {
    void *handle;
    const tenon_api *api;
    tenon_context *context;
    uint32_t version;         /* the negotiated one */
    void *workspace;          /* one for all calls: this host runs them one after the other */
    uint64_t workspace_bytes; /* the largest need of all plans so far */
    tenon_fault fault;        /* where kernels report indices out of range */
} tenon_library;

/* n_threads 0: the library's own choice. On failure *library is empty. */
bool tenon_library_open(tenon_library *library, const char *path, int n_threads, host_error *error);
void tenon_library_close(tenon_library *library);

/* A plan and what the library says about it. */
typedef struct planned_call {
    tenon_plan *plan;
    const char *label; /* what the model uses it for; not copied */
    bool needs_update; /* plan_update must run when lengths change */
    int64_t runs;      /* so far */
    double seconds;    /* that they took */
    char kernel[96];
} planned_call;

bool plan_call(tenon_library *library, planned_call *call, const char *label, int32_t op,
               const void *args, host_error *error);
void planned_call_free(const tenon_library *library, planned_call *call);

/* After the last plan_call and before the first run_call: the workspace that any of them needs. */
bool tenon_library_reserve(tenon_library *library, host_error *error);

/* Completes the head of args (any operation's struct) and runs. A fault that the kernels met is an
 * error too. */
bool run_call(tenon_library *library, planned_call *call, void *args, host_error *error);

#endif
