// Packing of a part pool: straight RGBA patches -> premultiplied texels, one block per mip level, each with a
// transparent border of one texel (kernels/paste_math.h says why).
#include "threads.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>

#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace {

using Byte = unsigned char;

struct Block { // one level of one patch in the pool; the pointer is to its first inner texel
    Byte *inner;
    int64_t height, width, pitch; // pitch in bytes
};

Block block_at(Byte *texels, int64_t first, int64_t height, int64_t width) {
    const int64_t stride = width + 2;
    std::memset(texels + 4 * first, 0, size_t(4 * stride * (height + 2)));
    return {texels + 4 * (first + stride + 1), height, width, 4 * stride};
}

void premultiply(const Byte *straight, const Block &out) {
    for (int64_t y = 0; y < out.height; ++y)
        for (int64_t x = 0; x < out.width; ++x) {
            const Byte *s = straight + 4 * (y * out.width + x);
            Byte *d = out.inner + y * out.pitch + 4 * x;
            for (int c = 0; c < 3; ++c)
                d[c] = Byte((2 * s[c] * s[3] + 255) / 510); // round(c * a / 255), half up
            d[3] = s[3];
        }
}

// The source texels under one target texel, and how much of each is covered.
struct Cover {
    int64_t first;
    int count;
    float weight[4];
};

std::vector<Cover> covers(int64_t from, int64_t to) {
    std::vector<Cover> out(static_cast<size_t>(to));
    for (int64_t i = 0; i < to; ++i) {
        Cover &cover = out[size_t(i)];
        const double begin = double(i) * from / to, end = double(i + 1) * from / to;
        cover.first = int64_t(begin);
        cover.count = 0;
        for (int64_t s = cover.first; s < from && double(s) < end - 1e-9 && cover.count < 4; ++s)
            cover.weight[cover.count++] =
                float((std::min(end, double(s + 1)) - std::max(begin, double(s))) / (end - begin));
    }
    return out;
}

// Area average: the colour a smaller copy must have so that no texel of the larger one is skipped.
void halve(const Block &in, const Block &out) {
    const std::vector<Cover> rows = covers(in.height, out.height), columns = covers(in.width, out.width);
    for (int64_t y = 0; y < out.height; ++y)
        for (int64_t x = 0; x < out.width; ++x) {
            const Cover &r = rows[size_t(y)], &q = columns[size_t(x)];
            float sum[4] = {0, 0, 0, 0};
            for (int j = 0; j < r.count; ++j)
                for (int i = 0; i < q.count; ++i) {
                    const Byte *s = in.inner + (r.first + j) * in.pitch + 4 * (q.first + i);
                    for (int c = 0; c < 4; ++c)
                        sum[c] += r.weight[j] * q.weight[i] * float(s[c]);
                }
            for (int c = 0; c < 4; ++c)
                out.inner[y * out.pitch + 4 * x + c] = Byte(std::min(255.f, sum[c] + 0.5f));
        }
}

// straight: [S, 4] uint8; offset: [P] int64, first pixel of each patch; table: [P, 4] int64; texels: [T, 4] uint8
// (out).
void pack(uintptr_t straight_ptr, uintptr_t offset_ptr, uintptr_t table_ptr, int64_t patches, uintptr_t texels_ptr,
          int threads) {
    const auto *straight = reinterpret_cast<const Byte *>(straight_ptr);
    const auto *offset = reinterpret_cast<const int64_t *>(offset_ptr);
    const auto *table = reinterpret_cast<const int64_t *>(table_ptr);
    auto *texels = reinterpret_cast<Byte *>(texels_ptr);
    py::gil_scoped_release release;
    asda::parallel_for(patches, 16, threads, [&](int64_t begin, int64_t end) {
        for (int64_t p = begin; p < end; ++p) {
            const int64_t *row = table + 4 * p;
            int64_t first = row[0], h = row[1], w = row[2];
            Block level = block_at(texels, first, h, w);
            premultiply(straight + 4 * offset[p], level);
            for (int64_t l = 1; l < row[3]; ++l) {
                first += (h + 2) * (w + 2);
                h = (h + 1) / 2;
                w = (w + 1) / 2;
                const Block smaller = block_at(texels, first, h, w);
                halve(level, smaller);
                level = smaller;
            }
        }
    });
}

} // namespace

void bind_paste_pool(py::module_ &m) {
    m.def("pool_pack", &pack, "Straight RGBA patches -> premultiplied, bordered texels with mip levels.");
}
