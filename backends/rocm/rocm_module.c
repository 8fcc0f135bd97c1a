/* SPDX-License-Identifier: Apache-2.0 */
#include "rocm_module.h"

uint32_t tenon_rocm_find_object(const char *name, tenon_rocm_target target) {
    uint32_t i = 0;
    while (i < tenon_rocm_n_objects && (tenon_rocm_objects[i].target != target ||
                                        strcmp(tenon_rocm_objects[i].name, name) != 0))
        i++;
    return i;
}

int tenon_rocm_enter_device(const tenon_rocm_driver *driver, int device, int *was) {
    int error = driver->get_device(was);
    return error || *was == device ? error : driver->set_device(device);
}

int tenon_rocm_leave_device(const tenon_rocm_driver *driver, int device, int was) {
    return was == device ? TENON_HIP_SUCCESS : driver->set_device(was);
}
