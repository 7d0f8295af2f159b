"""Asks NVIDIA's driver, and nothing else, what it is and which GPUs it gives: {"cuda": [13, 0], "gpus": [..]} as JSON.

Run as a process of its own: a driver that is ill hangs or takes its caller down."""

import ctypes
import json
import sys

MAJOR, MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_{MAJOR,MINOR}
WHY = {
    2: "out of memory", 3: "not initialised", 34: "stub library instead of a driver", 35: "driver too old",
    100: "no GPU", 101: "no such GPU", 803: "driver and library of different versions (restart)",
    804: "driver too old for the library", 999: "unknown error (restart, or reload nvidia_uvm)",
}  # fmt: skip


def ask() -> dict:
    try:
        cuda = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return {}
    number = ctypes.c_int()
    cuda.cuDriverGetVersion(ctypes.byref(number))
    found: dict = {"cuda": [number.value // 1000, number.value % 1000 // 10], "gpus": []}
    if code := cuda.cuInit(0):
        return {**found, "error": f"CUDA error {code}: {WHY.get(code, 'see cudaError_enum')}"}
    count = ctypes.c_int()
    cuda.cuDeviceGetCount(ctypes.byref(count))
    for index in range(count.value):
        device, name, memory = ctypes.c_int(), ctypes.create_string_buffer(128), ctypes.c_size_t()
        cuda.cuDeviceGet(ctypes.byref(device), index)
        cuda.cuDeviceGetName(name, 128, device)
        cuda.cuDeviceTotalMem_v2(ctypes.byref(memory), device)
        capability = []
        for attribute in (MAJOR, MINOR):
            cuda.cuDeviceGetAttribute(ctypes.byref(number), attribute, device)
            capability.append(number.value)
        found["gpus"].append({"name": name.value.decode(), "capability": capability, "memory": memory.value})
    return found


if __name__ == "__main__":
    json.dump(ask(), sys.stdout)
