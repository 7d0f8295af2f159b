// The Python face of the CPU code. Every function takes raw contiguous buffers as addresses and sizes;
// shapes, dtypes and contiguity are checked once, in Python (asda_fast/ops, asda_fast/pipelines).
#include <pybind11/pybind11.h>

namespace py = pybind11;

void bind_jpeg(py::module_ &m);       // jpeg_crop.cpp
void bind_warp(py::module_ &m);       // warp.cpp
void bind_parts(py::module_ &m);      // parts.cpp
void bind_threads(py::module_ &m);    // threads.cpp
void bind_paste(py::module_ &m);      // paste.cpp
void bind_paste_pool(py::module_ &m); // paste_pool.cpp

PYBIND11_MODULE(_C, m) {
    m.doc() = "CPU kernels of asda_fast";
    bind_threads(m);
    bind_jpeg(m);
    bind_warp(m);
    bind_paste(m);
    bind_paste_pool(m);
    bind_parts(m);
}
