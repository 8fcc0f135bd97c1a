/* SPDX-License-Identifier: Apache-2.0 */
/* One sentence that says why something failed, written by whoever found out, printed by main. */
#ifndef SMOLLM_HOST_ERROR_H
#define SMOLLM_HOST_ERROR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>

typedef struct host_error {
    char text[640];
} host_error;

#if defined(__GNUC__)
__attribute__((format(printf, 2, 3)))
#endif
/* Fills the text and answers false, so that a failing function is one `return host_fail(...)`. */
static inline bool host_fail(host_error *error, const char *format, ...) {
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->text, sizeof error->text, format, arguments);
    va_end(arguments);
    return false;
}

#endif
