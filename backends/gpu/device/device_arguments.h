/* SPDX-License-Identifier: Apache-2.0 */
/* For headers with the argument struct of a kernel, which the host fills and device code reads: its
 * pointers are TENON_GLOBAL, its members have the same size and place on both sides. */
#ifndef TENON_DEVICE_ARGUMENTS_H
#define TENON_DEVICE_ARGUMENTS_H

#include <stdint.h>

#if defined(__AMDGCN__)
#    define TENON_GLOBAL __attribute__((address_space(1)))
#else
#    define TENON_GLOBAL
#endif

typedef TENON_GLOBAL uint8_t *tenon_device_bytes;
typedef TENON_GLOBAL const uint8_t *tenon_device_const_bytes;
typedef TENON_GLOBAL int32_t *tenon_device_fault; /* tenon_fault of the host, or NULL */

#endif /* TENON_DEVICE_ARGUMENTS_H */
