// The walk over a photo's blocks, and one person's crop from its bytes.
#include "jpeg.h"
#include "warp.h"

#include <algorithm>
#include <cstring>

#include <pybind11/pybind11.h>

namespace asda {

#if defined(__x86_64__) // the files named _avx2 exist
namespace {

struct Region { // pixels [left, right) x [top, bottom)
    int left, top, right, bottom;
};

constexpr int SLACK = 64;                 // bytes beyond a row that vector code may touch
constexpr size_t KEEP = size_t(48) << 20; // a thread's buffers above this are given back

constexpr int64_t MAX_PROGRESSIVE = int64_t(1) << 25; // pixels: their coefficients are held all at once

struct Plane {
    std::vector<uint8_t> data;
    ptrdiff_t stride = 0;
};

struct Scratch { // a thread's buffers, kept from photo to photo
    Photo photo;
    Scan scan;
    Plane plane[3];
    std::vector<uint8_t> rgb, colour[2];
    std::vector<int16_t> sums, coefficients[3];

    void trim() {
        if (rgb.capacity() + scan.bytes.capacity() + plane[0].data.capacity() + 2 * coefficients[0].capacity() > KEEP)
            *this = Scratch();
    }
};

// Room for the samples of these MCUs.
void make_planes(const Photo &photo, const Region &mcus, Plane *plane) {
    for (int c = 0; c < photo.components; ++c) {
        const Component &component = photo.component[c];
        plane[c].stride = (mcus.right - mcus.left) * component.h * 8 + SLACK;
        plane[c].data.resize(size_t(plane[c].stride) * (mcus.bottom - mcus.top) * component.v * 8 + SLACK);
    }
}

// All coefficients of a progressive photo, then the samples of `mcus`.
bool read_progressive_samples(const Region &mcus, Scratch &scratch) {
    Photo &photo = scratch.photo;
    if (!read_progressive(photo, mcus.bottom, scratch.scan, scratch.coefficients))
        return false;
    for (int c = 0; c < photo.components; ++c) {
        const Component &component = photo.component[c];
        const Plane &plane = scratch.plane[c];
        const int64_t across = int64_t(photo.mcus_across) * component.h;
        const int left = mcus.left * component.h, right = mcus.right * component.h;
        const auto block = [&](int row, int column) {
            return Block{scratch.coefficients[c].data() + (row * across + column) * 64, photo.quant[component.quant],
                         const_cast<uint8_t *>(plane.data.data()) + (row - mcus.top * component.v) * 8 * plane.stride +
                             (column - left) * 8,
                         plane.stride, false};
        };
        for (int row = mcus.top * component.v; row < mcus.bottom * component.v; ++row)
            for (int column = left; column < right; column += 2)
                inverse_dct(block(row, column), block(row, column + 1 < right ? column + 1 : column));
    }
    return true;
}

// Samples of the MCUs `mcus` of a sequential photo -> the planes.
bool read_samples(const Photo &photo, const Scan &scan, const Region &mcus, Plane *plane) {
    struct Work {
        int component, x, y; // block of the MCU
    };
    Work work[6];
    int blocks = 0;
    for (int c = 0; c < photo.components; ++c) {
        const Component &component = photo.component[c];
        for (int y = 0; y < component.v; ++y)
            for (int x = 0; x < component.h; ++x)
                work[blocks++] = {c, x, y};
    }
    alignas(32) int16_t coefficients[6][80]; // 64, and one more that catches what runs over the end
    alignas(32) static const int16_t nothing[64] = {};
    uint8_t nowhere[64];
    Block todo[6];

    const int64_t per_segment = photo.restart ? photo.restart : int64_t(photo.mcus_across) * photo.mcus_down;
    for (size_t segment = 0; segment + 1 < scan.begin.size(); ++segment) {
        const int64_t start = int64_t(segment) * per_segment;
        if (start >= int64_t(mcus.bottom) * photo.mcus_across)
            return true;
        if (start + per_segment <= int64_t(mcus.top) * photo.mcus_across)
            continue;
        Bits bits;
        bits.next = scan.bytes.data() + scan.begin[segment];
        const uint8_t *const end = scan.bytes.data() + scan.begin[segment + 1];
        int predictor[3] = {};
        const int64_t across = photo.mcus_across, stop = std::min(start + per_segment, mcus.bottom * across);
        for (int64_t mcu = start; mcu < stop;) {
            const int row = int(mcu / across), column = int(mcu % across);
            const bool above = row < mcus.top, wanted = !above && column >= mcus.left && column < mcus.right;
            if (!wanted) { // pass over everything up to the next MCU that is
                const int next_row = above ? mcus.top : column < mcus.left ? row : row + 1;
                const int64_t count = std::min(next_row * across + mcus.left, stop) - mcu;
                if (!skip_mcus(bits, photo, predictor, count, end))
                    return false;
                mcu += count;
                continue;
            }
            for (int i = 0; i < blocks; ++i) {
                const int c = work[i].component;
                const Component &component = photo.component[c];
                std::memset(coefficients[i], 0, 64 * sizeof(int16_t));
                const int used =
                    read_block(bits, photo.dc[component.dc], photo.ac[component.ac], predictor[c], coefficients[i]);
                if (!used)
                    return false;
                const ptrdiff_t y = ptrdiff_t((row - mcus.top) * component.v + work[i].y) * 8;
                const ptrdiff_t x = ptrdiff_t((column - mcus.left) * component.h + work[i].x) * 8;
                todo[i] = {coefficients[i], photo.quant[component.quant],
                           plane[c].data.data() + y * plane[c].stride + x, plane[c].stride, used == 1};
            }
            if (overrun(bits, end))
                return false; // into the next segment, or out of data
            for (int i = 0; i < blocks; i += 2)
                inverse_dct(todo[i], i + 1 < blocks ? todo[i + 1] : Block{nothing, nothing, nowhere, 8, true});
            ++mcu;
        }
    }
    return true;
}

// The pixels of `region`, R G B 0, in scratch.rgb.
bool read_region(const Region &region, Scratch &scratch) {
    const Photo &photo = scratch.photo;
    // Two pixels more on every side: the upsampled colours look at their neighbours.
    const Region mcus{std::max(0, region.left - 2) / photo.mcu_width, std::max(0, region.top - 2) / photo.mcu_height,
                      std::min(photo.mcus_across, (region.right + 1) / photo.mcu_width + 1),
                      std::min(photo.mcus_down, (region.bottom + 1) / photo.mcu_height + 1)};
    make_planes(photo, mcus, scratch.plane);
    if (photo.progressive) {
        if (int64_t(photo.width) * photo.height > MAX_PROGRESSIVE || !read_progressive_samples(mcus, scratch))
            return false;
    } else {
        const uint8_t *next = unstuff(photo.scan, photo.scan_size, photo.restart > 0, scratch.scan);
        const int64_t all = int64_t(photo.mcus_across) * photo.mcus_down;
        const size_t segments = photo.restart ? size_t((all + photo.restart - 1) / photo.restart) : 1;
        if (!next || next[1] != 0xd9 || scratch.scan.begin.size() - 1 != segments)
            return false; // cut short, or more than one scan
        if (!read_samples(photo, scratch.scan, mcus, scratch.plane))
            return false;
    }

    const int width = region.right - region.left, height = region.bottom - region.top;
    const ptrdiff_t stride = 4 * ptrdiff_t(width) + 2 * SLACK;
    scratch.rgb.resize(size_t(stride) * height);
    const int from = region.left - mcus.left * photo.mcu_width; // first pixel in the planes
    const Plane *plane = scratch.plane;
    const bool across = photo.mcu_width == 16, down = photo.mcu_height == 16;
    const Component &chroma = photo.component[1];
    const int first = mcus.left * 8, count = std::min(mcus.right * 8, chroma.width) - first; // colour samples at hand
    const int lowest = mcus.top * 8, highest = std::min(mcus.bottom * 8, chroma.height) - 1;
    for (std::vector<uint8_t> &row : scratch.colour)
        row.resize(2 * size_t(std::max(count, 0)) + 2 * SLACK);
    scratch.sums.resize(size_t(std::max(count, 0)) + SLACK);
    for (int y = region.top; y < region.bottom; ++y) {
        const uint8_t *luma = plane[0].data.data() + (y - mcus.top * photo.mcu_height) * plane[0].stride + from;
        uint8_t *out = scratch.rgb.data() + (y - region.top) * stride;
        if (photo.components == 1) {
            grey_to_rgb(luma, width, out);
            continue;
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
    }
    return true;
}

bool supported() {
    static const bool yes = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("bmi2");
    return yes;
}

// What the crop touches, cut to the photo. False if nothing.
bool touched(const Photo &photo, const double *matrix, int height, int width, Region &region) {
    double low[2], high[2];
    for (int axis = 0; axis < 2; ++axis) {
        const double *m = matrix + 3 * axis;
        const double centre = m[0] * width / 2 + m[1] * height / 2 + m[2];
        const double reach = std::abs(m[0]) * width / 2 + std::abs(m[1]) * height / 2 + 2; // and the second tap
        const int size = axis ? photo.height : photo.width;
        low[axis] = std::min(std::max(std::floor(centre - reach), 0.0), double(size));
        high[axis] = std::min(std::max(std::ceil(centre + reach), 0.0), double(size));
    }
    region = {int(low[0]), int(low[1]), int(high[0]), int(high[1])};
    return region.left < region.right && region.top < region.bottom;
}

} // namespace

// False: not a photo that this decoder reads; `out` is undefined then.
bool jpeg_crop(const uint8_t *data, size_t size, const double *matrix, uint8_t *out, int height, int width) {
    if (!supported())
        return false;
    static thread_local Scratch scratch;
    if (!parse(data, size, scratch.photo))
        return false;
    Region region;
    if (!touched(scratch.photo, matrix, height, width, region)) {
        std::memset(out, 0, 3 * size_t(height) * width);
        return true;
    }
    const bool good = read_region(region, scratch);
    if (good) {
        const int across = region.right - region.left, down = region.bottom - region.top;
        warp({scratch.rgb.data(), down, across, 4 * int64_t(across) + 2 * SLACK, 4, region.left, region.top}, matrix,
             out, height, width);
    }
    scratch.trim();
    return good;
}
#else
bool jpeg_crop(const uint8_t *, size_t, const double *, uint8_t *, int, int) { return false; }
#endif

} // namespace asda

void bind_jpeg(pybind11::module_ &m) {
    namespace py = pybind11;
    m.def(
        "jpeg_crop",
        [](const py::buffer &data, uintptr_t matrix, uintptr_t out, int height, int width) {
            const py::buffer_info info = data.request();
            if (info.ndim != 1 || info.itemsize != 1 || (info.size && info.strides[0] != 1))
                throw py::value_error("data: expected bytes one after the other");
            py::gil_scoped_release release;
            asda::check_matrix(reinterpret_cast<const double *>(matrix), height, width);
            return asda::jpeg_crop(static_cast<const uint8_t *>(info.ptr), size_t(info.size),
                                   reinterpret_cast<const double *>(matrix), reinterpret_cast<uint8_t *>(out), height,
                                   width);
        },
        "JPEG bytes -> crop uint8 [height, width, 3]; matrix [2, 3] float64, crop -> photo. False: not ours to "
        "decode.");
}
