#include "warp.h"

#include <stdexcept>

#include <pybind11/pybind11.h>

namespace asda {
namespace {

bool has_avx2() {
#if defined(__x86_64__)
    static const bool yes = __builtin_cpu_supports("avx2");
    return yes;
#else
    return false;
#endif
}

} // namespace

void check_matrix(const double *matrix, int height, int width) {
    for (int axis = 0; axis < 2; ++axis) {
        const double *m = matrix + 3 * axis;
        const double furthest = std::abs(m[0]) * (width + 1) + std::abs(m[1]) * (height + 1) + std::abs(m[2]);
        if (!(furthest < COORD_LIMIT)) // also NaN
            throw std::invalid_argument("matrix: expected finite numbers that stay within 2^27 pixels");
    }
}

void warp(const Image &image, const double *matrix, uint8_t *out, int height, int width, bool simd) {
    const bool fast = simd && has_avx2();
    for (int y = 0; y < height; ++y, out += 3 * width) {
        const Row row(matrix, y, image);
        const Span seen = row.inside(-1, image.width, -1, image.height, width);
        std::memset(out, 0, 3 * size_t(seen.begin));
        std::memset(out + 3 * seen.end, 0, 3 * size_t(width - seen.end));
        Span inside{seen.end, seen.end};
        if (fast) { // its 8-byte loads reach two bytes beyond a second tap of 3: not in the last column
            const int right = image.width - (image.step == 3 ? 2 : 1);
            const Span found = intersect(seen, row.inside(0, right, 0, image.height - 1, width));
            if (found.begin < found.end)
                inside = found;
        }
#if defined(__x86_64__)
        if (inside.begin < inside.end)
            inside.end = warp_row_inside_avx2(image, row, inside, out);
#endif
        warp_row_tested(image, row, {seen.begin, inside.begin}, out);
        warp_row_tested(image, row, {inside.end, seen.end}, out);
    }
}

} // namespace asda

void bind_warp(pybind11::module_ &m) {
    namespace py = pybind11;
    m.def(
        "warp",
        [](uintptr_t image, int height, int width, int64_t stride, uintptr_t matrix, uintptr_t out, int out_height,
           int out_width, bool simd) {
            pybind11::gil_scoped_release release;
            asda::check_matrix(reinterpret_cast<const double *>(matrix), out_height, out_width);
            asda::warp({reinterpret_cast<const uint8_t *>(image), height, width, stride},
                       reinterpret_cast<const double *>(matrix), reinterpret_cast<uint8_t *>(out), out_height,
                       out_width, simd);
        },
        py::arg("image"), py::arg("height"), py::arg("width"), py::arg("stride"), py::arg("matrix"), py::arg("out"),
        py::arg("out_height"), py::arg("out_width"), py::arg("simd") = true,
        "uint8 RGB image [height, width, 3] -> crop [out_height, out_width, 3]; matrix [2, 3] float64, crop -> image.");
}
