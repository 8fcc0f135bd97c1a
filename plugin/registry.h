/* SPDX-License-Identifier: Apache-2.0 */
/* The backends of this build, and the choice of a kernel among their rows and the host's own. */
#ifndef TENON_REGISTRY_H
#define TENON_REGISTRY_H

#include "context.h"

/* Backends compiled in, the CPU first. */
const tenon_backend *const *tenon_registry_backends(uint32_t *count);

/* What selection found: a row, or a foreign kernel, or neither; and the reason of everything above
 * it. */
typedef struct tenon_choice {
    const tenon_kernel *kernel;
    const struct tenon_foreign *foreign;
    char reasons[480]; /* "name: why not; name: why not" */
} tenon_choice;

/* Reads the list from the top; wanted: NULL or a pattern of kernel names. OK, or UNSUPPORTED with
 * every reason in choice->reasons. */
int32_t tenon_registry_choose(tenon_context *context, const tenon_backend_slot *slot,
                              const tenon_problem *problem, const char *wanted,
                              tenon_choice *choice);

/* '*' in the pattern matches any run of characters. */
bool tenon_name_matches(const char *pattern, const char *name);

int32_t tenon_kernel_info_at(tenon_context *context, uint32_t index, tenon_kernel_info *out,
                             tenon_error *error);
int32_t tenon_probe_at(tenon_context *context, uint32_t index, tenon_device_info *out,
                       tenon_error *error);

#endif /* TENON_REGISTRY_H */
