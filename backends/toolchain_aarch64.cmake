# SPDX-License-Identifier: Apache-2.0
# Cross-compiling for 64-bit Arm on Debian (gcc-aarch64-linux-gnu, libc6-dev-arm64-cross); programs run under qemu-user.
# -DCMAKE_C_COMPILER=clang-22 takes clang with the same headers and libraries.
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(TENON_CROSS_ROOT /usr/aarch64-linux-gnu)
if(NOT DEFINED CMAKE_C_COMPILER)
    set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
endif()
set(CMAKE_C_COMPILER_TARGET aarch64-linux-gnu)
set(CMAKE_FIND_ROOT_PATH ${TENON_CROSS_ROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
# What ctest puts before each program. qemu's default CPU has every extension that the kernels ask for.
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${TENON_CROSS_ROOT})
# Device code is the same whatever the host; it is built and tested there.
set(TENON_GPU OFF CACHE BOOL "")
# Debian's libffi-dev:arm64, where the machine has that architecture.
if(EXISTS /usr/lib/aarch64-linux-gnu/libffi_pic.a)
    set(TENON_LIBFFI /usr/lib/aarch64-linux-gnu/libffi_pic.a CACHE FILEPATH "")
    set(TENON_LIBFFI_INCLUDE /usr/include/aarch64-linux-gnu CACHE PATH "")
else()
    set(TENON_FFI OFF CACHE BOOL "")
endif()
