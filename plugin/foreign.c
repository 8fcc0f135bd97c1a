/* SPDX-License-Identifier: Apache-2.0 */
#include "foreign.h"

int32_t tenon_register_kernel(tenon_context *context, const tenon_foreign_kernel *kernel, tenon_error *error) {
    (void)context, (void)kernel;
    return tenon_fail(error, TENON_STATUS_UNSUPPORTED, -1, -1, "foreign kernels are not in this build");
}
void tenon_foreign_destroy(tenon_context *context, tenon_foreign *foreign) { (void)context, (void)foreign; }

int32_t tenon_closure_create(const tenon_plan *plan, const void *args, const char *signature, tenon_closure **out, void (**function)(void),
                             tenon_error *error) {
    (void)plan, (void)args, (void)signature, (void)out, (void)function;
    return tenon_fail(error, TENON_STATUS_UNSUPPORTED, -1, -1, "closures are not in this build");
}
void tenon_closure_destroy(tenon_closure *closure) { (void)closure; }
