// Cutting parts out of a photo: where each label lies, how thick and how flat a component is, and its RGBA patch.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <vector>

#include <pybind11/pybind11.h>

namespace py = pybind11;

namespace {

using Byte = unsigned char;

struct View { // rows of bytes, `pitch` bytes apart
    const Byte *data;
    int64_t pitch;
    const Byte *row(int64_t y) const { return data + y * pitch; }
};

View view(uintptr_t address, int64_t pitch) { return {reinterpret_cast<const Byte *>(address), pitch}; }

// labels: [h, w] uint8; spans: [256, 4] int64 (out): x0, y0, x1, y1 of each id's pixels; x1 = 0 where it has none.
void spans(uintptr_t labels_ptr, int64_t pitch, int64_t h, int64_t w, uintptr_t spans_ptr) {
    const View labels = view(labels_ptr, pitch);
    auto *out = reinterpret_cast<int64_t *>(spans_ptr);
    py::gil_scoped_release release;
    for (int64_t id = 0; id < 256; ++id) {
        out[4 * id] = w, out[4 * id + 1] = h;
        out[4 * id + 2] = out[4 * id + 3] = 0;
    }
    for (int64_t y = 0; y < h; ++y) {
        const Byte *row = labels.row(y);
        for (int64_t x = 0; x < w;) { // a run of one label at a time
            const Byte id = row[x];
            int64_t end = x + 1;
            const uint64_t eight = 0x0101010101010101u * id;
            for (uint64_t next; end + 8 <= w; end += 8) {
                std::memcpy(&next, row + end, 8);
                if (next != eight)
                    break;
            }
            while (end < w && row[end] == id)
                ++end;
            int64_t *s = out + 4 * id;
            s[0] = std::min(s[0], x);
            s[1] = std::min(s[1], y);
            s[2] = std::max(s[2], end);
            s[3] = y + 1;
            x = end;
        }
    }
}

// Does a square of `side` pixels fit into the mask? The side of the largest square that ends at a pixel is one more
// than the smallest of those that end at its three neighbours above and to the left.
bool has_square(uintptr_t mask_ptr, int64_t pitch, int64_t h, int64_t w, int64_t side) {
    const View mask = view(mask_ptr, pitch);
    py::gil_scoped_release release;
    if (side <= 0)
        return true;
    std::vector<int32_t> line(size_t(w) + 1, 0); // line[x + 1]: the row above until it is overwritten
    for (int64_t y = 0; y < h; ++y) {
        const Byte *row = mask.row(y);
        int32_t corner = 0;
        for (int64_t x = 0; x < w; ++x) {
            const int32_t above = line[size_t(x) + 1];
            const int32_t best = row[x] ? 1 + std::min(std::min(above, line[size_t(x)]), corner) : 0;
            line[size_t(x) + 1] = best;
            corner = above;
            if (best >= side)
                return true;
        }
    }
    return false;
}

// Standard deviation of the grey level of an RGB picture inside a mask.
double contrast(uintptr_t photo_ptr, int64_t photo_pitch, uintptr_t mask_ptr, int64_t mask_pitch, int64_t h,
                int64_t w) {
    const View photo = view(photo_ptr, photo_pitch), mask = view(mask_ptr, mask_pitch);
    py::gil_scoped_release release;
    int64_t count = 0, sum = 0, squares = 0;
    for (int64_t y = 0; y < h; ++y)
        for (int64_t x = 0; x < w; ++x)
            if (mask.row(y)[x]) {
                const Byte *p = photo.row(y) + 3 * x;
                const int64_t grey = (77 * p[0] + 150 * p[1] + 29 * p[2] + 128) >> 8;
                ++count, sum += grey, squares += grey * grey;
            }
    if (count == 0)
        return 0;
    const double mean = double(sum) / double(count);
    return std::sqrt(std::max(0., double(squares) / double(count) - mean * mean));
}

// 255 times the binomial 1 2 1 blur of the mask, at least 128 inside it and 0 outside: the edge falls off inwards.
void alpha_row(const View &mask, int64_t h, int64_t w, int64_t y, const Byte *zero, std::vector<int> &sums, Byte *out) {
    const Byte *above = y > 0 ? mask.row(y - 1) : zero, *row = mask.row(y);
    const Byte *below = y + 1 < h ? mask.row(y + 1) : zero;
    for (int64_t x = 0; x < w; ++x)
        sums[size_t(x) + 1] = above[x] + 2 * row[x] + below[x]; // sums[0] and sums[w + 1] stay 0
    for (int64_t x = 0; x < w; ++x) {
        const int soft = sums[size_t(x)] + 2 * sums[size_t(x) + 1] + sums[size_t(x) + 2]; // 0..16
        out[x] = row[x] ? Byte(std::max(128, (255 * soft + 8) / 16)) : Byte(0);
    }
}

// How a source pixel spreads over the target's pixels when it is not enlarged: over one or two of them.
struct Share {
    int64_t first;
    float here, next; // weights of `first` and `first + 1`
};

std::vector<Share> shares(int64_t from, int64_t to) {
    std::vector<Share> out(static_cast<size_t>(from));
    const double ratio = double(to) / double(from);
    for (int64_t i = 0; i < from; ++i) {
        const double begin = double(i) * ratio, end = double(i + 1) * ratio;
        const int64_t first = std::min(int64_t(begin), to - 1);
        const double inside = std::min(end, double(first + 1)) - begin;
        out[size_t(i)] = {first, float(inside), first + 1 < to ? float(std::max(0., end - double(first + 1))) : 0.f};
    }
    return out;
}

void bleed(Byte *out, int64_t h, int64_t w) {
    for (int64_t y = 0; y < h; ++y)
        for (int64_t x = 0; x < w; ++x) {
            Byte *p = out + 4 * (y * w + x);
            if (p[3])
                continue;
            int sum[3] = {0, 0, 0}, count = 0;
            for (int64_t v = std::max<int64_t>(0, y - 1); v <= std::min(h - 1, y + 1); ++v)
                for (int64_t u = std::max<int64_t>(0, x - 1); u <= std::min(w - 1, x + 1); ++u) {
                    const Byte *q = out + 4 * (v * w + u);
                    if (q[3]) {
                        ++count;
                        for (int c = 0; c < 3; ++c)
                            sum[c] += q[c];
                    }
                }
            for (int c = 0; c < 3; ++c)
                p[c] = count ? Byte((sum[c] + count / 2) / count) : Byte(0);
        }
}

// photo: [h, w, 3] uint8 (pitched); mask: [h, w] 0 / 1 (pitched); out: [out_h, out_w, 4] straight RGBA, no larger than
// the photo: an area average weighted by alpha. Where alpha is 0 stands the mean colour of the visible neighbours.
void patch(uintptr_t photo_ptr, int64_t photo_pitch, uintptr_t mask_ptr, int64_t mask_pitch, int64_t h, int64_t w,
           uintptr_t out_ptr, int64_t out_h, int64_t out_w) {
    const View photo = view(photo_ptr, photo_pitch), mask = view(mask_ptr, mask_pitch);
    auto *out = reinterpret_cast<Byte *>(out_ptr);
    py::gil_scoped_release release;
    const std::vector<Byte> zero(size_t(w), 0);
    std::vector<Byte> alpha(static_cast<size_t>(w));
    std::vector<int> sums(size_t(w) + 2, 0);
    if (out_h == h && out_w == w) {
        for (int64_t y = 0; y < h; ++y) {
            alpha_row(mask, h, w, y, zero.data(), sums, alpha.data());
            const Byte *colours = photo.row(y);
            for (int64_t x = 0; x < w; ++x) {
                Byte *p = out + 4 * (y * w + x);
                const Byte a = alpha[size_t(x)];
                for (int c = 0; c < 3; ++c)
                    p[c] = a ? colours[3 * x + c] : Byte(0);
                p[3] = a;
            }
        }
        return bleed(out, out_h, out_w);
    }
    float level[256];
    for (int i = 0; i < 256; ++i)
        level[i] = float(i);
    const std::vector<Share> rows = shares(h, out_h), columns = shares(w, out_w);
    std::vector<float> line(4 * size_t(out_w + 1)), total(4 * size_t(out_h + 1) * size_t(out_w), 0.f);
    for (int64_t y = 0; y < h; ++y) {
        alpha_row(mask, h, w, y, zero.data(), sums, alpha.data());
        std::fill(line.begin(), line.end(), 0.f);
        const Byte *colours = photo.row(y);
        for (int64_t x = 0; x < w; ++x) {
            const float a = float(alpha[size_t(x)]);
            if (a == 0.f)
                continue;
            const Share &s = columns[size_t(x)];
            const float value[4] = {a * level[colours[3 * x]], a * level[colours[3 * x + 1]],
                                    a * level[colours[3 * x + 2]], a};
            float *sum = line.data() + 4 * s.first;
            for (int c = 0; c < 4; ++c)
                sum[c] += s.here * value[c];
            if (s.next > 0)
                for (int c = 0; c < 4; ++c)
                    sum[c + 4] += s.next * value[c];
        }
        const Share &s = rows[size_t(y)];
        float *sum = total.data() + 4 * s.first * out_w;
        float *below = sum + 4 * out_w;
        const float *in = line.data();
        for (int64_t i = 0; i < 4 * out_w; ++i)
            sum[i] += s.here * in[i];
        if (s.next > 0)
            for (int64_t i = 0; i < 4 * out_w; ++i)
                below[i] += s.next * in[i];
    }
    for (int64_t i = 0; i < out_h * out_w; ++i) {
        const float *sum = total.data() + 4 * i;
        const auto a = Byte(std::min(255.f, sum[3] + 0.5f));
        for (int c = 0; c < 3; ++c) // colour times alpha, over alpha: straight again
            out[4 * i + c] = a ? Byte(std::min(255.f, sum[c] / sum[3] + 0.5f)) : Byte(0);
        out[4 * i + 3] = a;
    }
    bleed(out, out_h, out_w);
}

} // namespace

void bind_parts(py::module_ &m) {
    m.def("parts_spans", &spans, "Where each label lies.");
    m.def("parts_has_square", &has_square, "Whether a square fits into a mask.");
    m.def("parts_contrast", &contrast, "Standard deviation of the grey level inside a mask.");
    m.def("parts_patch", &patch, "Photo and mask -> straight RGBA patch, reduced by area average.");
}
