/* SPDX-License-Identifier: Apache-2.0 */
/* Opens libtenon.so, agrees on a version, and lists what this machine offers.
 *     cc -I abi examples/01_load.c -o load -ldl && ./load build/libtenon.so */
#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

#include "tenon.h"

static void list_devices(const tenon_api *api, tenon_context *context) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_device_info device = {.struct_size = sizeof device};
    for (uint32_t i = 0; api->probe(context, i, &device, &error) == TENON_OK; i++) {
        static const char *const backends[] = {"auto", "cpu", "cuda", "rocm"};
        printf("%-5s ", backends[device.backend & 3]);
        if (device.available) {
            printf("%s, %d units: %s\n", device.name, device.n_units, device.feature_text);
        } else {
            printf("not available: %s\n", device.reason);
        }
    }
}

/* One line for each kernel that this machine can run, in the order in which selection reads them.
 */
static void list_kernels(const tenon_api *api, tenon_context *context) {
    tenon_error error = {.struct_size = sizeof error};
    tenon_kernel_info kernel = {.struct_size = sizeof kernel};
    for (uint32_t i = 0; api->kernel_info(context, i, &kernel, &error) == TENON_OK; i++) {
        const tenon_op_info *op = api->op_info((uint32_t)kernel.op);
        if (kernel.available) printf("  %-15s %s\n", op->name, kernel.name);
    }
}

int main(int argument_count, char **arguments) {
    const char *path = argument_count > 1 ? arguments[1] : "libtenon.so";
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = library ? dlsym(library, "tenon_get_api") : NULL;
    if (!symbol) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    tenon_get_api_fn get_api;
    memcpy(&get_api, &symbol, sizeof get_api);

    const tenon_api *api;
    tenon_context *context;
    tenon_error error = {.struct_size = sizeof error};
    uint32_t version = TENON_VERSION; /* in: the newest that we know; out: the one we both speak */
    if (get_api(NULL, &version, &api, &error) != TENON_OK ||
        api->context_create(NULL, &context, &error) != TENON_OK) {
        fprintf(stderr, "%s\n", error.text);
        return 1;
    }
    printf("Tenon ABI %u.%u, %u operations\n", version >> 16, version & 0xffff, api->op_count());
    list_devices(api, context);
    list_kernels(api, context);
    api->context_destroy(context);
    return 0;
}
