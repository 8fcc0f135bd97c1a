/* SPDX-License-Identifier: Apache-2.0 */
/* What one operation asks beyond its field list: relations between fields that a shape rule cannot
 * say.
 *
 * tenon_check_<op> sees the full struct after the list was checked: required tensors are there,
 * types, ranks, named extents and strides are right, choices are known values, floats are finite,
 * reserved fields are 0. Data pointers may be NULL and are not read (one exception: the header of a
 * PACKED weight). It returns TENON_OK or fails with the values in the text.
 */
#ifndef TENON_OP_CHECK_H
#define TENON_OP_CHECK_H

#include "backend.h"
#include "schema.h"

typedef int32_t (*tenon_op_check)(const void *args, tenon_error *error);

#define TENON_DECLARE_CHECK(op, OP, number, doc)                                                   \
    int32_t tenon_check_##op(const void *args, tenon_error *error);
TENON_OP_LIST(TENON_DECLARE_CHECK)

/* "You are wrong."  TENON_REQUIRE(attention, softcap, a->softcap >= 0, "%g is negative",
 * (double)a->softcap); */
#define TENON_REQUIRE(op, name, condition, ...)                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return tenon_fail_field(error, TENON_STATUS_INVALID_ARGUMENT, #op, #name,              \
                                    TENON_FIELD(op, name), __VA_ARGS__);                           \
    } while (0)

/* "We cannot."  For what no kernel of any backend does; what one kernel cannot do is its row's
 * why_not. */
#define TENON_SUPPORT(op, name, condition, ...)                                                    \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return tenon_fail_field(error, TENON_STATUS_UNSUPPORTED, #op, #name,                   \
                                    TENON_FIELD(op, name), __VA_ARGS__);                           \
    } while (0)

/* Text: "<op>: <field>: <message>". */
int32_t tenon_fail_field(tenon_error *error, int32_t status, const char *op, const char *name,
                         int32_t field, const char *format, ...)
    __attribute__((format(printf, 6, 7)));

#endif /* TENON_OP_CHECK_H */
