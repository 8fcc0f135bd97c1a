/* SPDX-License-Identifier: Apache-2.0 */
/* Kernels that the host registers, and plans handed out as plain C functions; libffi makes both kinds of call. */
#ifndef TENON_FOREIGN_H
#define TENON_FOREIGN_H

#include "context.h"

typedef struct tenon_foreign {
    tenon_foreign_kernel info; /* name and signature point to our copies */
    char *name;
    tenon_kernel row;          /* what a plan runs; its state is this struct */
    struct tenon_call_form *form;
} tenon_foreign;

int32_t tenon_register_kernel(tenon_context *context, const tenon_foreign_kernel *kernel, tenon_error *error);
void tenon_foreign_destroy(tenon_context *context, tenon_foreign *foreign);
static inline const tenon_kernel *tenon_foreign_kernel_row(const tenon_foreign *foreign) { return &foreign->row; }

int32_t tenon_closure_create(const tenon_plan *plan, const void *args, const char *signature, tenon_closure **out, void (**function)(void),
                             tenon_error *error);
void tenon_closure_destroy(tenon_closure *closure);

#endif /* TENON_FOREIGN_H */
