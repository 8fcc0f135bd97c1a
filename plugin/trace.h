/* SPDX-License-Identifier: Apache-2.0 */
/* TENON_TRACE: the problems that a host really ran, one line each, in the form that tenonbench --batch reads back. */
#ifndef TENON_TRACE_H
#define TENON_TRACE_H

#include "context.h"

int32_t tenon_trace_open(tenon_context *context, const char *path, tenon_error *error);
void tenon_trace_close(tenon_context *context);
void tenon_trace_run(const tenon_plan *plan, const void *args);

#endif /* TENON_TRACE_H */
