/* SPDX-License-Identifier: Apache-2.0 */
/* TENON_TRACE: the problems that a host really ran, one line each, in the form that tenonbench
 * --batch reads back.
 *
 * The one thing in run that may lock and call the system, and only where it was asked for. */
#ifndef TENON_TRACE_H
#define TENON_TRACE_H

#include "plan.h"

int32_t tenon_trace_open(tenon_context *context, const char *path, tenon_error *error);
/* Appends how often each problem ran, and closes the file. */
void tenon_trace_close(tenon_context *context);
/* args: full struct, checked, every tensor with strides. */
void tenon_trace_run(const tenon_plan *plan, const void *args);

#endif /* TENON_TRACE_H */
