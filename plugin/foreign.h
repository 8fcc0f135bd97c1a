/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that the host registers, and plans handed out as plain C functions; libffi makes both
 * kinds of call. */
#ifndef TENON_FOREIGN_H
#define TENON_FOREIGN_H

#include "context.h"

typedef struct tenon_foreign {
    tenon_kernel row; /* what a plan runs; must stay the first member: the row's functions find the
                         rest from it */
    tenon_foreign_kernel info; /* name and signature point to our copies */
    char *name;
    size_t name_bytes;
    struct tenon_call_form *form;
} tenon_foreign;

int32_t tenon_register_kernel(tenon_context *context, const tenon_foreign_kernel *kernel,
                              tenon_error *error);
void tenon_foreign_destroy(tenon_context *context, tenon_foreign *foreign);
static inline const tenon_kernel *tenon_foreign_kernel_row(const tenon_foreign *foreign) {
    return &foreign->row;
}

/* NULL: takes the problem. Else the reason. */
const char *tenon_foreign_why_not(const tenon_foreign *foreign, const tenon_problem *problem,
                                  tenon_reason *reason);

/* The list as it is now, sorted by priority, the largest first, the older first among equals. Room
 * for TENON_MAX_FOREIGN; returns how many. A copy, so that no lock is held while the host's
 * predicates run. */
uint32_t tenon_foreign_list(tenon_context *context, tenon_foreign **list);

/* closure.c */
int32_t tenon_closure_create(const tenon_plan *plan, const void *args, const char *signature,
                             tenon_closure **out, void (**function)(void), tenon_error *error);
void tenon_closure_destroy(tenon_closure *closure);

#endif /* TENON_FOREIGN_H */
