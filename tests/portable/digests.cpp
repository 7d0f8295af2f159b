// What the portable CPU code computes, as one line per case: a digest of the result's bits. test_aarch64.py compiles
// this for x86-64 and for aarch64 and compares the lines. Inputs come from whole numbers alone, so that no libm
// differs.
#include <pybind11/pybind11.h>
namespace pybind11 {
struct no_gil {
    no_gil() {}
};
} // namespace pybind11
#define gil_scoped_release no_gil // nothing here has a Python

#include "threads.h"
#include <algorithm>
#include <cmath>
#include <cstring>
#include <vector>
namespace pool { // its names are those of parts.cpp
#include "paste_pool.cpp"
}
#include "parts.cpp"
#include "paste.cpp"
#include "warp.h"

#include <cstdio>

namespace {

uint64_t state = 1;
unsigned draw(unsigned n) { // a whole number below n
    state = state * 6364136223846793005u + 1442695040888963407u;
    return unsigned((state >> 33) % n);
}
double between(double low, double high) { return low + (high - low) * double(draw(1 << 20)) / double(1 << 20); }
uintptr_t at(const void *data) { return reinterpret_cast<uintptr_t>(data); }

void say(const char *what, int number, const void *data, size_t bytes) {
    uint64_t digest = 14695981039346656037u;
    for (size_t i = 0; i < bytes; ++i)
        digest = (digest ^ static_cast<const unsigned char *>(data)[i]) * 1099511628211u;
    std::printf("%s %d %016llx\n", what, number, static_cast<unsigned long long>(digest));
}

std::vector<unsigned char> noise(size_t bytes) {
    std::vector<unsigned char> out(bytes);
    for (auto &value : out)
        value = static_cast<unsigned char>(draw(256));
    return out;
}

// A 2x3 matrix that shrinks, turns and shears a little.
void matrix_into(double *m, double reach) {
    const double scale = between(0.3, 2.5), turn = between(-1, 1);
    m[0] = scale, m[1] = -turn * scale, m[2] = between(-reach, reach);
    m[3] = turn * scale, m[4] = scale * between(0.5, 1.5), m[5] = between(-reach, reach);
}

void warps() {
    for (int i = 0; i < 20; ++i) {
        const int height = 20 + int(draw(60)), width = 20 + int(draw(60));
        const auto photo = noise(size_t(height * width * 3));
        std::vector<uint8_t> out(48 * 40 * 3);
        double m[6];
        matrix_into(m, 30);
        asda::warp({photo.data(), height, width, width * 3}, m, out.data(), 48, 40, false);
        say("warp", i, out.data(), out.size());
    }
}

struct Pool {
    std::vector<unsigned char> straight, texels;
    std::vector<int64_t> offset, table;
    int64_t patches = 5;

    Pool() {
        int64_t texel = 0, pixel = 0;
        for (int64_t p = 0; p < patches; ++p) {
            int64_t h = 3 + draw(50), w = 3 + draw(50);
            offset.push_back(pixel);
            pixel += h * w;
            table.insert(table.end(), {texel, h, w, 3});
            for (int level = 0; level < 3; ++level) {
                texel += (h + 2) * (w + 2);
                h = (h + 1) / 2, w = (w + 1) / 2;
            }
        }
        straight = noise(size_t(pixel * 4));
        texels.assign(size_t(texel * 4), 0);
        pool::pack(at(straight.data()), at(offset.data()), at(table.data()), patches, at(texels.data()), 1);
        say("pool", 0, texels.data(), texels.size());
    }
};

// dtype of the image and of the result, as DType numbers; S: float or double arithmetic.
template <class S> void pastes(const Pool &pool, int from, int to, bool interleaved) {
    using namespace asda;
    const int64_t B = 2, N = 3, H = 41, W = 53;
    const int bytes[] = {8, 4, 2, 2, 1};
    std::vector<double> room(size_t(B * 3 * H * W)), result(room.size()), v_image(room.size());
    auto *raw = reinterpret_cast<unsigned char *>(room.data());
    for (size_t i = 0; i < room.size(); ++i) {
        if (from == F64)
            room[i] = between(-2, 2);
        else if (from == F32)
            reinterpret_cast<float *>(raw)[i] = float(between(-2, 2));
        else if (from == U8)
            raw[i] = static_cast<unsigned char>(draw(256));
        else // bfloat16 and half: any pattern whose exponent is of an ordinary number
            reinterpret_cast<uint16_t *>(raw)[i] = uint16_t((from == BF16 ? 0x3f00 : 0x3800) + draw(0x200));
    }
    std::vector<S> matrix, v_matrix(size_t(B * N * 6));
    std::vector<int64_t> part;
    for (int64_t i = 0; i < B * N; ++i) {
        double m[6];
        matrix_into(m, 10);
        matrix.insert(matrix.end(), m, m + 6);
        part.push_back(int64_t(draw(unsigned(pool.patches + 1))) - 1);
    }
    const Strides planar{3 * H * W, H * W, W, 1}, mixed{3 * H * W, 1, 3 * W, 3};
    const Strides in = interleaved ? mixed : planar, out = interleaved ? mixed : planar;
    const Problem p =
        problem(at(pool.texels.data()), at(pool.table.data()), pool.patches, at(part.data()), at(matrix.data()),
                {B, N, H, W}, {0.485, 0.456, 0.406}, {0.229, 0.224, 0.225}, true, 1, true);
    const Tensor4 image = tensor(at(room.data()), from, in), picture = tensor(at(result.data()), to, out);
    const RowOps<S> *rows;
    if constexpr (sizeof(S) == 8)
        rows = &kPortableF64;
    else
        rows = &rows_f32(true);
    forward<S>(p, *rows, image, picture);
    say(interleaved ? "forward, interleaved" : "forward", 10 * from + to, result.data(),
        room.size() * size_t(bytes[to]));
    backward<S>(p, *rows, picture, image, v_matrix.data(), tensor(from == U8 ? 0 : at(v_image.data()), from, in));
    say("backward, matrix", 10 * from + to, v_matrix.data(), v_matrix.size() * sizeof(S));
    say("backward, image", 10 * from + to, v_image.data(), from == U8 ? 0 : room.size() * size_t(bytes[from]));
}

void parts() {
    for (int i = 0; i < 10; ++i) {
        const int64_t h = 20 + draw(60), w = 20 + draw(60), out_h = h / 2 + 1, out_w = w / 2 + 1;
        const auto photo = noise(size_t(h * w * 3));
        auto mask = noise(size_t(h * w));
        std::vector<int64_t> found(256 * 4);
        spans(at(mask.data()), w, h, w, at(found.data()));
        say("spans", i, found.data(), found.size() * 8);
        for (auto &value : mask)
            value = value < 200;
        const double spread = contrast(at(photo.data()), 3 * w, at(mask.data()), w, h, w);
        say("contrast", i, &spread, sizeof spread);
        for (const bool whole : {true, false}) {
            std::vector<unsigned char> cut(size_t(h * w * 4));
            patch(at(photo.data()), 3 * w, at(mask.data()), w, h, w, at(cut.data()), whole ? h : out_h,
                  whole ? w : out_w);
            say(whole ? "patch" : "patch, smaller", i, cut.data(), cut.size());
        }
    }
}

} // namespace

int main() {
    warps();
    const Pool pool;
    for (const bool interleaved : {false, true}) {
        pastes<float>(pool, asda::F32, asda::F32, interleaved);
        pastes<float>(pool, asda::BF16, asda::BF16, interleaved);
        pastes<float>(pool, asda::F16, asda::F16, interleaved);
        pastes<float>(pool, asda::U8, asda::F32, interleaved);
        pastes<float>(pool, asda::U8, asda::BF16, interleaved);
        pastes<double>(pool, asda::F64, asda::F64, interleaved);
    }
    parts();
}
