// One person's crop from a photo's bytes, or only what to think of them; the Python bindings of both.
#include "jpeg.h"
#include "warp.h"

#include <algorithm>
#include <cstring>
#include <tuple>

#include <pybind11/pybind11.h>

namespace asda {

#if defined(__x86_64__) // the files named _avx2 exist
namespace {

// The MCUs that the pixels of `region` are made of: two pixels more on every side, since the upsampled colours look at
// their neighbours.
Region mcus_of(const Photo &photo, const Region &region) {
    return {std::max(0, region.left - 2) / photo.mcu_width, std::max(0, region.top - 2) / photo.mcu_height,
            std::min(photo.mcus_across, (region.right + 1) / photo.mcu_width + 1),
            std::min(photo.mcus_down, (region.bottom + 1) / photo.mcu_height + 1)};
}

int smaller(int size, int shrink) { return (size + shrink - 1) / shrink; }

// The pixels of `region`, R G B 0, in scratch.rgb: of shrink x shrink the mean.
Verdict read_region(const Region &region, int shrink, Scratch &scratch) {
    const Photo &photo = scratch.photo;
    const Region mcus = mcus_of(photo, region);
    const Verdict verdict = walk(mcus, scratch);
    if (verdict != Verdict::FINE)
        return verdict;

    const int width = region.right - region.left, height = region.bottom - region.top;
    const ptrdiff_t stride = 4 * ptrdiff_t(width) + 2 * SLACK;
    Plane &rgb = scratch.rgb;
    rgb.stride = 4 * ptrdiff_t(smaller(width, shrink)) + 2 * SLACK;
    make_room(rgb.data, size_t(rgb.stride) * smaller(height, shrink));
    make_room(scratch.strip, size_t(stride) * shrink); // the rows of one row of means

    const int from = region.left - mcus.left * photo.mcu_width; // first pixel in the planes
    const Plane *plane = scratch.plane;
    const bool across = photo.mcu_width == 16, down = photo.mcu_height == 16;
    const Component &chroma = photo.component[1];
    const int first = mcus.left * 8, count = std::min(mcus.right * 8, chroma.width) - first; // colour samples at hand
    const int lowest = mcus.top * 8, highest = std::min(mcus.bottom * 8, chroma.height) - 1;
    for (std::vector<uint8_t> &row : scratch.colour)
        make_room(row, 2 * size_t(std::max(count, 0)) + 2 * SLACK);
    make_room(scratch.sums, size_t(std::max(count, 0)) + SLACK);
    const auto make_row = [&](int y, uint8_t *out) {
        const uint8_t *luma = plane[0].data.data() + (y - mcus.top * photo.mcu_height) * plane[0].stride + from;
        if (photo.components == 1) {
            grey_to_rgb(luma, width, out);
            return;
        }
        const uint8_t *colour[2];
        for (int c = 0; c < 2; ++c) {
            const auto at = [&](int line) {
                line = std::min(std::max(line, lowest), highest) - lowest;
                return plane[1 + c].data.data() + line * plane[1 + c].stride;
            };
            if (!across) {
                colour[c] = at(y) + from;
                continue;
            }
            const int near = down ? y >> 1 : y;
            upsample(at(near), down ? at(y & 1 ? near + 1 : near - 1) : nullptr, count, scratch.sums.data(),
                     scratch.colour[c].data());
            colour[c] = scratch.colour[c].data() + from;
        }
        to_rgb(luma, colour[0], colour[1], width, out);
    };
    uint8_t *out = rgb.data.data();
    for (int top = region.top; top < region.bottom; top += shrink, out += rgb.stride) {
        if (shrink == 1) {
            make_row(top, out);
            continue;
        }
        const int rows = std::min(shrink, region.bottom - top);
        for (int i = 0; i < rows; ++i)
            make_row(top + i, scratch.strip.data() + i * stride);
        average(scratch.strip.data(), stride, rows, width, shrink, out);
    }
    return Verdict::FINE;
}

bool supported() {
    static const bool yes = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
    return yes;
}

// What the crop touches, cut to the photo. False if nothing.
bool touched(const Photo &photo, const double *matrix, int height, int width, int shrink, Region &region) {
    double low[2], high[2];
    for (int axis = 0; axis < 2; ++axis) {
        const double *m = matrix + 3 * axis;
        const double centre = m[0] * width / 2 + m[1] * height / 2 + m[2];
        const double reach =
            std::abs(m[0]) * width / 2 + std::abs(m[1]) * height / 2 + 2 * shrink; // and the second tap
        const int size = axis ? photo.height : photo.width;
        low[axis] = std::min(std::max(std::floor(centre - reach), 0.0), double(size));
        high[axis] = std::min(std::max(std::ceil(centre + reach), 0.0), double(size));
    }
    const auto up = [&](double value, int size) { return std::min(size, (int(value) + shrink - 1) / shrink * shrink); };
    region = {int(low[0]) / shrink * shrink, int(low[1]) / shrink * shrink, up(high[0], photo.width),
              up(high[1], photo.height)};
    return region.left < region.right && region.top < region.bottom;
}

} // namespace

Verdict jpeg_crop(const uint8_t *data, size_t size, const Size &expected, const double *matrix, uint8_t *out,
                  int height, int width, int shrink) {
    if (!supported())
        return Verdict::FOREIGN;
    static thread_local Scratch scratch;
    const Photo &photo = scratch.photo;
    if (!parse(data, size, scratch.photo))
        return Verdict::FOREIGN;
    if (expected.height && (expected.height != photo.height || expected.width != photo.width))
        return Verdict::OTHER_SIZE;
    Region region;
    if (!touched(photo, matrix, height, width, shrink, region)) {
        std::memset(out, 0, 3 * size_t(height) * width);
        return Verdict::FINE;
    }
    const Verdict verdict = read_region(region, shrink, scratch);
    if (verdict == Verdict::FINE) {
        double to_smaller[6];
        std::transform(matrix, matrix + 6, to_smaller, [&](double v) { return v / shrink; });
        const Plane &rgb = scratch.rgb;
        warp({rgb.data.data(), smaller(region.bottom - region.top, shrink), smaller(region.right - region.left, shrink),
              rgb.stride, 4, region.left / shrink, region.top / shrink},
             to_smaller, out, height, width);
    }
    scratch.trim();
    return verdict;
}

Verdict jpeg_read(const uint8_t *data, size_t size, uint8_t *out, int height, int width, int shrink) {
    if (!supported())
        return Verdict::FOREIGN;
    static thread_local Scratch scratch;
    const Photo &photo = scratch.photo;
    if (!parse(data, size, scratch.photo))
        return Verdict::FOREIGN;
    if (photo.height != height || photo.width != width)
        return Verdict::OTHER_SIZE;
    const Verdict verdict = read_region({0, 0, width, height}, shrink, scratch);
    height = smaller(height, shrink);
    width = smaller(width, shrink);
    for (int y = 0; verdict == Verdict::FINE && y < height; ++y) {
        const uint8_t *from = scratch.rgb.data.data() + y * scratch.rgb.stride;
        uint8_t *to = out + 3 * ptrdiff_t(width) * y;
        for (int x = 0; x < width - 1; ++x) // four bytes at once: the fourth is the next pixel's to overwrite
            std::memcpy(to + 3 * x, from + 4 * x, 4);
        std::memcpy(to + 3 * (width - 1), from + 4 * (width - 1), 3);
    }
    scratch.trim();
    return verdict;
}

Judged jpeg_check(const uint8_t *data, size_t size, const double *matrix, int height, int width, int known_rows) {
    if (!supported())
        return {};
    static thread_local Scratch scratch;
    const Photo &photo = scratch.photo;
    if (!parse(data, size, scratch.photo))
        return {};
    Region region{0, 0, photo.width, photo.height};
    int rows = 0;
    if (!matrix || touched(photo, matrix, height, width, 1, region))
        rows = mcus_of(photo, region).bottom;
    Judged result{Verdict::FINE, photo.height, photo.width, rows, photo.stray};
    if (rows > known_rows)
        result.verdict = walk({0, rows, 0, rows}, scratch);
    scratch.trim();
    return result;
}
#else
Verdict jpeg_crop(const uint8_t *, size_t, const Size &, const double *, uint8_t *, int, int, int) {
    return Verdict::FOREIGN;
}
Verdict jpeg_read(const uint8_t *, size_t, uint8_t *, int, int, int) { return Verdict::FOREIGN; }
Judged jpeg_check(const uint8_t *, size_t, const double *, int, int, int) { return {}; }
#endif

} // namespace asda

namespace {

struct Bytes {
    const uint8_t *data;
    size_t size;
};

Bytes bytes_of(const pybind11::buffer_info &info) {
    if (info.ndim != 1 || info.itemsize != 1 || (info.size && info.strides[0] != 1))
        throw pybind11::value_error("data: expected bytes one after the other");
    return {static_cast<const uint8_t *>(info.ptr), size_t(info.size)};
}

void check_shrink(int shrink) {
    if (shrink != 1 && shrink != 2 && shrink != 4 && shrink != 8)
        throw pybind11::value_error("shrink: expected 1, 2, 4 or 8");
}

} // namespace

void bind_jpeg(pybind11::module_ &m) {
    namespace py = pybind11;
    m.def(
        "jpeg_crop",
        [](const py::buffer &data, int photo_height, int photo_width, uintptr_t matrix, uintptr_t out, int height,
           int width, int shrink) {
            check_shrink(shrink);
            const py::buffer_info info = data.request();
            const Bytes bytes = bytes_of(info);
            py::gil_scoped_release release;
            const double *m = reinterpret_cast<const double *>(matrix);
            asda::check_matrix(m, height, width);
            return int(asda::jpeg_crop(bytes.data, bytes.size, {photo_height, photo_width}, m,
                                       reinterpret_cast<uint8_t *>(out), height, width, shrink));
        },
        py::arg("data"), py::arg("photo_height"), py::arg("photo_width"), py::arg("matrix"), py::arg("out"),
        py::arg("height"), py::arg("width"), py::arg("shrink"),
        "JPEG bytes -> crop uint8 [height, width, 3]; matrix [2, 3] float64, crop -> photo. photo_height, photo_width: "
        "expected of the photo, 0 for any.");
    m.def(
        "jpeg_read",
        [](const py::buffer &data, uintptr_t out, int height, int width, int shrink) {
            check_shrink(shrink);
            const py::buffer_info info = data.request();
            const Bytes bytes = bytes_of(info);
            py::gil_scoped_release release;
            return int(
                asda::jpeg_read(bytes.data, bytes.size, reinterpret_cast<uint8_t *>(out), height, width, shrink));
        },
        py::arg("data"), py::arg("out"), py::arg("height"), py::arg("width"), py::arg("shrink"),
        "JPEG bytes of a photo of height x width -> it, uint8 RGB, the means of shrink x shrink pixels (1, 2, 4, 8).");
    m.def(
        "jpeg_check",
        [](const py::buffer &data, uintptr_t matrix, int height, int width, int known_rows) {
            const py::buffer_info info = data.request();
            const Bytes bytes = bytes_of(info);
            py::gil_scoped_release release;
            const double *m = reinterpret_cast<const double *>(matrix);
            if (m)
                asda::check_matrix(m, height, width);
            const asda::Judged result = asda::jpeg_check(bytes.data, bytes.size, m, height, width, known_rows);
            return std::tuple(int(result.verdict), result.height, result.width, result.rows, result.stray);
        },
        py::arg("data"), py::arg("matrix") = 0, py::arg("height") = 0, py::arg("width") = 0, py::arg("known_rows") = 0,
        "Verdict, height, width, rows of blocks that a crop needs, stray bytes in the header. Walks the compressed "
        "data "
        "down to the last row that the crop touches (matrix 0: all) unless known_rows were walked before.");
}
