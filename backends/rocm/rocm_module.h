/* SPDX-License-Identifier: Apache-2.0 */
/* Device code: the objects that are embedded in the library, and what each device has loaded of
 * them. Loading happens when a plan is made. */
#ifndef TENON_ROCM_MODULE_H
#define TENON_ROCM_MODULE_H

#include "rocm_driver.h"
#include "rocm_target.h"

/* One code object: one device source, compiled for one target. The table is generated from the
 * sources that the build finds. */
typedef struct tenon_rocm_object {
    const char *name; /* of the device source, without its suffix: "merge_states" */
    tenon_rocm_target target;
    const unsigned char *image;
} tenon_rocm_object;
extern const tenon_rocm_object tenon_rocm_objects[];
extern const uint32_t tenon_rocm_n_objects;

/* Index of the object, or tenon_rocm_n_objects. */
uint32_t tenon_rocm_find_object(const char *name, tenon_rocm_target target);

/* Makes `device` current for a moment. *was holds what the host had. */
int tenon_rocm_enter_device(const tenon_rocm_driver *driver, int device, int *was);
int tenon_rocm_leave_device(const tenon_rocm_driver *driver, int device, int was);

#endif /* TENON_ROCM_MODULE_H */
